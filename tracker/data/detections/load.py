"""Reading of stored detections in any known format."""

from pathlib import Path

from tracker.data.detections.coco import read_coco_detections
from tracker.data.detections.csv_table import find_delimiter, read_csv_detections
from tracker.data.detections.mot import read_mot_detections
from tracker.data.detections.run_folder import read_run_detections
from tracker.data.detections.stored_detections import StoredDetections
from tracker.data.mot_file import is_mot_text
from tracker.errors import InputError
from tracker.parsing import read_head

FORMATS = "a MOTChallenge file, a CSV of ours, COCO's JSON, or the folder of a run"


def read_detections(path: str | Path, fps: float = 30.0, source: str = "") -> StoredDetections:
    """Reads stored detections; the content tells the format, and the order of the rows does not matter.

    Args:
        path: A MOTChallenge file (see `tracker.data.mot_file`), a CSV that `track` wrote (`read_csv_detections`),
            COCO's JSON (`read_coco_detections`), or the folder of a run with its detections (`read_run_detections`).
        fps: Frame rate where nothing else says it, frames per second.
        source: The source whose rows to read, of a table of several; it may be left out if there is one.

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
    if path.is_dir():
        return read_run_detections(path)
    head = read_head(path, "a file of detections")
    start = head.lstrip()
    if not start:
        raise InputError(f"{path} is empty: give {FORMATS}")
    if start.startswith(("{", "[")):
        return read_coco_detections(path, fps)
    if is_mot_text(head):
        return read_mot_detections(path, fps)
    if delimiter := find_delimiter(start):
        return read_csv_detections(path, fps, delimiter, source)
    raise InputError(f"{path} holds no detections: give {FORMATS}")
