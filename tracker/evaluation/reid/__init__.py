"""How good an embedder is: individuals found again, distances that tell them apart, and pictures of both."""

from tracker.evaluation.reid.inference import embed_crops
from tracker.evaluation.reid.metrics import ReIDMetrics, measured
from tracker.evaluation.reid.report import write_report

__all__ = ["ReIDMetrics", "embed_crops", "measured", "write_report"]
