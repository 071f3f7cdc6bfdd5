"""Annotated pictures and crops of known individuals, read in place."""

from tracker.data.annotations.image_set import AnnotatedImage, ImageSet
from tracker.data.annotations.load import read_pictures, same_classes
from tracker.data.image_files import read_image
from tracker.data.reid_crops import ReIDDataset, read_crop, read_crops, split_by_individual

__all__ = [
    "AnnotatedImage",
    "ImageSet",
    "ReIDDataset",
    "read_crop",
    "read_crops",
    "read_image",
    "read_pictures",
    "same_classes",
    "split_by_individual",
]
