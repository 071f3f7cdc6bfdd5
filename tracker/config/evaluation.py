"""Settings of the evaluations of networks."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from tracker.config.base import Fraction01, Section
from tracker.config.run import DetectionFilterConfig, DetectorConfig


class DetectorEvalConfig(DetectorConfig):
    """Settings of `track eval detector PATH`."""

    score: Fraction01 = 0.02
    """Detections below this score are dropped; low, since average precision needs nearly all of them."""
    group_nms_iou: Fraction01 = 1.0
    """See track; 1, since average precision ranks the boxes of each class alone."""
    agnostic_nms_iou: Fraction01 = 1.0
    """See track; 1 likewise."""
    report_score: Fraction01 = DetectorConfig().score
    """Least score of the detections in the confusion matrix, the recall by size and the contact sheets: the value that
    you mean to give to track as --score."""
    rename_classes: dict[str, str] = Field(default={})
    """Names of classes that differ: {name in the dataset: name in the detector}; other classes keep their names."""

    @field_validator("roi")
    @classmethod
    def _no_regions(cls, roi: str) -> str:
        if roi:
            raise ValueError("images are evaluated as a whole: leave it out")
        return roi


class EmbedderEvalConfig(Section):
    """Settings of `track eval embedder DIR`."""

    weights: str = "builtin"
    """`builtin`, or a .safetensors or .ckpt file of our trainer; as baselines `hsv`, a color histogram, and
    `untrained`, the built-in network with random weights. With --gap also `roi`, the RoI features of the built-in
    detector, or the file of a detector."""
    device: str = DetectionFilterConfig().device
    """See track."""
    precision: Literal["auto", "fp32", "half"] = DetectionFilterConfig().precision
    """See track."""
    threads: Annotated[int, Field(ge=0)] = DetectionFilterConfig().threads
    """See track."""
