"""Reads video files, images, cameras and streams as frames with their true times."""

from tracker.video.blank_source import BlankSource, blank_image
from tracker.video.open import open_source, redact_password, source_kind, source_name
from tracker.video.source import Source, check_time_range

__all__ = [
    "BlankSource",
    "Source",
    "blank_image",
    "check_time_range",
    "open_source",
    "redact_password",
    "source_kind",
    "source_name",
]
