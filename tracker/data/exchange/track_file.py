"""Reading of a file of tracks, whichever its format is."""

from collections.abc import Callable
from pathlib import Path

from tracker.data.coco_file import bbox_to_xyxy, frames_of, image_size_of
from tracker.data.exchange import cvat_video, dive, via_tracks
from tracker.data.exchange.table import TrackRows, TrackTable
from tracker.data.mot_file import is_mot_text, read_mot_file
from tracker.data.text_cells import from_cell
from tracker.errors import InputError
from tracker.parsing import iter_csv_rows, read_head, read_json

SUFFIXES = (".csv", ".json", ".txt", ".xml")


def read_tracks(path: Path) -> TrackTable:
    """Reads a file of tracks.

    Args:
        path: MOTChallenge (.txt), a table of `track` or VIA-tracks (.csv), COCO with `track_id` or DIVE (.json), or
            CVAT for video (.xml); found out from its content.

    Raises:
        InputError: The file is missing, is none of these, or has no tracks.
    """
    reader = _reader(path)
    table = reader(path)
    if not table.rows:
        raise InputError(f"{path} has no tracks")
    seen: set[tuple[int, int]] = set()
    for row in table.rows:
        if row.frame < 0 or row.track_id < 0:
            raise InputError(f"{path}: the frame {row.frame} of the track {row.track_id} is negative")
        if (row.frame, row.track_id) in seen:
            raise InputError(f"{path}: the track {row.track_id} has two boxes in the frame {row.frame}")
        seen.add((row.frame, row.track_id))
    return table


def _reader(path: Path) -> Callable[[Path], TrackTable]:
    match path.suffix.lower():
        case ".xml":
            return cvat_video.read_cvat
        case ".json":
            return _read_json
        case ".txt" | ".csv":
            head = read_head(path)
            if is_mot_text(head):
                return _read_mot
            return via_tracks.read_via_tracks if "region_shape_attributes" in head else _read_csv
    raise InputError(f"the name of a file of tracks ends with {', '.join(SUFFIXES)}, unlike {path}")


def _read_json(path: Path) -> TrackTable:
    values = read_json(path, "a file of tracks")
    if dive.is_dive(values):
        return dive.parse_dive(values, path)
    table = TrackTable()
    try:
        names = {entry["id"]: str(entry["name"]) for entry in values["categories"]}
        images = {int(image["id"]): image for image in values["images"]}
        for annotation in values["annotations"]:
            image = images[int(annotation["image_id"])]
            frame = int(image["frame_index"]) if "frame_index" in image else _frame(images, int(image["id"]))
            box = bbox_to_xyxy(annotation["bbox"])
            score, observed = float(annotation.get("score", 1)), bool(annotation.get("observed", True))
            name = names[annotation["category_id"]]
            table.rows.append(TrackRows(frame, int(annotation["track_id"]), name, score, box, observed))
        for image in values["images"]:
            table.width, table.height = table.width or image_size_of(image)[0], table.height or image_size_of(image)[1]
            if "frame_index" in image and "time_s" in image:
                table.times[int(image["frame_index"])] = float(image["time_s"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is neither COCO with a track_id in each annotation nor DIVE ({error!r})") from None
    return table


def _frame(images: dict[int, object], image_id: int) -> int:
    import numpy as np

    return int(frames_of(np.array([image_id, *images], "int64"))[0])


def _read_mot(path: Path) -> TrackTable:
    rows = read_mot_file(path)
    if (rows.ids < 0).any():
        raise InputError(f"{path} holds detections, whose ids are -1: track them by `track retrack {path}`")
    table = TrackTable()
    for frame, track_id, (x, y, width, height), score in zip(
        rows.frames.tolist(), rows.ids.tolist(), rows.boxes.tolist(), rows.scores.tolist(), strict=True
    ):
        table.rows.append(TrackRows(frame, track_id, "person", score, (x, y, x + width, y + height)))
    return table


def _read_csv(path: Path) -> TrackTable:
    table = TrackTable()
    columns: list[str] = []
    for number, row in iter_csv_rows(path, "a CSV of tracks"):
        if not columns:
            columns = row
            continue
        try:
            values = dict(zip(columns, row, strict=True))
            frame, track_id = int(values["frame"]), int(values["track_id"])
            x1, y1, x2, y2 = (float(values[name]) for name in ("x1", "y1", "x2", "y2"))
            score, observed = float(values.get("score") or 1), values.get("observed", "1") != "0"
            if "time_s" in values:
                table.times[frame] = float(values["time_s"])
        except (KeyError, ValueError):
            raise InputError(f"{path}, line {number}: this is no row of a table of tracks") from None
        category = from_cell(values.get("class", "object"))
        table.rows.append(TrackRows(frame, track_id, category, score, (x1, y1, x2, y2), observed))
    return table
