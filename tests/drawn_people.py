"""Draws images of people who are told apart by the pattern of their clothes, whose colors change in every image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 40, 20


def clothes_pattern(person: int) -> NDArray[np.bool_]:
    """Returns bool (HEIGHT, WIDTH): uniform, halves, stripes, a spot; from the fifth person on stripes of all kinds."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    if person >= 4:
        angle = person * 0.7
        return np.sin((np.cos(angle) * x + np.sin(angle) * y) * (0.4 + 0.1 * person)) > 0
    return (y < 0, y < 20, y % 20 < 10, (x - 10) ** 2 < 16)[person]


def draw_person(person: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Returns uint8 (HEIGHT, WIDTH, 3) RGB."""
    pixels = np.where(clothes_pattern(person)[..., None], rng.uniform(0, 90, 3), rng.uniform(140, 255, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def draw_people(folder: Path, people: int, images: int = 3, cameras: int = 2, seed: int = 0) -> Path:
    """Fills a folder with files named as in Market-1501: so many images of each person from each camera."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for person in range(people):
        for camera in range(1, cameras + 1):
            for number in range(images):
                file = folder / f"{person + 1:04d}_c{camera}s1_{number:06d}_00.png"
                Image.fromarray(draw_person(person, rng)).save(file)
    return folder


def write_sequence(folder: Path, frames: Sequence[NDArray[np.uint8]], rows: Sequence[tuple[float, ...]]) -> Path:
    """Writes a sequence of the MOTChallenge: images, and rows of ground truth (frame, id, left, top, width, height).

    Frames and pixels of the rows count from 1.
    """
    (folder / "img1").mkdir(parents=True)
    (folder / "gt").mkdir()
    for number, frame in enumerate(frames, 1):
        Image.fromarray(frame).save(folder / "img1" / f"{number:06d}.png")
    lines = [",".join(f"{value:g}" for value in (*row, 1, 1, 1)) for row in rows]
    (folder / "gt" / "gt.txt").write_text("\n".join(lines) + "\n")
    height, width = frames[0].shape[:2]
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname={folder.name}\nimDir=img1\nframeRate=10\nseqLength={len(frames)}\n"
        f"imWidth={width}\nimHeight={height}\nimExt=.png\n"
    )
    return folder
