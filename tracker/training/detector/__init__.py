"""The detector's training."""
