"""Tracking of many files by several workers, on one machine or on a Ray cluster: `track batch`."""
