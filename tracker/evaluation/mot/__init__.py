"""Tracks against the truth: files, scores, tables, curves."""
