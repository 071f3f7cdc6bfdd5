"""Tracks as CVAT's XML 1.1 of a video ("CVAT for video").

Every row of a track is a key frame, and where a track is not seen a box that is outside follows. CVAT numbers tracks
anew; the attribute `track_id` keeps ours, if the label in CVAT has such an attribute, as this file states it.

Source: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat (the XML annotation format, version 1.1).
"""

from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from tracker.data.annotations.cvat import read_cvat_tracks
from tracker.data.exchange.table import TrackRows, TrackTable
from tracker.data.files import write_text
from tracker.data.run_tracks import RunTracks

_ATTRIBUTES = (("track_id", "number", "0"), ("score", "number", "1"), ("observed", "checkbox", "true"))


def write_cvat(tracks: RunTracks, path: Path, frame_count: int = 0) -> None:
    """Writes tracks for CVAT.

    Args:
        tracks: The tracks.
        path: The XML file.
        frame_count: Number of frames of the video; 0 where it is unknown.
    """
    last = int(tracks.frames.max()) if len(tracks) else 0
    write_text(path, "".join(_lines(tracks, max(frame_count, last + 1), _step(tracks))))


def _step(tracks: RunTracks) -> int:
    """Returns the distance of processed frames, such as 2 where every second one was left out."""
    return int(np.gcd.reduce(np.diff(np.unique(tracks.frames)))) if len(np.unique(tracks.frames)) > 1 else 1


def _lines(tracks: RunTracks, frame_count: int, step: int) -> Iterator[str]:
    attributes = "".join(
        f"<attribute><name>{name}</name><mutable>{name != 'track_id'}</mutable><input_type>{kind}</input_type>"
        f"<default_value>{default}</default_value><values></values></attribute>"
        for name, kind, default in _ATTRIBUTES
    )
    labels = "".join(
        f"<label><name>{escape(name)}</name><type>any</type><attributes>{attributes}</attributes></label>"
        for name in tracks.categories
    )
    frame_filter = f"<frame_filter>step={step}</frame_filter>" if step > 1 else ""
    yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
    yield (
        f"<meta><task><name>{escape(tracks.name)}</name><size>{frame_count}</size><mode>interpolation</mode>"
        f"<start_frame>0</start_frame><stop_frame>{frame_count - 1}</stop_frame>{frame_filter}"
        f"<labels>{labels}</labels><original_size><width>{tracks.width}</width><height>{tracks.height}</height>"
        f"</original_size></task></meta>\n"
    )
    for track in tracks.by_track():
        label = quoteattr(tracks.categories[int(track.labels[-1])])
        yield f'<track id="{int(track.ids[0])}" label={label} source="auto">\n'
        following = [*track.frames[1:].tolist(), -1]
        for row, next_frame in enumerate(following):
            yield _box(track, row, int(track.frames[row]), outside=False)
            gone = int(track.frames[row]) + step
            if next_frame != gone and gone < frame_count:
                yield _box(track, row, gone, outside=True)
        yield "</track>\n"
    yield "</annotations>\n"


def _box(track: RunTracks, row: int, frame: int, outside: bool) -> str:
    x1, y1, x2, y2 = (f"{value:.2f}" for value in track.boxes[row])
    values = int(track.ids[row]), f"{track.scores[row]:.4f}", str(bool(track.observed[row])).lower()
    attributes = "".join(
        f'<attribute name="{name}">{value}</attribute>' for (name, _, _), value in zip(_ATTRIBUTES, values, strict=True)
    )
    return (
        f'<box frame="{frame}" outside="{int(outside)}" occluded="0" keyframe="1" '
        f'xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}" z_order="0">{attributes}</box>\n'
    )


def read_cvat(path: Path) -> TrackTable:
    """Reads the tracks of a video from CVAT's XML; boxes between key frames are interpolated.

    Raises:
        InputError: The file cannot be read, or has no tracks.
    """
    tracks, (width, height) = read_cvat_tracks(path)
    ids = [_own_id(track.attributes.get("track_id"), track.number) for track in tracks]
    if len(set(ids)) < len(ids) or min(ids, default=1) < 1:  # CVAT counts from 0, and copies attributes of split tracks
        first = min(track.number for track in tracks)
        ids = [track.number + max(0, 1 - first) for track in tracks]
    table = TrackTable(width=width, height=height)
    for track_id, track in zip(ids, tracks, strict=True):
        for shape in track.shapes:
            score = float(shape.attributes.get("score", 1))
            observed = shape.is_key and shape.attributes.get("observed", "true") != "false"
            table.rows.append(TrackRows(shape.frame, track_id, track.label, score, shape.box, observed))
    return table


def _own_id(text: str | None, number: int) -> int:
    return int(float(text)) if text and text.replace(".", "").isdigit() and float(text) >= 1 else number
