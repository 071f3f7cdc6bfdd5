"""Tables of tracks as text: CSV, and the format of the MOTChallenge."""

import contextlib
import csv
import io
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from tracker.boxes import xyxy_to_xywh
from tracker.output.base import ResultWriter, VideoInfo, cannot_open, cannot_write, visible
from tracker.types import Frame, Tracks

CSV_COLUMNS = ("frame", "time_s", "track_id", "class", "score", "x1", "y1", "x2", "y2", "observed")


class TableWriter(ResultWriter):
    """A text file that grows by the whole rows of one frame at a time.

    Each frame's rows are handed to the system in one unbuffered write, so that a killed process leaves whole
    rows only.
    """

    def __init__(self, path: Path, info: VideoInfo) -> None:
        """Creates the file.

        Raises:
            InputError: It cannot be created.
        """
        self.path = path
        self._info = info
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise cannot_open(path, error) from None
        self._size = 0

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Adds one row for each track that has a part inside the picture."""
        if rows := self._rows(frame, tracks):
            self._append(rows)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    @abstractmethod
    def _rows(self, frame: Frame, tracks: Tracks) -> str: ...

    def _append(self, text: str) -> None:
        data = text.encode()
        try:
            if self._file.write(data) != len(data):
                # Only a full disk (or quota) takes a part; asking once more gives the system's own reason.
                self._file.write(data)
                raise OSError("the file system took only a part of the rows")
        except OSError as error:
            with contextlib.suppress(OSError):  # a device cannot be cut; the write's own error is the one to tell
                self._file.truncate(self._size)
            raise cannot_write(self.path, error) from None
        self._size += len(data)


class CsvWriter(TableWriter):
    """`frame,time_s,track_id,class,score,x1,y1,x2,y2,observed`, one row for each track in each frame.

    frame counts from 0 over the source's frames; time_s is in seconds since its first frame; the box is in
    pixels, clipped to the picture; observed is 1 where a detection was matched and 0 where the box is predicted.
    """

    def __init__(self, path: Path, info: VideoInfo, categories: Sequence[str]) -> None:
        """Creates the file and writes the header. Raises as `TableWriter`."""
        super().__init__(path, info)
        self._categories = tuple(categories)
        try:
            self._append(",".join(CSV_COLUMNS) + "\n")
        except BaseException:
            self._file.close()
            if path.is_file():  # not a device
                path.unlink()
            raise

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
                )
            )
        return text.getvalue()


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
