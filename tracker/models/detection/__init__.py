"""Pictures in, detections out: Faster R-CNN and its relatives."""

from tracker.models.detection.architectures import build_detector, detector_names, torchvision_names
from tracker.models.detection.backbones import backbone_names, backbone_stages, use_checkpointing
from tracker.models.detection.detector import Detector
from tracker.models.detection.export import export_detector
from tracker.models.detection.factory import categories_of, load_detector, set_thresholds, weights_path
from tracker.models.detection.partial_labels import supports_partial_labels
from tracker.models.detection.pretrained import start_weights
from tracker.models.detection.weights import BUILTIN, read_weights

__all__ = [
    "BUILTIN",
    "Detector",
    "backbone_names",
    "backbone_stages",
    "build_detector",
    "categories_of",
    "detector_names",
    "export_detector",
    "load_detector",
    "read_weights",
    "set_thresholds",
    "start_weights",
    "supports_partial_labels",
    "torchvision_names",
    "use_checkpointing",
    "weights_path",
]
