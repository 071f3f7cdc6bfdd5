"""Reading of stored detections: MOTChallenge files, CSV tables that `track` wrote, and COCO's JSON."""

from tracker.data.detections.load import read_detections
from tracker.data.detections.stored_detections import StoredDetections

__all__ = ["StoredDetections", "read_detections"]
