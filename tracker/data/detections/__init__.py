"""Reads detections that were stored: the MOTChallenge's files, tables of ours, and COCO's JSON."""

from tracker.data.detections.load import read_detections
from tracker.data.detections.stored_detections import StoredDetections

__all__ = ["StoredDetections", "read_detections"]
