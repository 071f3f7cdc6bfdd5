"""Annotated pictures, read in place."""

from tracker.data.pictures import Picture, PictureSet

__all__ = ["Picture", "PictureSet"]
