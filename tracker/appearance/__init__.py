"""Tells individuals of one class apart: crops of detections to unit vectors."""

from tracker.appearance.embedder import Embedder, load_embedder

__all__ = ["Embedder", "load_embedder"]
