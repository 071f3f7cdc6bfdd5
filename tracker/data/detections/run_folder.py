"""Detections from the folder of a run that stored them."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa

from tracker.data.detections.stored_detections import StoredDetections
from tracker.data.store import PartReader
from tracker.structures.types import Detections

_COLUMNS = ["frame", "time_s", "label", "score", "x1", "y1", "x2", "y2"]
ROW = "stored_row"
"""Column of `Detections.data` with the row of a detection among those of its frame in the store."""


def read_run_detections(folder: Path) -> StoredDetections:
    """Reads the detections that a run stored, without embeddings and masks, which `PartReader` gives frame by frame.

    Raises:
        InputError: The folder holds none, or one of its files cannot be read.
    """
    reader = PartReader(folder)
    info = reader.info
    table = reader.read_columns(_COLUMNS)
    rows = {name: column.to_numpy(zero_copy_only=False) for name, column in _filled(table).items()}
    is_box = table["label"].is_valid().to_numpy()
    frames, first_rows = np.unique(rows["frame"], return_index=True)
    offsets = np.append(np.concatenate([[0], np.cumsum(is_box)])[first_rows], is_box.sum())
    counts = np.diff(offsets)
    detections = Detections(
        np.stack([rows[name][is_box] for name in ("x1", "y1", "x2", "y2")], axis=1).astype(np.float32),
        rows["score"][is_box].astype(np.float32),
        rows["label"][is_box].astype(np.int64),
        {ROW: np.arange(counts.sum()) - np.repeat(offsets[:-1], counts)},
    )
    return StoredDetections(
        path=folder,
        name=info.name,
        categories=info.categories,
        frames=frames,
        times=rows["time_s"][first_rows],
        offsets=offsets.astype(np.int64),
        detections=detections,
        first=int(frames[0]),
        last=int(frames[-1]),
        step=1,
        covers_all_frames=True,
        has_times=True,
        frame_rate=info.frame_rate or Fraction(30),
        width=info.width,
        height=info.height,
        run_info=info,
    )


def _filled(table: pa.Table) -> dict[str, pa.Array]:
    return {name: table[name].fill_null(0).combine_chunks() for name in table.column_names}
