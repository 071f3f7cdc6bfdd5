"""Collects crops of the tracks of videos: a folder for each track, to be looked through, mended and learnt from."""

from tracker.pipeline.crops.extractor import Collected, Collector

__all__ = ["Collected", "Collector"]
