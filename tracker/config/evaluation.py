"""The settings of evaluations of networks."""

from typing import Annotated, Literal

from pydantic import Field

from tracker.config.base import Fraction01, Section
from tracker.config.run import DetectorConfig, FoundConfig


class DetectorEvalConfig(DetectorConfig):
    """How a detector is measured: `track eval detector PATH`."""

    score: Fraction01 = 0.02
    """Detections below this score are dropped: average precision wants to see nearly all."""
    at: Fraction01 = DetectorConfig().score
    """Least score of what is counted in the confusion matrix, by size, and drawn: what you mean to give to --score of
    track."""
    rename: dict[str, str] = Field(default={})
    """Classes of the pictures that the detector calls otherwise: {their name: the detector's}."""


class EmbedderEvalConfig(Section):
    """How an embedder is measured: `track eval embedder DIR`."""

    weights: str = "builtin"
    """`builtin`, or a .safetensors or .ckpt file of our trainer; to compare with: `hsv`, a colour histogram, and
    `untrained`, the built-in network with random weights. With --gap also `roi`, what --embedding-source roi takes from
    the built-in detector, or the file of a detector."""
    device: str = FoundConfig().device
    """As that of track."""
    precision: Literal["auto", "fp32", "half"] = FoundConfig().precision
    """As that of track."""
    threads: Annotated[int, Field(ge=0)] = FoundConfig().threads
    """As those of track."""
