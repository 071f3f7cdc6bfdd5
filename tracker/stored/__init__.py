"""Reads detections that were stored: the MOTChallenge's files, tables of ours, and COCO's JSON."""

from tracker.stored.reading import read_detections
from tracker.stored.stored import Stored

__all__ = ["Stored", "read_detections"]
