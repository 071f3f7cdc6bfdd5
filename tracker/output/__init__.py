"""Writes tracks: as tables, as COCO's JSON, and drawn into a video."""

from tracker.output.annotated_video import AnnotatedVideoWriter
from tracker.output.base import ResultWriter, VideoInfo
from tracker.output.detections_csv import DetectionWriter
from tracker.output.drawing import Annotator
from tracker.output.paths import numbered, remove_if_empty, resolve_outputs, results_folder
from tracker.output.writer import open_writer

__all__ = [
    "AnnotatedVideoWriter",
    "Annotator",
    "DetectionWriter",
    "ResultWriter",
    "VideoInfo",
    "numbered",
    "open_writer",
    "remove_if_empty",
    "resolve_outputs",
    "results_folder",
]
