"""Pictures in, detections out: Faster R-CNN and its relatives."""

from tracker.detection.architectures import build_detector, detector_names, torchvision_names
from tracker.detection.detector import Detector
from tracker.detection.exporting import export_detector
from tracker.detection.files import BUILTIN, read_weights
from tracker.detection.models import categories_of, load_detector, set_thresholds, weights_path
from tracker.detection.partial import honours_partial_labels
from tracker.detection.starting import start_weights
from tracker.detection.trunks import backbone_names, trunk_stages, use_checkpointing

__all__ = [
    "BUILTIN",
    "Detector",
    "backbone_names",
    "build_detector",
    "categories_of",
    "detector_names",
    "export_detector",
    "honours_partial_labels",
    "load_detector",
    "read_weights",
    "set_thresholds",
    "start_weights",
    "torchvision_names",
    "trunk_stages",
    "use_checkpointing",
    "weights_path",
]
