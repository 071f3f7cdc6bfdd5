"""Object detection: Faster R-CNN, Mask R-CNN and torchvision's other detectors, from images to detections.

A network is torchvision's: transform -> backbone (with FPN) -> rpn -> roi_heads.

- factory.py: `load_detector` builds a network, loads its weights and sets the thresholds of the final NMS, which runs
  in torchvision's `RoIHeads.postprocess_detections`. The NMS of proposals is in rpn.py.
- weights.py reads weights files; pretrained.py loads pretrained weights at the start of a training.
- architectures.py: networks by name; add one to `BUILDERS`. rcnn.py assembles ours.
- backbones.py: torchvision's classification networks as backbones; add a family of them to `FAMILIES`.
- mobilenet_v3.py, class_maps.py, center_proposals.py: the backbone with class maps, and the proposals that they make.
- transform.py, rpn.py, roi_align.py, roi_pool.py, losses.py, partial_labels.py: the parts of a network.
- detector.py runs a network on images; rescoring.py and roi_embeddings.py use its feature maps for a tracker's boxes.
- export.py and exported.py write and load ONNX, OpenVINO and TorchScript files.
"""

from tracker.models.detection.architectures import build_detector, detector_names, torchvision_names
from tracker.models.detection.backbones import backbone_names, backbone_stages, use_checkpointing
from tracker.models.detection.detector import Detector
from tracker.models.detection.export import export_detector
from tracker.models.detection.factory import detector_categories, load_detector, set_thresholds, weights_path
from tracker.models.detection.partial_labels import supports_partial_labels
from tracker.models.detection.pretrained import load_pretrained_weights
from tracker.models.detection.weights import BUILTIN, read_weights

__all__ = [
    "BUILTIN",
    "Detector",
    "backbone_names",
    "backbone_stages",
    "build_detector",
    "detector_categories",
    "detector_names",
    "export_detector",
    "load_detector",
    "load_pretrained_weights",
    "read_weights",
    "set_thresholds",
    "supports_partial_labels",
    "torchvision_names",
    "use_checkpointing",
    "weights_path",
]
