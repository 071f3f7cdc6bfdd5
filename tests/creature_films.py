"""Films of animals of a class that no embedder knows, with occlusions, their detections and the ground truth.

A wall stands in the middle of the image. Animals stay behind it for a while and change direction, so that motion alone
cannot identify them afterwards. They have the same shape and nearly the same color, and differ in the spots of their
coats.
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
BODY = (44, 30)  # width and height of an animal in the foreground, pixels
SPEED = (50, 90)  # pixels per second


@dataclass(frozen=True, eq=False)
class Film:
    """Files of a film, and its ground truth: rows of a MOTChallenge file of all visible animals."""

    video: Path
    detections: Path
    ground_truth: NDArray[np.float64]


def make_film(folder: Path, name: str, coats: list[NDArray[np.uint8]], seconds: float, seed: int) -> Film:
    """Makes a film of animals with these coats."""
    rng = np.random.default_rng(seed)
    count, num_frames = len(coats), round(seconds * FPS)
    centers, x_directions = _paths(rng, count, num_frames)
    brightness = rng.uniform(0.75, 1.25, (num_frames // FPS + 2, count))
    images, rows, ground_truth = [], [], []
    for n in range(num_frames):
        image = _meadow()
        order = np.argsort(centers[n, :, 1]).tolist()  # the nearest last
        current = brightness[n // FPS] + (brightness[n // FPS + 1] - brightness[n // FPS]) * (n % FPS) / FPS
        boxes = {i: _paint(image, coats[i], centers[n, i], x_directions[n, i] > 0, current[i]) for i in order}
        image[60:, WALL[0] : WALL[1]] = 120, 110, 105
        images.append(image)
        for i in sorted(boxes):
            center = (boxes[i][0] + boxes[i][2]) / 2
            if WALL[0] - 6 < center < WALL[1] + 6 or _covered_fraction(boxes, i, order) > 0.6:
                continue
            x1, y1, x2, y2 = boxes[i] + rng.normal(0, 0.7, 4)
            rows.append((n, n / FPS, "creature", round(rng.uniform(0.88, 0.99), 3), x1, y1, x2, y2))
            ground_truth.append((n + 1, i + 1, *boxes[i][:2], *(boxes[i][2:] - boxes[i][:2]), 1))
    video = write_clip(folder / f"{name}.mp4", num_frames, FPS, size=SIZE, draw=lambda n, *_: images[n])
    detections = folder / f"{name}.csv"
    with detections.open("w", newline="") as file:
        csv.writer(file).writerows([("frame", "time_s", "class", "score", "x1", "y1", "x2", "y2"), *rows])
    return Film(video, detections, np.array(ground_truth))


def make_coats(count: int, seed: int) -> list[NDArray[np.uint8]]:
    """Makes coats uint8 (60, 88, 3) of different animals: random spots."""
    rng = np.random.default_rng(seed)
    coats = []
    for _ in range(count):
        coat = np.full((60, 88, 3), (190, 160, 110), np.uint8)
        for _ in range(5):
            center = int(rng.integers(10, 78)), int(rng.integers(8, 52))
            axes = int(rng.integers(5, 16)), int(rng.integers(5, 16))
            gray = int(rng.choice([35, 90, 235]))
            cv2.ellipse(coat, center, axes, float(rng.uniform(0, 180)), 0, 360, (gray, gray, gray), -1)
        coats.append(coat)
    return coats


def _paths(rng: np.random.Generator, count: int, num_frames: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Simulates centers (F, N, 2) and x directions (F, N); animals stop behind the wall and turn at random."""
    center = rng.uniform((20, 80), (300, 220), (count, 2))
    angle = rng.uniform(0, 2 * np.pi, count)
    speed = rng.uniform(*SPEED, count)
    wait = np.zeros(count)
    centers, x_directions = np.empty((num_frames, count, 2)), np.empty((num_frames, count))
    for n in range(num_frames):
        velocity = speed[:, None] * np.c_[np.cos(angle), 0.5 * np.sin(angle)]
        was_behind = _behind_wall(center)
        center = np.where((wait > 0)[:, None], center, center + velocity / FPS)
        wait = np.maximum(wait - 1, 0)
        for i in np.flatnonzero(_behind_wall(center) & ~was_behind):
            wait[i] = rng.integers(2, 12)
            center[i] = (WALL[0] + WALL[1]) / 2, rng.uniform(90, 215)
            angle[i], speed[i] = rng.uniform(-0.6, 0.6) + np.pi * rng.integers(0, 2), rng.uniform(*SPEED)
        for axis, (low, high) in enumerate(((24, 296), (80, 222))):
            outside = (center[:, axis] < low) | (center[:, axis] > high)
            angle = np.where(outside, np.pi - angle if axis == 0 else -angle, angle)
            center[:, axis] = center[:, axis].clip(low, high)
        angle += rng.normal(0, 0.08, count)
        centers[n], x_directions[n] = center, np.cos(angle)
    return centers, x_directions


def _behind_wall(center: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (center[:, 0] > WALL[0] + 10) & (center[:, 0] < WALL[1] - 10)


def _meadow() -> NDArray[np.uint8]:
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    green = 110 + 15 * np.sin(x / 17) * np.sin(y / 11)
    return np.stack([0.6 * green, green, 0.5 * green], 2).astype(np.uint8)


def _paint(
    image: NDArray[np.uint8], coat: NDArray[np.uint8], center: NDArray[np.float64], flip: bool, brightness: float
) -> NDArray[np.float64]:
    """Paints an animal, smaller the farther up it is, and returns its box xyxy."""
    scale = 0.75 + 0.25 * (center[1] - 80) / 140
    width, height = round(BODY[0] * scale), round(BODY[1] * scale)
    x, y = (center - (width / 2, height / 2)).round().astype(int)
    pixels = cv2.resize(coat[:, ::-1] if flip else coat, (width, height), interpolation=cv2.INTER_AREA)
    shape = cv2.ellipse(np.zeros((height, width), np.uint8), (width // 2, height // 2), (width // 2, height // 2),
                        0, 0, 360, 1, -1)  # fmt: skip
    window = image[y : y + height, x : x + width]
    window[shape == 1] = (pixels * brightness).clip(0, 255)[shape == 1]
    return np.array([x, y, x + width, y + height], np.float64)


def _covered_fraction(boxes: dict[int, NDArray[np.float64]], index: int, order: list[int]) -> float:
    """Returns the largest fraction of an animal's box that the box of a nearer one covers."""
    own = boxes[index]
    nearer = order[order.index(index) + 1 :]
    areas = [
        np.prod(np.maximum(np.minimum(own[2:], boxes[i][2:]) - np.maximum(own[:2], boxes[i][:2]), 0)) for i in nearer
    ]
    return float(max(areas, default=0) / np.prod(own[2:] - own[:2]))
