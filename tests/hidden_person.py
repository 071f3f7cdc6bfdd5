"""A clip for tests: a person who walks behind something, and a car."""

from pathlib import Path

from stub_networks import SIZE, moving_rectangles
from video_clips import Image, write_clip

RATE = 10
HIDDEN = range(20, 35)
"""Frames in which the person is hidden."""
FRAMES = 50


def draw(number: int, width: int, height: int) -> Image:
    """Returns `moving_rectangles`, the person hidden in some frames, where its place is dark."""
    image = moving_rectangles(number, width, height)
    if number in HIDDEN:
        image[15:55] = 30
    return image


def write_hidden_person(path: Path) -> Path:
    """Writes the clip, of `FRAMES` frames at `RATE` frames per second; the person is track 1, the car track 2."""
    return write_clip(path, FRAMES, RATE, size=SIZE, draw=draw)
