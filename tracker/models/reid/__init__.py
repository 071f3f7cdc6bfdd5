"""Tells individuals of one class apart: crops of detections to unit vectors; and classes of crops."""

from tracker.models.reid.embedder import Classifier, Embedder
from tracker.models.reid.network import build_embedder, crop_size, embedder_names
from tracker.models.reid.weights import BUILTIN, embedder_path, load_classifier, load_embedder, read_network

__all__ = [
    "BUILTIN",
    "Classifier",
    "Embedder",
    "build_embedder",
    "crop_size",
    "embedder_names",
    "embedder_path",
    "load_classifier",
    "load_embedder",
    "read_network",
]
