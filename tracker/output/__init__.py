"""Writes tracks: as tables, as COCO's JSON, and drawn into a video."""

from tracker.output.annotated_video import AnnotatedVideoWriter
from tracker.output.base import ResultWriter, VideoInfo
from tracker.output.detections_csv import DetectionWriter
from tracker.output.drawing import Annotator
from tracker.output.paths import choose_places, numbered, remove_if_empty, results_folder
from tracker.output.writer import open_writer

__all__ = [
    "AnnotatedVideoWriter",
    "Annotator",
    "DetectionWriter",
    "ResultWriter",
    "VideoInfo",
    "choose_places",
    "numbered",
    "open_writer",
    "remove_if_empty",
    "results_folder",
]
