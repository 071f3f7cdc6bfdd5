"""The CSV file that stores the detections of a run, from which they can be tracked again."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from tracker.data.text_cells import to_cell
from tracker.output.base import OutputFile, VideoInfo
from tracker.output.text_file import AppendOnlyFile
from tracker.structures.types import Detections, Frame

DETECTION_COLUMNS = ("frame", "time_s", "class", "score", "x1", "y1", "x2", "y2", "label", "width", "height")


class DetectionWriter(OutputFile):
    """Writes one row for each detection in each frame, before tracking, and one for a frame without detections.

    frame counts from 0 over the source's frames; time_s is in seconds since its first frame; the box is in pixels;
    label is the index of the class, from 0; width and height are those of the image. All numbers are written such
    that reading returns the same bits. A frame without detections has only frame, time_s, width and height.

    Example:
        >>> import tempfile
        >>> from fractions import Fraction
        >>> from tracker.video import blank_image
        >>> info = VideoInfo("clip", 64, 48, Fraction(1, 25), Fraction(25))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     writer = DetectionWriter(Path(folder, "detections.csv"), info, ["person"])
        ...     writer.write(Frame(0, 0.0, 0, blank_image(64, 48)), Detections.empty())
        ...     writer.close()
        ...     print(writer.path.read_text(), end="")
        frame,time_s,class,score,x1,y1,x2,y2,label,width,height
        0,0.0,,,,,,,,64,48
    """

    def __init__(self, path: Path, info: VideoInfo, categories: Sequence[str], overwrite: bool = True) -> None:
        """Creates the file, or replaces it.

        Raises:
            InputError: It cannot be created, or exists and may not be replaced.
        """
        self.path = path
        self._categories = tuple(map(to_cell, categories))
        self._size = info.width, info.height
        self._file = AppendOnlyFile(path, ",".join(DETECTION_COLUMNS) + "\n", overwrite)

    def write(self, frame: Frame, detections: Detections) -> None:
        """Writes the rows of a frame.

        Raises:
            InputError: The file cannot be written. Earlier frames are kept.
        """
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        if not len(detections):
            rows.writerow((frame.index, frame.time, *[""] * 7, *self._size))
        for box, score, label in zip(detections.boxes, detections.scores, detections.labels, strict=True):
            # str() of a float32 has the fewest digits that identify the number.
            numbers = (str(value) for value in (score, *box))
            rows.writerow((frame.index, frame.time, self._categories[label], *numbers, label, *self._size))
        self._file.append(text.getvalue())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
