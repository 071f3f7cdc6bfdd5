"""Tracks in the formats of other programs: CVAT for video, DIVE, VIA-tracks, COCO and MOTChallenge."""

from tracker.data.exchange.table import TrackRows, TrackTable
from tracker.data.exchange.track_file import read_tracks

__all__ = ["TrackRows", "TrackTable", "read_tracks"]
