"""Annotated pictures, read in place."""

from tracker.data.images import read_image
from tracker.data.pictures import Picture, PictureSet
from tracker.data.reading import read_pictures, same_classes

__all__ = ["Picture", "PictureSet", "read_image", "read_pictures", "same_classes"]
