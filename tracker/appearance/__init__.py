"""Tells individuals of one class apart: crops of detections to unit vectors; and classes of crops."""

from tracker.appearance.files import BUILTIN, embedder_path, load_classifier, load_embedder, read_network
from tracker.appearance.network import build_embedder, crop_size, embedder_names
from tracker.appearance.running import Classifier, Embedder

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
