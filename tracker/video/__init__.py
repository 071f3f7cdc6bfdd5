"""Reading: video files, pictures, cameras and streams as frames with their true times."""

from tracker.video.blank import BlankSource, blank_image
from tracker.video.opening import open_source
from tracker.video.source import Source

__all__ = ["BlankSource", "Source", "blank_image", "open_source"]
