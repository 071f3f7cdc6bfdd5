"""The detections of a run in its folder: Parquet files of some seconds each, from which tracks are computed again."""

from tracker.data.store.part_reader import RECORD, PartReader, find_stored_run, has_parts, part_paths, read_source_run
from tracker.data.store.part_writer import PartWriter
from tracker.data.store.schema import PART_SECONDS, StoreInfo
from tracker.data.store.stored_frame import StoredFrame, to_stored_precision

__all__ = [
    "PART_SECONDS",
    "RECORD",
    "PartReader",
    "PartWriter",
    "StoreInfo",
    "StoredFrame",
    "find_stored_run",
    "has_parts",
    "part_paths",
    "read_source_run",
    "to_stored_precision",
]
