"""Annotated pictures and crops of known individuals, read in place."""

from tracker.data.images import read_image
from tracker.data.individuals import Crops, read_crop, read_crops, split_by_individual
from tracker.data.pictures import Picture, PictureSet
from tracker.data.reading import read_pictures, same_classes

__all__ = [
    "Crops",
    "Picture",
    "PictureSet",
    "read_crop",
    "read_crops",
    "read_image",
    "read_pictures",
    "same_classes",
    "split_by_individual",
]
