"""Annotated images, Re-ID crops and stored detections, read in place, and the files that hold them."""

from tracker.data.annotations.image_set import AnnotatedImage, ImageSet
from tracker.data.annotations.load import align_categories, read_image_set
from tracker.data.annotations.split import split_image_set
from tracker.data.broken_images import check_images
from tracker.data.image_files import read_image
from tracker.data.reid_crops import ReIDDataset, read_crop, read_object_crops, read_reid_dataset, split_by_identity

__all__ = [
    "AnnotatedImage",
    "ImageSet",
    "ReIDDataset",
    "align_categories",
    "check_images",
    "read_crop",
    "read_image",
    "read_image_set",
    "read_object_crops",
    "read_reid_dataset",
    "split_by_identity",
    "split_image_set",
]
