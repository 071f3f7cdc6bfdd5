"""Draws the id switches of tracks."""
