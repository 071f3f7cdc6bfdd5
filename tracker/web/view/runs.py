"""The runs that a page shows, and the parts of their tracks that it asks for."""

import math
import threading
from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracker.config.zones import parse_regions
from tracker.data.edits import Edit, RunTable, TrackRow
from tracker.data.edits.columns import numbers, rows_between
from tracker.data.store import RECORD
from tracker.errors import InputError
from tracker.parsing import read_json
from tracker.web.view.doubtful import find_moments
from tracker.web.view.explanations import window_of_account
from tracker.web.view.media import Media

if TYPE_CHECKING:
    from tracker.pipeline.explain import Account, RunExplainer

MAX_SECONDS = 120.0
"""Longest part of a run in one answer."""
KEPT_STEPS = 30_000
"""Frames of all accounts of tracks that are kept, about 1 KB each."""
_FEW_FRAMES = 9
"""Frames of a track among which its clearest box is chosen."""


class ViewedRun:
    """A run, as the page sees it."""

    def __init__(self, folder: Path) -> None:
        """Opens the table of the run.

        Raises:
            InputError: It is no run that has ended.
        """
        self.folder = folder
        self.table = RunTable(folder)
        record = read_json(folder / RECORD, "the record of a run")
        if not isinstance(record, dict) or not isinstance(record.get("source"), dict):
            raise InputError(f"{folder / RECORD} is no record of a run")
        self.record = record
        self.media = Media(folder, self.record, self.table)
        self._tracks: tuple[list[Edit], dict[str, list[Any]]] | None = None
        self._explainer: RunExplainer | None = None
        self._accounts: dict[tuple[int, int], Account] = {}  # by track, and version of the journal
        self._explaining = threading.Lock()

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.resolve().name

    def describe(self) -> dict[str, Any]:
        """Returns what the page shows before anything else."""
        source = self.record["source"]
        return {
            "name": self.name,
            "source": source.get("name", ""),
            "width": source.get("width") or 0,
            "height": source.get("height") or 0,
            "duration": self.duration,
            "status": self.record.get("status", ""),
            "regions": self.regions,
            **self.journal(),
        }

    @cached_property
    def regions(self) -> dict[str, Any]:
        """The polygons of `--roi`, by name, their corners as fractions of the picture: `zones` and `ignore`."""
        detector = self.record.get("config", {}).get("detector", {})
        return parse_regions(detector.get("roi", "")).model_dump(include={"zones", "ignore"}, mode="json")

    @cached_property
    def duration(self) -> float:
        """Time of the last frame with a track, seconds."""
        return max((track.last_s for track in self.table.tracks([])), default=0.0)

    def journal(self) -> dict[str, Any]:
        """Returns the version, and the lines of the journal."""
        entries = self.table.journal.entries()
        lines = [
            {"author": entry.author, "time": entry.time, "text": entry.edit.describe() if entry.edit else entry.action}
            for entry in entries
        ]
        return {"version": len(entries), "journal": lines, "edits": len(self.table.journal.edits())}

    def tracks(self) -> dict[str, list[Any]]:
        """Returns the columns of the list of tracks."""
        edits = self.table.journal.edits()
        if self._tracks is None or self._tracks[0] != edits:
            rows = self.table.tracks(edits)
            names = [field.name for field in fields(TrackRow)]
            self._tracks = edits, {name: [_short(getattr(row, name)) for row in rows] for name in names}
        return self._tracks[1]

    def window(self, start: float, end: float) -> dict[str, Any]:
        """Returns the frames that are shown between two times, seconds, and the boxes in them."""
        if not 0 <= start < end <= start + MAX_SECONDS:
            raise InputError(f"ask for at most {MAX_SECONDS:g} s of a run")
        rows = self.table.window(*self.table.frames_between(start, end))
        rows = rows_between(rows, "time_s", start, end)
        frames, times = self.media.frame_times(start, end, rows)
        return {"frames": frames.tolist(), "times": times.tolist(), "rows": _columns(rows)}

    def moments(self, after: float, limit: int) -> dict[str, Any]:
        """Returns the next doubtful moments after a time, seconds; see `find_moments`."""
        found, until = find_moments(self.table, after, limit)
        return {"moments": [asdict(moment) for moment in found], "until": until if math.isfinite(until) else None}

    def why(self, track_id: int, start: float, end: float) -> dict[str, Any]:
        """Returns why a track is as it is, with the decisions between two times, seconds.

        The answer is a `problem` in words if there is one, and `superseded` if another track was asked for meanwhile.
        """
        if not 0 <= start < end <= start + MAX_SECONDS:
            raise InputError(f"ask for at most {MAX_SECONDS:g} s of a run")
        # It takes time and memory, which a look does without.
        from tracker.pipeline.explain import RunExplainer, Superseded

        key = track_id, self.table.journal.version
        try:
            with self._explaining:
                self._explainer = self._explainer or RunExplainer(self.folder)
            account = self._accounts.get(key) or self._explainer.explain(track_id)
        except Superseded:
            return {"superseded": True}
        except InputError as error:
            return {"problem": str(error)}
        self._keep(key, account)
        return window_of_account(account, start, end)

    def _keep(self, key: tuple[int, int], account: "Account") -> None:
        """Keeps the latest account, and of those before as many as there is room for."""
        kept, steps = [(key, account)], account.step_count
        for known, older in reversed(list(self._accounts.items())):
            steps += older.step_count
            if known != key and steps <= KEPT_STEPS:
                kept.append((known, older))
        self._accounts = dict(reversed(kept))

    def close(self) -> None:
        """Ends what goes on in other threads."""
        self.media.close()
        if self._explainer is not None:
            self._explainer.close()

    def best_box(self, track_id: int) -> dict[str, Any] | None:
        """Returns time and box of a track where it is large, with a high score; None if it was edited away."""
        edits = self.table.journal.edits()
        columns = self.tracks()
        if track_id not in columns["id"]:
            return None
        index = columns["id"].index(track_id)
        first, last = columns["first_frame"][index], columns["last_frame"][index]
        found: list[dict[str, Any]] = []
        wanted = np.unique(np.linspace(first, last, _FEW_FRAMES).astype(int)).tolist()
        near = last - first < 2000
        parts = [self.table.window(first, last + 1, edits)] if near else []
        parts = parts or [self.table.window(frame, frame + 1, edits) for frame in wanted[1:-1:3] or wanted]
        for part in parts:
            found += part.filter(pc.equal(part["track_id"], track_id)).to_pylist()
        if not found:
            return None
        best = max(found, key=lambda row: row["observed"] * row["score"] * math.sqrt(_area(row)) + 1e-9 * _area(row))
        return {"time": best["time_s"], "box": [best[name] for name in ("x1", "y1", "x2", "y2")]}


