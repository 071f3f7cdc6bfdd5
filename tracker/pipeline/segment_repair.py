"""Completion of the segments of a run that was killed, when it is run again."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv
from numpy.typing import NDArray

from tracker.config import OutputConfig
from tracker.data.files import write_json
from tracker.data.store import RECORD
from tracker.data.text_cells import from_cell
from tracker.errors import InputError
from tracker.output import VideoInfo, open_writer
from tracker.parsing import read_json
from tracker.pipeline.resume import remove_leftovers
from tracker.pipeline.segments import segment_folders
from tracker.structures.types import Frame, Tracks
from tracker.video import source_name

logger = logging.getLogger(__name__)

_EARLIER = 100
"""Most earlier runs that a record names."""
_FROM_ROWS = ("tracks.parquet", "tracks_summary.parquet", "summary.csv")
_NO_IMAGE: NDArray[np.uint8] = np.zeros((0, 0, 3), np.uint8)


def repair_segments(root: Path) -> list[dict[str, Any]]:
    """Completes the tables of segments that a killed process left, and returns how the runs before this one ended.

    Their rows are those of `tracks.csv`, which is written frame by frame; the claim on the folder has to be held.

    Raises:
        InputError: A segment cannot be completed.
    """
    for folder in segment_folders(root):
        path = folder / RECORD
        if not path.is_file():  # it was killed before it wrote anything
            remove_leftovers(folder)
            with suppress(OSError):
                folder.rmdir()
            continue
        record = read_json(path, "the record of a segment")
        if record.get("status") == "running":
            _complete(folder, record)
    path = root / RECORD
    if not path.is_file():
        return []
    record = read_json(path, "the record of a run")
    last = {name: record.get(name) for name in ("started", "status", "end", "reason", "frames")}
    return [*record.get("earlier", []), last][-_EARLIER:]


def _complete(folder: Path, record: dict[str, Any]) -> None:
    remove_leftovers(folder)
    rows = folder / "tracks.csv"
    _cut_torn_row(rows)
    if not rows.is_file() or not rows.stat().st_size:  # it was killed before the first frame
        shutil.rmtree(folder)
        return
    try:
        _write_tables(folder, record)
    except InputError as error:  # which is no reason not to go on with the next segment
        logger.warning("%s", error)
    write_json(folder / RECORD, {**record, "status": "stopped", "end": "stopped", "reason": "it was killed"})
    logger.warning("completed the segment %s of a run that was killed", folder)


def _cut_torn_row(path: Path) -> None:
    """Cuts a last row without its end, in the middle of which the process was killed, off a table."""
    if path.is_file():
        with path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)


def _write_tables(folder: Path, record: dict[str, Any]) -> None:
    source = record["source"]
    rate = Fraction(source["frame_rate"]) or Fraction(30)
    table = _read_rows(folder / "tracks.csv")
    names, categories = table.column_names, table["class"].unique().to_pylist()
    info = VideoInfo(
        name=source_name(str(source["name"])),
        width=0,  # the rows are clipped already
        height=0,
        time_base=1 / rate,
        frame_rate=rate,
        clip=False,
        has_fine_classes="fine_class" in names,
        has_dates="datetime" in names,
    )
    for name in _FROM_ROWS:
        with open_writer(folder / name, info, categories, OutputConfig()) as writer:
            for frame, tracks in _frames(table, categories):
                writer.write(frame, tracks)


def _read_rows(path: Path) -> pa.Table:
    texts = ("class", "fine_class", "datetime")
    options = pv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()))
    try:
        table = pv.read_csv(path, convert_options=options)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{path} cannot be read ({error}): the other tables of {path.parent} are not complete"
        ) from None
    for name in ("class", "fine_class"):
        if name in table.column_names:
            cells = pa.array([from_cell(cell) for cell in table[name].to_pylist()], pa.string())
            table = table.set_column(table.column_names.index(name), name, cells)
    return table


def _frames(table: pa.Table, categories: list[str]) -> Iterator[tuple[Frame, Tracks]]:
    """Yields the frames that have rows, with their tracks."""
    if not len(table):
        return
    label_of = {name: label for label, name in enumerate(categories)}
    labels = np.array([label_of[name] for name in table["class"].to_pylist()], np.int64)
    numbers = {name: table[name].to_numpy() for name in ("frame", "time_s", "track_id", "score", "observed")}
    boxes = np.stack([table[name].to_numpy() for name in ("x1", "y1", "x2", "y2")], axis=1).astype(np.float32)
    fine = "fine_class" in table.column_names
    dates = table["datetime"].to_pylist() if "datetime" in table.column_names else None
    starts = np.flatnonzero(np.diff(numbers["frame"], prepend=-1))
    for begin, end in zip(starts.tolist(), [*starts[1:].tolist(), len(labels)], strict=True):
        rows, count = slice(begin, end), end - begin
        tracks = Tracks(
            ids=numbers["track_id"][rows].astype(np.int64),
            boxes=boxes[rows],
            scores=numbers["score"][rows].astype(np.float32),
            labels=labels[rows],
            velocities=np.zeros((count, 2), np.float32),
            ages=np.zeros(count, np.float32),
            observed=numbers["observed"][rows].astype(np.bool_),
            detection_index=np.full(count, -1, np.int64),
        )
        if fine:
            part = table.slice(begin, count)
            classes = np.array([name or "" for name in part["fine_class"].to_pylist()], np.str_)
            scores = part["fine_score"].fill_null(0).to_numpy().astype(np.float32)
            tracks = tracks.with_data(fine_classes=classes, fine_scores=scores)
        date = None if dates is None else datetime.fromisoformat(dates[begin]).timestamp()
        number = int(numbers["frame"][begin])
        yield Frame(number, float(numbers["time_s"][begin]), number, _NO_IMAGE, unix_time=date), tracks
