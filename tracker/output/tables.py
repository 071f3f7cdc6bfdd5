"""Writers of tracks as text tables: CSV, and the format of the MOTChallenge."""

import csv
import io
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from tracker.data.mot_file import format_mot_row
from tracker.output.base import ResultWriter, VideoInfo, clip_tracks
from tracker.output.text_file import AppendOnlyFile
from tracker.structures.boxes import xyxy_to_xywh
from tracker.structures.types import Frame, Tracks

CSV_COLUMNS = ("frame", "time_s", "track_id", "class", "score", "x1", "y1", "x2", "y2", "observed")
FINE_CLASS_COLUMNS = ("fine_class", "fine_score")


class TableWriter(ResultWriter):
    """Appends the rows of one frame at a time to a text file."""

    def __init__(self, path: Path, info: VideoInfo, header: str = "") -> None:
        self.path = path
        self._info = info
        self._file = AppendOnlyFile(path, header)

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
    classifier of finer classes, `fine_class,fine_score` follow, empty where they are unknown.
    """

    def __init__(self, path: Path, info: VideoInfo, categories: Sequence[str]) -> None:
        columns = CSV_COLUMNS + FINE_CLASS_COLUMNS * info.has_fine_classes
        super().__init__(path, info, ",".join(columns) + "\n")
        self._categories = tuple(categories)

    def _rows(self, frame: Frame, tracks: Tracks) -> str:
        tracks, boxes = clip_tracks(tracks, self._info.width, self._info.height)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for i, box in enumerate(boxes):
            track = tracks.ids[i], self._categories[tracks.labels[i]], f"{tracks.scores[i]:.4f}"
            corners = (f"{value:.2f}" for value in box)
            fine_class = self._fine_class(tracks, i) if self._info.has_fine_classes else ()
            row = (frame.index, f"{frame.time:.6f}", *track, *corners, int(tracks.observed[i]), *fine_class)
            writer.writerow(row)
        return text.getvalue()

    @staticmethod
    def _fine_class(tracks: Tracks, index: int) -> tuple[str, str]:
        if "fine_classes" not in tracks.data or not tracks.data["fine_classes"][index]:
            return "", ""
        return str(tracks.data["fine_classes"][index]), f"{tracks.data['fine_scores'][index]:.4f}"


class MotWriter(TableWriter):
    """Writes `frame,id,x,y,w,h,score,-1,-1,-1`, the result format of the MOTChallenge (see `tracker.data.mot_file`).

    frame counts from 1 over the source's frames; x and y are the box's left and top in pixels, which count from 1 too:
    a box at the image's edge, to which it is clipped, has x 1. All classes are written, without their names.
    """

    def _rows(self, frame: Frame, tracks: Tracks) -> str:
        tracks, boxes = clip_tracks(tracks, self._info.width, self._info.height)
        columns = zip(tracks.ids, xyxy_to_xywh(boxes), tracks.scores, strict=True)
        return "".join(format_mot_row(frame.index, track_id, box, score) for track_id, box, score in columns)
