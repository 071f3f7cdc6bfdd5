"""How good an embedder is: individuals found again, distances that tell them apart, and pictures of both."""

from tracker.evaluation.likeness.report import write_report
from tracker.evaluation.likeness.running import embed_crops
from tracker.evaluation.likeness.scores import Likeness, measured

__all__ = ["Likeness", "embed_crops", "measured", "write_report"]
