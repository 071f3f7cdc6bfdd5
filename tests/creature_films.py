"""Films of creatures of a kind that no embedder knows, that hide and come back, with their detections and the truth.

A wall stands in the middle of the picture. Behind it creatures wait a while and change their way, so that motion alone
cannot tell who comes out. They have one shape, and nearly one colour, and differ in the spots on their coats.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from video_clips import write_clip

FPS = 10
SIZE = (320, 240)
WALL = (130, 190)  # left and right edge, pixels
BODY = (44, 30)  # width and height of a creature in the foreground, pixels
SPEED = (50, 90)  # pixels per second


@dataclass(frozen=True, eq=False)
class Film:
    """The files of a film, and its truth: rows of a MOTChallenge file of all creatures in sight."""

    video: Path
    detections: Path
    truth: NDArray[np.float64]


def make_film(folder: Path, name: str, coats: list[NDArray[np.uint8]], seconds: float, seed: int) -> Film:
    """Films creatures with these coats."""
    draw = np.random.default_rng(seed)
    count, frames = len(coats), round(seconds * FPS)
    places, facing = _ways(draw, count, frames)
    light = draw.uniform(0.75, 1.25, (frames // FPS + 2, count))
    pictures, rows, truth = [], [], []
    for n in range(frames):
        image = _meadow()
        order = np.argsort(places[n, :, 1])  # the nearest last
        shown = light[n // FPS] + (light[n // FPS + 1] - light[n // FPS]) * (n % FPS) / FPS
        boxes = {i: _paint(image, coats[i], places[n, i], facing[n, i] > 0, shown[i]) for i in order.tolist()}
        image[60:, WALL[0] : WALL[1]] = 120, 110, 105
        pictures.append(image)
        for i in sorted(boxes):
            centre = (boxes[i][0] + boxes[i][2]) / 2
            if WALL[0] - 6 < centre < WALL[1] + 6 or _covered(boxes, i, order.tolist()) > 0.6:
                continue
            x1, y1, x2, y2 = boxes[i] + draw.normal(0, 0.7, 4)
            rows.append((n, n / FPS, "creature", round(draw.uniform(0.88, 0.99), 3), x1, y1, x2, y2))
            truth.append((n + 1, i + 1, *boxes[i][:2], *(boxes[i][2:] - boxes[i][:2]), 1))
    video = write_clip(folder / f"{name}.mp4", frames, FPS, size=SIZE, draw=lambda n, *_: pictures[n])
    detections = folder / f"{name}.csv"
    with detections.open("w", newline="") as file:
        csv.writer(file).writerows([("frame", "time_s", "class", "score", "x1", "y1", "x2", "y2"), *rows])
    return Film(video, detections, np.array(truth))


def make_coats(count: int, seed: int) -> list[NDArray[np.uint8]]:
    """Coats uint8 (60, 88, 3) of different creatures: spots in places of their own."""
    draw = np.random.default_rng(seed)
    coats = []
    for _ in range(count):
        coat = np.full((60, 88, 3), (190, 160, 110), np.uint8)
        for _ in range(5):
            centre = int(draw.integers(10, 78)), int(draw.integers(8, 52))
            axes = int(draw.integers(5, 16)), int(draw.integers(5, 16))
            shade = int(draw.choice([35, 90, 235]))
            cv2.ellipse(coat, centre, axes, float(draw.uniform(0, 180)), 0, 360, (shade, shade, shade), -1)
        coats.append(coat)
    return coats


def _ways(draw: np.random.Generator, count: int, frames: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres (F, N, 2) and x velocities (F, N); who meets the wall waits behind it, and leaves it as chance will."""
    place = draw.uniform((20, 80), (300, 220), (count, 2))
    turn = draw.uniform(0, 2 * np.pi, count)
    speed = draw.uniform(*SPEED, count)
    wait = np.zeros(count)
    places, facing = np.empty((frames, count, 2)), np.empty((frames, count))
    for n in range(frames):
        velocity = speed[:, None] * np.c_[np.cos(turn), 0.5 * np.sin(turn)]
        was_behind = _behind(place)
        place = np.where((wait > 0)[:, None], place, place + velocity / FPS)
        wait = np.maximum(wait - 1, 0)
        for i in np.flatnonzero(_behind(place) & ~was_behind):
            wait[i] = draw.integers(2, 12)
            place[i] = (WALL[0] + WALL[1]) / 2, draw.uniform(90, 215)
            turn[i], speed[i] = draw.uniform(-0.6, 0.6) + np.pi * draw.integers(0, 2), draw.uniform(*SPEED)
        for axis, (low, high) in enumerate(((24, 296), (80, 222))):
            out = (place[:, axis] < low) | (place[:, axis] > high)
            turn = np.where(out, np.pi - turn if axis == 0 else -turn, turn)
            place[:, axis] = place[:, axis].clip(low, high)
        turn += draw.normal(0, 0.08, count)
        places[n], facing[n] = place, np.cos(turn)
    return places, facing


def _behind(place: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (place[:, 0] > WALL[0] + 10) & (place[:, 0] < WALL[1] - 10)


def _meadow() -> NDArray[np.uint8]:
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    green = 110 + 15 * np.sin(x / 17) * np.sin(y / 11)
    return np.stack([0.6 * green, green, 0.5 * green], 2).astype(np.uint8)


def _paint(
    image: NDArray[np.uint8], coat: NDArray[np.uint8], place: NDArray[np.float64], mirrored: bool, light: float
) -> NDArray[np.float64]:
    """Paints a creature, smaller where it is farther up, and returns its box xyxy."""
    scale = 0.75 + 0.25 * (place[1] - 80) / 140
    width, height = round(BODY[0] * scale), round(BODY[1] * scale)
    x, y = (place - (width / 2, height / 2)).round().astype(int)
    pixels = cv2.resize(coat[:, ::-1] if mirrored else coat, (width, height), interpolation=cv2.INTER_AREA)
    shape = cv2.ellipse(np.zeros((height, width), np.uint8), (width // 2, height // 2), (width // 2, height // 2),
                        0, 0, 360, 1, -1)  # fmt: skip
    window = image[y : y + height, x : x + width]
    window[shape == 1] = (pixels * light).clip(0, 255)[shape == 1]
    return np.array([x, y, x + width, y + height], np.float64)


def _covered(boxes: dict[int, NDArray[np.float64]], one: int, order: list[int]) -> float:
    """Largest share of a creature's box that a nearer one's covers."""
    own = boxes[one]
    nearer = order[order.index(one) + 1 :]
    shares = [
        np.prod(np.maximum(np.minimum(own[2:], boxes[i][2:]) - np.maximum(own[:2], boxes[i][:2]), 0)) for i in nearer
    ]
    return float(max(shares, default=0) / np.prod(own[2:] - own[:2]))