def _area(row: dict[str, Any]) -> float:
    return float((row["x2"] - row["x1"]) * (row["y2"] - row["y1"]))


def _columns(rows: pa.Table) -> dict[str, list[Any]]:
    names = {"frame": "frame", "track_id": "id", "score": "score", "observed": "observed"}
    columns: dict[str, list[Any]] = {new: rows[old].to_pylist() for old, new in names.items()}
    columns["class"] = rows["class"].cast(pa.string()).to_pylist()
    for name in ("x1", "y1", "x2", "y2"):
        columns[name] = np.round(numbers(rows[name]).astype(np.float64), 2).tolist()
    columns["score"] = np.round(numbers(rows["score"]).astype(np.float64), 3).tolist()
    return columns


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def find_runs(folders: Sequence[Path]) -> list[ViewedRun]:
    """Returns the runs in some folders, each that of a run, or a folder of runs.

    Raises:
        InputError: There is none.
    """
    found: list[ViewedRun] = []
    for folder in folders:
        if (folder / RECORD).is_file():
            found.append(ViewedRun(folder))
            continue
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}: give that of a run, such as tracked/video")
        inside = [
            path.parent for path in sorted(folder.glob("**/run.json")) if (path.parent / "tracks.parquet").is_file()
        ]
        if not inside:
            raise InputError(f"{folder} holds no run that has ended: give the folder of one, such as tracked/video")
        found += map(ViewedRun, inside)
    return found
