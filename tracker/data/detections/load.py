"""Reading of stored detections in any known format."""

import csv
from pathlib import Path
from typing import TextIO

from tracker.data.detections.coco import read_coco_detections
from tracker.data.detections.csv_table import read_csv_detections
from tracker.data.detections.mot import read_mot_detections
from tracker.data.detections.stored_detections import StoredDetections
from tracker.data.mot_file import is_mot_text
from tracker.errors import InputError

FORMATS = "a MOTChallenge file, a CSV of ours, or COCO's JSON"


def read_detections(path: str | Path, fps: float = 30.0) -> StoredDetections:
    """Reads stored detections; the content tells the format, and the order of the rows does not matter.

    Args:
        path: A MOTChallenge file (see `tracker.data.mot_file`), a CSV that `track` wrote (`read_csv_detections`), or
            COCO's JSON (`read_coco_detections`).
        fps: Frame rate where nothing else says it, frames per second.

    Raises:
        InputError: It cannot be read, is of no known format, or a row is malformed; says which line.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "det.txt").write_text("1,-1,11,21,30,40,0.9")
        ...     stored = read_detections(f"{folder}/det.txt")
        >>> stored.at(0).boxes.tolist()
        [[10.0, 20.0, 40.0, 60.0]]
    """
    path = Path(path).expanduser()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read(file, path, fps)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}: check the name") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path} holds no detections: give {FORMATS}") from None


def _read(file: TextIO, path: Path, fps: float) -> StoredDetections:
    head = file.read(65536)
    file.seek(0)
    start = head.lstrip()
    if not head:
        raise InputError(f"{path} is empty: give {FORMATS}")
    if start.startswith(("{", "[")):
        return read_coco_detections(file, path, fps)
    if is_mot_text(head):
        return read_mot_detections(file, path, fps)
    if "frame" in [field.strip() for field in start.split("\n", 1)[0].split(",")]:
        return read_csv_detections(file, path, fps)
    raise InputError(f"{path} holds no detections: give {FORMATS}")
