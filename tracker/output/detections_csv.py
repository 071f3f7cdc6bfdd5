"""The table in which a run stores its detections, so that they can be tracked again."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from tracker.output.base import VideoInfo
from tracker.output.text_file import AppendOnlyFile
from tracker.structures.types import Detections, Frame

DETECTION_COLUMNS = ("frame", "time_s", "class", "score", "x1", "y1", "x2", "y2", "label", "width", "height")


class DetectionWriter:
    """One row for each detection in each frame, before tracking; a frame without any has a row of its own.

    frame counts from 0 over the source's frames; time_s is in seconds since its first frame; the box is in pixels;
    label is the class's number, from 0; width and height are those of the picture. All numbers are written so that
    they are read back to the last bit. In the row of a frame without detections all that speaks of one is empty.
    """

    def __init__(self, path: Path, info: VideoInfo, categories: Sequence[str]) -> None:
        """Creates the file.

        Raises:
            InputError: It cannot be created.
        """
        self.path = path
        self._categories = tuple(categories)
        self._size = info.width, info.height
        self._text = AppendOnlyFile(path, ",".join(DETECTION_COLUMNS) + "\n")

    def write(self, frame: Frame, detections: Detections) -> None:
        """Adds the rows of a frame.

        Raises:
            InputError: The file cannot be written. The frames before are kept.
        """
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        if not len(detections):
            rows.writerow((frame.index, frame.time, *[""] * 7, *self._size))
        for box, score, label in zip(detections.boxes, detections.scores, detections.labels, strict=True):
            # str() of a float32 has the fewest digits that are that number and no other.
            numbers = (str(value) for value in (score, *box))
            rows.writerow((frame.index, frame.time, self._categories[label], *numbers, label, *self._size))
        self._text.append(text.getvalue())

    def close(self) -> None:
        """Closes the file."""
        self._text.close()
