"""Reading: video files, pictures, cameras and streams as frames with their true times."""

from tracker.video.blank import BlankSource, blank_image
from tracker.video.open import kind_of, name_of, open_source, without_password
from tracker.video.source import Source, check_span

__all__ = [
    "BlankSource",
    "Source",
    "blank_image",
    "check_span",
    "kind_of",
    "name_of",
    "open_source",
    "without_password",
]
