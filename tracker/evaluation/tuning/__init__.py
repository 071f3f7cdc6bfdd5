"""The search for settings, cross-validated."""
