"""Tells individuals of one class apart: crops of detections to unit vectors."""

from tracker.appearance.embedder import BUILTIN, Embedder, embedder_path, load_embedder

__all__ = ["BUILTIN", "Embedder", "embedder_path", "load_embedder"]
