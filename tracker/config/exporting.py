"""The settings of an export."""

from typing import Literal

from tracker.config.run import DetectorConfig
from tracker.config.section import Count, Fraction01, Section


class ExportConfig(Section):
    """How a detector becomes a file that other programs can run: `track export MODEL`."""

    format: Literal["onnx", "openvino", "torchscript"] = "onnx"
    """ONNX, OpenVINO's .xml and .bin, or TorchScript."""
    weights: str = DetectorConfig().weights
    """As that of track."""
    score: Fraction01 = 0.05
    """Detections below this score are dropped inside the file; who runs it can drop more, but not fewer."""
    nms_iou: Fraction01 = DetectorConfig().nms_iou
    """As that of track; part of the file."""
    max_detections: Count = DetectorConfig().max_detections
    """As that of track; part of the file."""
    masks: bool = DetectorConfig().masks
    """Export masks too, where the network has them."""
