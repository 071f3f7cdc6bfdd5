"""Pictures of people for tests, told apart by the pattern of their dress, whose colours change all the time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 40, 20


def pattern(person: int) -> NDArray[np.bool_]:
    """Bool (HEIGHT, WIDTH): plain, halves, rings and a spot, and from the fifth person on stripes of their own."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    if person >= 4:
        angle = person * 0.7
        return np.sin((np.cos(angle) * x + np.sin(angle) * y) * (0.4 + 0.1 * person)) > 0
    return (y < 0, y < 20, y % 20 < 10, (x - 10) ** 2 < 16)[person]


def dressed(person: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 (HEIGHT, WIDTH, 3) RGB."""
    pixels = np.where(pattern(person)[..., None], rng.uniform(0, 90, 3), rng.uniform(140, 255, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def draw_people(folder: Path, people: int, pictures: int = 3, cameras: int = 2, seed: int = 0) -> Path:
    """Fills a folder with pictures named as in Market-1501: so many of each person before each camera."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for person in range(people):
        for camera in range(1, cameras + 1):
            for number in range(pictures):
                file = folder / f"{person:04d}_c{camera}s1_{number:06d}_00.png"
                Image.fromarray(dressed(person, rng)).save(file)
    return folder


def write_sequence(folder: Path, frames: Sequence[NDArray[np.uint8]], truth: Sequence[tuple[float, ...]]) -> Path:
    """A sequence of the MOTChallenge: its pictures, and rows (frame from 1, id, left, top, width, height)."""
    (folder / "img1").mkdir(parents=True)
    (folder / "gt").mkdir()
    for number, frame in enumerate(frames, 1):
        Image.fromarray(frame).save(folder / "img1" / f"{number:06d}.png")
    rows = [",".join(f"{value:g}" for value in (*row, 1, 1, 1)) for row in truth]
    (folder / "gt" / "gt.txt").write_text("\n".join(rows) + "\n")
    height, width = frames[0].shape[:2]
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname={folder.name}\nimDir=img1\nframeRate=10\nseqLength={len(frames)}\n"
        f"imWidth={width}\nimHeight={height}\nimExt=.png\n"
    )
    return folder
