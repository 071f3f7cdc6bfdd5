"""Tunes the settings of the tracker, with cross-validation."""
