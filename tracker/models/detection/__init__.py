"""Object detection: Faster R-CNN, Mask R-CNN and torchvision's other detectors, from images to detections.

A network is torchvision's: transform -> backbone (with FPN) -> rpn -> roi_heads.

- factory.py: `load_detector` chooses how a network is computed: the built-in one on the CPU by ONNX Runtime
  (graph_detector.py, whose graphs graph_export.py writes), all others by PyTorch (torch_factory.py, torch_detector.py).
- detector.py is what both share: from images to detections of the network; tiles.py, rescoring.py and selection.py.
- weights.py reads weights files; pretrained.py loads pretrained weights at the start of a training.
- architectures.py: networks by name; add one to `BUILDERS`. rcnn.py assembles ours.
- backbones.py: torchvision's classification networks as backbones; add a family of them to `FAMILIES`.
- mobilenet_v3.py, class_maps.py, center_proposals.py: the backbone with class maps, and the proposals that they make.
- transform.py, rpn.py, roi_align.py, roi_pool.py, losses.py, partial_labels.py, postprocess.py: the parts of a network.
- export.py and exported.py write and load ONNX, OpenVINO and TorchScript files.

Names are imported when they are first used: the built-in network does not need PyTorch.
"""

from typing import TYPE_CHECKING

from tracker.structures.lazy import lazy_names

if TYPE_CHECKING:
    from tracker.models.detection.architectures import build_detector, detector_names, torchvision_names
    from tracker.models.detection.backbones import added_parts, backbone_names, backbone_stages, use_checkpointing
    from tracker.models.detection.detector import Detector
    from tracker.models.detection.export import export_detector
    from tracker.models.detection.factory import BUILTIN, detector_categories, load_detector, weights_path
    from tracker.models.detection.partial_labels import supports_partial_labels
    from tracker.models.detection.pretrained import first_layer_classes, load_pretrained_weights
    from tracker.models.detection.torch_detector import TorchDetector
    from tracker.models.detection.torch_factory import set_thresholds
    from tracker.models.detection.weights import read_weights

__all__ = [
    "BUILTIN",
    "Detector",
    "TorchDetector",
    "added_parts",
    "backbone_names",
    "backbone_stages",
    "build_detector",
    "detector_categories",
    "detector_names",
    "export_detector",
    "first_layer_classes",
    "load_detector",
    "load_pretrained_weights",
    "read_weights",
    "set_thresholds",
    "supports_partial_labels",
    "torchvision_names",
    "use_checkpointing",
    "weights_path",
]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "tracker.models.detection.architectures": ("build_detector", "detector_names", "torchvision_names"),
            "tracker.models.detection.backbones": (
                "added_parts",
                "backbone_names",
                "backbone_stages",
                "use_checkpointing",
            ),
            "tracker.models.detection.detector": ("Detector",),
            "tracker.models.detection.export": ("export_detector",),
            "tracker.models.detection.factory": ("BUILTIN", "detector_categories", "load_detector", "weights_path"),
            "tracker.models.detection.partial_labels": ("supports_partial_labels",),
            "tracker.models.detection.pretrained": ("first_layer_classes", "load_pretrained_weights"),
            "tracker.models.detection.torch_detector": ("TorchDetector",),
            "tracker.models.detection.torch_factory": ("set_thresholds",),
            "tracker.models.detection.weights": ("read_weights",),
        },
    )
