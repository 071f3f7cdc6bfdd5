"""Pictures in, detections out: Faster R-CNN and its relatives."""

from tracker.detection.detector import Detector
from tracker.detection.models import BUILTIN, categories_of, load_detector, torchvision_names, weights_path

__all__ = ["BUILTIN", "Detector", "categories_of", "load_detector", "torchvision_names", "weights_path"]
