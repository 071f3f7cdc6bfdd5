"""Tables of tracks as text: CSV, and the format of the MOTChallenge."""

import csv
import io
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from tracker.output.base import ResultWriter, VideoInfo, visible
from tracker.output.text_file import AppendOnlyFile
from tracker.structures.boxes import xyxy_to_xywh
from tracker.structures.types import FineTracks, Frame, Tracks

CSV_COLUMNS = ("frame", "time_s", "track_id", "class", "score", "x1", "y1", "x2", "y2", "observed")
FINE_COLUMNS = ("fine_class", "fine_score")


class TableWriter(ResultWriter):
    """A text file that grows by the whole rows of one frame at a time."""

    def __init__(self, path: Path, info: VideoInfo, head: str = "") -> None:
        """Creates the file and writes its head.

        Raises:
            InputError: It cannot be created.
        """
        self.path = path
        self._info = info
        self._text = AppendOnlyFile(path, head)

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Adds one row for each track that has a part inside the picture."""
        if rows := self._rows(frame, tracks):
            self._text.append(rows)

    def close(self) -> None:
        """Closes the file."""
        self._text.close()

    @abstractmethod
    def _rows(self, frame: Frame, tracks: Tracks) -> str: ...


class CsvWriter(TableWriter):
    """`frame,time_s,track_id,class,score,x1,y1,x2,y2,observed`, one row for each track in each frame.

    frame counts from 0 over the source's frames; time_s is in seconds since its first frame; the box is in
    pixels, clipped to the picture; observed is 1 where a detection was matched and 0 where the box is predicted. Where
    a classifier tells finer classes, `fine_class,fine_score` follow, empty where nothing is known.
    """

    def __init__(self, path: Path, info: VideoInfo, categories: Sequence[str]) -> None:
        """Creates the file and writes the header. Raises as `TableWriter`."""
        columns = CSV_COLUMNS + FINE_COLUMNS * info.fine
        super().__init__(path, info, ",".join(columns) + "\n")
        self._categories = tuple(categories)

    def _rows(self, frame: Frame, tracks: Tracks) -> str:
        seen, boxes = visible(tracks, self._info.width, self._info.height)
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        time = f"{frame.time:.6f}"
        for i, box in enumerate(boxes):
            rows.writerow(
                (
                    frame.index,
                    time,
                    seen.ids[i],
                    self._categories[seen.labels[i]],
                    f"{seen.scores[i]:.4f}",
                    *(f"{value:.2f}" for value in box),
                    int(seen.observed[i]),
                    *(self._fine(seen, i) if self._info.fine else ()),
                )
            )
        return text.getvalue()

    @staticmethod
    def _fine(tracks: Tracks, row: int) -> tuple[str, str]:
        if not isinstance(tracks, FineTracks) or not tracks.fine_classes[row]:
            return "", ""
        return str(tracks.fine_classes[row]), f"{tracks.fine_scores[row]:.4f}"


class MotWriter(TableWriter):
    """`frame,id,x,y,w,h,score,-1,-1,-1`, the result format of the MOTChallenge.

    frame counts from 1 over the source's frames; x and y are the box's left and top in pixels with the origin
    at the picture's top left corner, clipped to the picture. All classes are written, without their names.

    Source: Milan et al. 2016, MOT16: A Benchmark for Multi-Object Tracking, arXiv 1603.00831.
    """

    def _rows(self, frame: Frame, tracks: Tracks) -> str:
        seen, boxes = visible(tracks, self._info.width, self._info.height)
        return "".join(
            f"{frame.index + 1},{seen.ids[i]},{x:.2f},{y:.2f},{w:.2f},{h:.2f},{seen.scores[i]:.4f},-1,-1,-1\n"
            for i, (x, y, w, h) in enumerate(xyxy_to_xywh(boxes))
        )
