"""Reads video files, images, cameras and streams as frames with their true times."""

from tracker.video.address import local_path, redact_password, source_kind, source_name
from tracker.video.blank_source import BlankSource, blank_image
from tracker.video.given_frames import GivenFrame, GivenFrames
from tracker.video.listing import list_videos
from tracker.video.open import open_source
from tracker.video.source import Source, check_time_range

__all__ = [
    "BlankSource",
    "GivenFrame",
    "GivenFrames",
    "Source",
    "blank_image",
    "check_time_range",
    "list_videos",
    "local_path",
    "open_source",
    "redact_password",
    "source_kind",
    "source_name",
]
