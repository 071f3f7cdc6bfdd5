"""Writing of the detections of a run, a file for each ten seconds of the source."""

import time
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tracker.data.files import replace_file
from tracker.data.store.schema import PART_SECONDS, StoreInfo
from tracker.data.store.stored_frame import StoredFrame

_WAIT = 30.0
"""Seconds on the clock after which an unfinished part is written too, of a slow run or a live source."""
_OPTIONS: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "write_page_index": False}


class PartWriter:
    """Writes the analyses of successive frames to `part-START.parquet`, START in whole seconds of the source.

    There is a row for each detection, and for a frame without any a row without class and box. A part appears whole,
    once the disk has it. Its content depends on its frames alone: on the times at which they are shown, not on those
    at which they were analyzed.
    """

    def __init__(self, folder: Path, info: StoreInfo, kept: int = -1) -> None:
        """Prepares to write.

        Args:
            folder: The folder of the parts; it exists.
            info: Properties of the run.
            kept: Index of the last frame in the parts that are complete already; frames up to it are left out.
        """
        self._folder = folder
        self._info = info
        self._kept = kept
        self._frames: list[StoredFrame] = []
        self._part = 0
        self._last_write = time.monotonic()

    def write(self, frame: StoredFrame) -> None:
        """Adds a frame, which is later than the previous one.

        Raises:
            OSError: A part cannot be written; those before it are kept.
        """
        if frame.index <= self._kept:
            return
        part = int(frame.time // PART_SECONDS) * PART_SECONDS
        if self._frames and part != self._part:
            self._write_part(complete=True)
            self._frames = []
        self._part = part
        self._frames.append(frame)
        if time.monotonic() - self._last_write >= _WAIT:
            self._write_part(complete=False)

    def finish(self, complete: bool) -> None:
        """Writes the last part; `complete` is True if the source has no further frames for it."""
        if self._frames:
            self._write_part(complete)
            self._frames = []

    def _write_part(self, complete: bool) -> None:
        path = self._folder / f"part-{self._part:08d}.parquet"
        table = _to_table(self._frames, self._info, complete)
        with replace_file(path, durable=True) as temporary:
            pq.write_table(
                table,
                temporary,
                use_dictionary=["class", "label", "frame", "pts", "time_s", "embedding.list.element"],
                use_byte_stream_split=["x1", "y1", "x2", "y2", "score"],
                **_OPTIONS,
            )
        self._last_write = time.monotonic()


def _to_table(frames: list[StoredFrame], info: StoreInfo, complete: bool) -> pa.Table:
    counts = np.array([max(1, len(frame.detections)) for frame in frames])
    is_box = np.concatenate([np.full(max(1, n), n > 0) for n in (len(frame.detections) for frame in frames)])
    fits = {str(frame.index): astuple(frame.fit) for frame in frames if frame.fit is not None}
    bounds = {"first_frame": frames[0].index, "last_frame": frames[-1].index}
    schema = info.schema(complete=complete, fits=fits, **bounds)

    def of_frame(values: list[Any]) -> pa.Array:
        return pa.array(np.repeat(np.array(values), counts))

    def of_boxes(name: str, values: list[NDArray[Any]]) -> pa.Array:
        return _with_gaps(np.concatenate(values), is_box, schema.field(name).type)

    labels = [frame.detections.labels.astype(np.int32) for frame in frames]
    label = of_boxes("label", labels)
    names = pa.array(info.categories, pa.string())
    columns: dict[str, pa.Array] = {
        "frame": of_frame([frame.index for frame in frames]),
        "pts": of_frame([frame.pts for frame in frames]),
        "time_s": of_frame([frame.time for frame in frames]),
        "detector_ran": of_frame([frame.detector_ran for frame in frames]),
        "class": pa.DictionaryArray.from_arrays(label, names),
        "label": label,
        "score": of_boxes("score", [frame.detections.scores for frame in frames]),
    }
    for n, name in enumerate(("x1", "y1", "x2", "y2")):
        columns[name] = of_boxes(name, [frame.detections.boxes[:, n] for frame in frames])
    if info.embedding_size:
        columns["embedding"] = of_boxes("embedding", [frame.embeddings.astype(np.float16) for frame in frames])
    if info.fine_categories:
        columns["class_probs"] = of_boxes("class_probs", [frame.class_probs.astype(np.float32) for frame in frames])
    if info.mask_size:
        columns["mask"] = of_boxes("mask", [_masks(frame, info.mask_size) for frame in frames])
    return pa.table(columns, schema)


def _masks(frame: StoredFrame, size: int) -> NDArray[np.uint8]:
    masks = frame.detections.data.get("masks")
    return np.zeros((0, size**2), np.uint8) if masks is None else masks.reshape(-1, size**2)


def _with_gaps(values: NDArray[Any], is_box: NDArray[np.bool_], kind: pa.DataType) -> pa.Array:
    """Returns a column with the values (N, ...) in the N rows where the mask is True, elsewhere null or zeros.

    Lists are zeros: older versions of Arrow write no lists that are null.
    """
    rows = np.zeros((len(is_box), *values.shape[1:]), values.dtype)
    rows[is_box] = values
    if not pa.types.is_fixed_size_list(kind):
        return pa.array(rows, kind, mask=~is_box)
    flat = pa.array(rows.reshape(-1), kind.value_type)
    return pa.FixedSizeListArray.from_arrays(flat, type=kind)
