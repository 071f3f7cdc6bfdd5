"""Evaluates embedders: retrieval (CMC, mAP), verification (ROC AUC), and plots of both."""

from tracker.evaluation.reid.inference import embed_crops
from tracker.evaluation.reid.metrics import ReIDMetrics, evaluate_embeddings
from tracker.evaluation.reid.report import write_report

__all__ = ["ReIDMetrics", "embed_crops", "evaluate_embeddings", "write_report"]
