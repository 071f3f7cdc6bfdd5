"""Which crops of tracks are kept: `track crops`."""

from typing import Annotated, Literal

from pydantic import Field

from tracker.config.base import Count, Fraction01, NonNegative, Section
from tracker.config.run import Config, DetectorConfig, TrackerConfig


class CropsConfig(Section):
    """Which crops of tracks are kept, and how."""

    per_track: Count = 16
    """Most crops of a track: the best one, and those most different from it and from each other."""
    margin: NonNegative = 0.0
    """By how much of its size a box is grown on each side before it is cut out."""
    shortest: NonNegative = 0.5
    """Seconds that a track lasts at least; shorter ones are left out."""
    quality: Annotated[int, Field(ge=90, le=100)] = 95
    """JPEG quality of the crops."""


SELF_SUPERVISED_TRACKING = Config(tracker=TrackerConfig(max_age=0.5))
"""How videos are tracked to learn from their tracks without labels: one that goes on with somebody else after a long
break teaches wrong things, and two tracks of one individual teach nothing wrong."""


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
