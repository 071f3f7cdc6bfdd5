"""Writers of tracks as text tables: CSV, and the format of the MOTChallenge."""

import csv
import io
from abc import abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from tracker.data.mot_file import format_mot_row
from tracker.data.text_cells import to_cell
from tracker.output.base import ResultWriter, VideoInfo, clip_tracks
from tracker.output.text_file import AppendOnlyFile
from tracker.structures.boxes import xyxy_to_xywh
from tracker.structures.dates import format_utc
from tracker.structures.types import Frame, Tracks

CSV_COLUMNS = ("frame", "time_s", "track_id", "class", "score", "x1", "y1", "x2", "y2", "observed")
FINE_CLASS_COLUMNS = ("fine_class", "fine_score")
DATE_COLUMN = "datetime"


class TableWriter(ResultWriter):
    """Appends the rows of one frame at a time to a text file."""

    def __init__(self, path: Path, info: VideoInfo, header: str = "", overwrite: bool = True) -> None:
        self.path = path
        self._info = info
        self._file = AppendOnlyFile(path, header, overwrite)

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Appends one row for each track that overlaps the image."""
        if rows := self._rows(frame, tracks):
            self._file.append(rows)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    @abstractmethod
    def _rows(self, frame: Frame, tracks: Tracks) -> str: ...


class CsvWriter(TableWriter):
    """Writes `frame,time_s,track_id,class,score,x1,y1,x2,y2,observed`, one row for each track in each frame.

    frame counts from 0 over the source's frames; time_s is in seconds since its first frame; the box is in
    pixels, clipped to the image; observed is 1 where a detection was matched and 0 where the box is predicted. With a
    classifier of finer classes, `fine_class,fine_score` follow, empty where they are unknown; of a live source, or with
    a start time, `datetime`, ISO 8601. Texts are written by `tracker.data.text_cells`.
    """

    def __init__(self, path: Path, info: VideoInfo, categories: Sequence[str], overwrite: bool = True) -> None:
        columns = csv_columns(info.has_fine_classes, info.has_dates or info.start_time is not None)
        super().__init__(path, info, ",".join(columns) + "\n", overwrite)
        self._format = CsvFormat(info, categories)

    def _rows(self, frame: Frame, tracks: Tracks) -> str:
        return self._format.rows(frame, tracks)


def csv_columns(has_fine_classes: bool, has_dates: bool = False) -> tuple[str, ...]:
    """Returns the columns of a CSV table of tracks."""
    return CSV_COLUMNS + FINE_CLASS_COLUMNS * has_fine_classes + (DATE_COLUMN,) * has_dates


class CsvFormat:
    """Formats tracks as rows of a CSV table."""

    def __init__(self, info: VideoInfo, categories: Sequence[str], *first_cells: str) -> None:
        """Takes the source's properties, class names by label, and texts with which every row begins."""
        self._info = info
        self._categories = tuple(map(to_cell, categories))
        self._first_cells = tuple(map(to_cell, first_cells))

    def rows(self, frame: Frame, tracks: Tracks) -> str:
        """Returns the rows of a frame."""
        tracks, boxes = clip_tracks(tracks, self._info.width, self._info.height, frame.fit, self._info.clip)
        date = self._date(frame)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for i, box in enumerate(boxes):
            track = tracks.ids[i], self._categories[tracks.labels[i]], f"{tracks.scores[i]:.4f}"
            corners = (f"{value:.2f}" for value in box)
            fine_class = self._fine_class(tracks, i) if self._info.has_fine_classes else ()
            row = (frame.index, f"{frame.time:.6f}", *track, *corners, int(tracks.observed[i]), *fine_class, *date)
            writer.writerow(self._first_cells + row)
        return text.getvalue()

    def _date(self, frame: Frame) -> tuple[str, ...]:
        """Returns the cell of the date and time of a frame; none without such a column."""
        start = self._info.start_time
        if self._info.has_dates:
            return (format_utc(frame.unix_time or 0),)
        return () if start is None else ((start + timedelta(seconds=frame.time)).isoformat(timespec="milliseconds"),)

    @staticmethod
    def _fine_class(tracks: Tracks, index: int) -> tuple[str, str]:
        if "fine_classes" not in tracks.data or not tracks.data["fine_classes"][index]:
            return "", ""
        return to_cell(str(tracks.data["fine_classes"][index])), f"{tracks.data['fine_scores'][index]:.4f}"


class MotWriter(TableWriter):
    """Writes `frame,id,x,y,w,h,score,-1,-1,-1`, the result format of the MOTChallenge (see `tracker.data.mot_file`).

    frame counts from 1 over the source's frames; x and y are the box's left and top in pixels, which count from 1 too:
    a box at the image's edge, to which it is clipped, has x 1. All classes are written, without their names.
    """

    def _rows(self, frame: Frame, tracks: Tracks) -> str:
        tracks, boxes = clip_tracks(tracks, self._info.width, self._info.height, frame.fit, self._info.clip)
        columns = zip(tracks.ids, xyxy_to_xywh(boxes), tracks.scores, strict=True)
        return "".join(format_mot_row(frame.index, track_id, box, score) for track_id, box, score in columns)
