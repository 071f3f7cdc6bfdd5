"""Writes tracks as tables, as COCO JSON and as annotated video."""

from tracker.output.annotated_video import AnnotatedVideoWriter
from tracker.output.base import AudioSource, OutputFile, ResultWriter, VideoInfo
from tracker.output.combined_table import CombinedTable
from tracker.output.detection_store import DetectionStore
from tracker.output.detections_csv import DetectionWriter
from tracker.output.drawing import Annotator
from tracker.output.paths import (
    combined_table_path,
    make_results_folder,
    numbered_names,
    remove_empty_folder,
    resolve_outputs,
)
from tracker.output.writer import open_writer

__all__ = [
    "AnnotatedVideoWriter",
    "Annotator",
    "AudioSource",
    "CombinedTable",
    "DetectionStore",
    "DetectionWriter",
    "OutputFile",
    "ResultWriter",
    "VideoInfo",
    "combined_table_path",
    "make_results_folder",
    "numbered_names",
    "open_writer",
    "remove_empty_folder",
    "resolve_outputs",
]
