"""Folders of runs with given tracks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracker.data.run_tracks import RunTracks
from tracker.output.run_folder import write_run

Rows = Mapping[int, Sequence[tuple[int, float, float]]]
"""For each track its boxes: frame, and x and y of the middle of its lower side."""


def make_tracks(
    rows: Rows,
    folder: Path = Path("run"),
    *,
    fps: float = 10,
    size: tuple[int, int] = (100, 100),
    box: tuple[float, float] = (4, 10),
    classes: Mapping[int, str] | None = None,
    predicted: Sequence[tuple[int, int]] = (),
    source: Mapping[str, Any] | None = None,
) -> RunTracks:
    """Returns tracks whose boxes are given by their feet; `predicted` are (track, frame) that were not observed."""
    known = {track: (classes or {}).get(track, "person") for track in rows}
    categories = tuple(dict.fromkeys(known.values())) or ("person",)
    table = sorted((frame, track, x, y) for track, points in rows.items() for frame, x, y in points)
    frames, ids, x, y = (np.array(column) for column in zip(*table, strict=True))
    width, height = box
    about = {"name": "clip.mp4", "path": "", "width": size[0], "height": size[1], "frame_rate": str(fps)}
    return RunTracks(
        folder=folder,
        frames=frames.astype(np.int64),
        times=frames / fps,
        ids=ids.astype(np.int64),
        labels=np.array([categories.index(known[track]) for track in ids], np.int64),
        scores=np.full(len(ids), 0.9, np.float32),
        boxes=np.stack([x - width / 2, y - height, x + width / 2, y], 1).astype(np.float64),
        observed=np.array([(track, frame) not in predicted for frame, track in zip(frames, ids, strict=True)]),
        categories=categories,
        width=size[0],
        height=size[1],
        record={"status": "finished", "source": {**about, **(source or {})}, "config": {}},
    )


def make_run(rows: Rows, folder: Path, **settings: Any) -> Path:
    """Writes the folder of a run with these tracks, and returns it."""
    folder.mkdir(parents=True)
    write_run(make_tracks(rows, folder, **settings))
    return folder


def walk(start: tuple[float, float], end: tuple[float, float], frames: range) -> list[tuple[int, float, float]]:
    """Returns the boxes of a track that goes along a straight line."""
    steps = np.linspace(0, 1, len(frames))
    return [
        (frame, start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1]))
        for frame, part in zip(frames, steps.tolist(), strict=True)
    ]
