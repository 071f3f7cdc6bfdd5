"""Tracks as the annotation JSON of DIVE (Kitware), version 2.

Source: https://kitware.github.io/dive/DataFormats/
"""

from pathlib import Path
from typing import Any

import numpy as np

from tracker.data.exchange.table import TrackRows, TrackTable
from tracker.data.files import write_json
from tracker.data.run_tracks import RunTracks
from tracker.errors import InputError

_ONE_FRAME = 1


def write_dive(tracks: RunTracks, path: Path) -> None:
    """Writes tracks for DIVE; a track that is not seen for a while has no feature there, and is not interpolated."""
    found = {str(int(track.ids[0])): _track(track, tracks.categories) for track in tracks.by_track()}
    write_json(path, {"version": 2, "tracks": found, "groups": {}}, indent=None)


def _track(track: RunTracks, categories: tuple[str, ...]) -> dict[str, Any]:
    features = [
        {
            "frame": int(track.frames[row]),
            "bounds": [round(float(value), 2) for value in track.boxes[row]],
            "keyframe": True,
            "interpolate": False,
            "attributes": {"score": round(float(track.scores[row]), 4), "observed": bool(track.observed[row])},
        }
        for row in range(len(track))
    ]
    return {
        "id": int(track.ids[0]),
        "meta": {},
        "attributes": {},
        "confidencePairs": [[categories[int(track.labels[-1])], round(float(np.mean(track.scores)), 4)]],
        "begin": int(track.frames[0]),
        "end": int(track.frames[-1]),
        "features": features,
    }


def is_dive(values: Any) -> bool:
    """Checks whether JSON is that of DIVE."""
    tracks = values.get("tracks") if isinstance(values, dict) else None
    return isinstance(tracks, dict) and all(
        isinstance(track, dict) and "features" in track for track in tracks.values()
    )


def parse_dive(values: Any, path: Path) -> TrackTable:
    """Returns the tracks of DIVE's JSON; boxes between features that are interpolated are filled in.

    Raises:
        InputError: A track is not as DIVE writes it.
    """
    table = TrackTable()
    for key, track in values["tracks"].items():
        try:
            table.rows += _rows(track)
        except (KeyError, TypeError, ValueError, IndexError):
            raise InputError(f"{path}: the track {key} is not as DIVE writes it") from None
    return table


def _rows(track: dict[str, Any]) -> list[TrackRows]:
    pairs = track["confidencePairs"]
    category, score = max(pairs, key=lambda pair: pair[1]) if pairs else ("object", 1.0)
    rows = []
    features = sorted((one for one in track["features"] if one.get("bounds")), key=lambda one: one["frame"])
    for number, feature in enumerate(features):
        values = feature.get("attributes") or {}
        x1, y1, x2, y2 = map(float, feature["bounds"])
        own = float(values.get("score", score))
        observed = bool(values.get("observed", True))
        row = TrackRows(int(feature["frame"]), int(track["id"]), str(category), own, (x1, y1, x2, y2), observed)
        rows.append(row)
        following = features[number + 1] if number + 1 < len(features) else None
        if following is not None and feature.get("interpolate"):
            rows += _between(row, int(following["frame"]), [float(value) for value in following["bounds"]])
    return rows


def _between(row: TrackRows, end: int, bounds: list[float]) -> list[TrackRows]:
    first = np.array(row.box)
    rows = []
    for frame in range(row.frame + _ONE_FRAME, end):
        x1, y1, x2, y2 = (first + (np.array(bounds) - first) * (frame - row.frame) / (end - row.frame)).tolist()
        rows.append(row._replace(frame=frame, box=(x1, y1, x2, y2), observed=False))
    return rows
