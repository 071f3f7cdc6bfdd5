"""From a file to its detections, whatever its format."""

import csv
from pathlib import Path
from typing import TextIO

from tracker.data.detections.coco import read_coco
from tracker.data.detections.csv_table import read_table
from tracker.data.detections.mot import read_mot
from tracker.data.detections.stored_detections import StoredDetections
from tracker.errors import InputError

FORMATS = "a table of the MOTChallenge, a CSV of ours, or COCO's JSON"


def read_detections(path: str | Path, fps: float = 30.0) -> StoredDetections:
    """Reads stored detections; the format is told by the content, and the order of the rows does not matter.

    Args:
        path: A table of the MOTChallenge (see `read_mot`), a CSV of ours (`read_table`), or COCO's JSON (`read_coco`).
        fps: Frame rate where nothing else says it, frames per second.

    Raises:
        InputError: It cannot be read, is of no known format, or a row is broken; says which line.
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
        return read_coco(file, path, fps)
    fields = [field.strip() for field in start.split("\n", 1)[0].split(",")]
    if "frame" in fields:
        return read_table(file, path, fps)
    if len(fields) > 1 and _is_number(fields[0]):
        return read_mot(file, path, fps)
    raise InputError(f"{path} holds no detections: give {FORMATS}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
