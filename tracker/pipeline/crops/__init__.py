"""Extracts crops of the tracks of videos: a folder for each track, to be sorted by hand and trained on."""

from tracker.pipeline.crops.extraction import CropExtractionResult
from tracker.pipeline.crops.extractor import CropExtractor

__all__ = ["CropExtractionResult", "CropExtractor"]
