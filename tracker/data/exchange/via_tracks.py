"""Tracks as the CSV of the VGG Image Annotator, with a track in each region's attributes: what `movement` reads.

Source: https://movement.neuroinformatics.dev/latest/user_guide/input_output.html (VIA-tracks).
"""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

from tracker.data.exchange.table import TrackRows, TrackTable
from tracker.data.files import write_text
from tracker.data.run_tracks import RunTracks
from tracker.errors import InputError
from tracker.parsing import iter_csv_rows

COLUMNS = (
    "filename",
    "file_size",
    "file_attributes",
    "region_count",
    "region_id",
    "region_shape_attributes",
    "region_attributes",
)
_NUMBER_AT_END = re.compile(r"(\d+)\.\w+$")


def write_via_tracks(tracks: RunTracks, path: Path) -> None:
    """Writes a row for each box; frames are numbered from 0 in the name of the image, and in its attributes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for frame, found in tracks.by_frame():
        for region, box in enumerate(found.boxes.astype(float)):
            x1, y1, x2, y2 = box.tolist()
            shape = {
                "name": "rect",
                "x": _round(x1),
                "y": _round(y1),
                "width": _round(x2 - x1),
                "height": _round(y2 - y1),
            }
            about = {
                "track": int(found.ids[region]),
                "confidence": round(float(found.scores[region]), 4),
                "class": tracks.categories[int(found.labels[region])],
                "observed": int(found.observed[region]),
            }
            name = f"{tracks.name}_{frame.index:08d}.jpg"
            file = {"frame": frame.index, "time_s": round(frame.time, 6)}
            row = (name, 0, json.dumps(file), len(found), region, json.dumps(shape), json.dumps(about))
            writer.writerow(row)
    write_text(path, text.getvalue())


def _round(value: float) -> float:
    return round(value, 2)


def read_via_tracks(path: Path) -> TrackTable:
    """Reads a CSV of VIA-tracks.

    Raises:
        InputError: A row is not as VIA writes it, or has no track.
    """
    table = TrackTable()
    columns: Sequence[str] = ()
    for number, row in iter_csv_rows(path, "a CSV of VIA-tracks"):
        if not columns:
            columns = row
            continue
        try:
            values = dict(zip(columns, row, strict=True))
            file, shape, about = (
                json.loads(values[name]) for name in ("file_attributes", "region_shape_attributes", "region_attributes")
            )
            frame = int(file["frame"]) if "frame" in file else int(_NUMBER_AT_END.search(values["filename"])[1])  # type: ignore[index]
            x, y = float(shape["x"]), float(shape["y"])
            box = x, y, x + float(shape["width"]), y + float(shape["height"])
            track = int(about["track"])
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{path}, line {number}: this is no box of a track as VIA writes it") from None
        score, observed = float(about.get("confidence", 1)), bool(int(about.get("observed", 1)))
        table.rows.append(TrackRows(frame, track, str(about.get("class", "object")), score, box, observed))
        if "time_s" in file:
            table.times[frame] = float(file["time_s"])
    return table
