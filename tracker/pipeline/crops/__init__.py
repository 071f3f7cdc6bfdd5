"""Collects crops of the tracks of videos: a folder for each track, to be looked through, mended and learnt from."""

from tracker.pipeline.crops.extractor import CropExtractionResult, CropExtractor

__all__ = ["CropExtractionResult", "CropExtractor"]
