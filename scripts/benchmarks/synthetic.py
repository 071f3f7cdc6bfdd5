"""Synthetic detections of known identity, for measuring how long association takes at any number of objects."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.errors import InputError
from tracker.structures.types import Detections

RATE = 30.0  # frames per second
COVERAGE = 0.35  # summed area of the objects' boxes over that of the canvas
ASPECT = 16 / 9  # width of the canvas over its height
HEIGHTS = (60.0, 120.0)  # pixels; a box is 0.4 of its height wide
SPEED = 3.0  # most pixels per frame along each axis
NOISE = 1.5  # standard deviation of each side of a detected box, pixels
MISSED, FALSE, LOW = 0.05, 0.02, 0.10  # fractions of the objects in a frame
WIDTH = 128  # of an embedding
EMBEDDING_NOISE = 0.3  # length of what is added to an object's unit vector: about 0.08 between two of its views

OBJECTS = (10, 50, 100, 300, 1000)
FRAMES = (300, 200, 150, 60, 30)  # of the streams of so many objects: the more, the fewer

Floats = NDArray[np.float32]
Truth = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stream:
    """F frames of N objects, all of label 0.

    Attributes:
        detections: What a detector would say of each frame, highest score first.
        embeddings: float32 (M, WIDTH) for each frame, the unit vector of each detection.
        truth: float64 (F, N, 4), the true xyxy boxes in pixels of the canvas; column n is object n throughout.
    """

    detections: list[Detections]
    embeddings: list[Floats]
    truth: Truth

    def time(self, frame: int) -> float:
        """Seconds from the first frame to the given one."""
        return frame / RATE


def frames_of(objects: int) -> int:
    """How long the stream of so many objects is; between the sizes of `OBJECTS` on a logarithmic scale."""
    return round(float(np.interp(np.log(objects), np.log(OBJECTS), FRAMES)))


def make_stream(objects: int, frames: int, seed: int = 0) -> Stream:
    """Objects that move in straight lines over a canvas that grows with their number, as dense at every number.

    They turn back at the canvas's edge and pass through each other. Some are missed, some boxes are false, and some
    scores are low.

    Raises:
        InputError: There are no objects or no frames.
    """
    if objects < 1 or frames < 1:
        raise InputError(f"a stream needs an object and a frame, got {objects} objects and {frames} frames")
    rng = np.random.default_rng(seed)
    truth, canvas = _paths(rng, objects, frames)
    views = _unit(rng.standard_normal((objects, WIDTH)))
    seen = [_seen(rng, boxes, views, canvas) for boxes in truth]
    return Stream([detections for detections, _ in seen], [embeddings for _, embeddings in seen], truth)


def _paths(rng: np.random.Generator, objects: int, frames: int) -> tuple[Truth, NDArray[np.float64]]:
    """True boxes (F, N, 4), and width and height of the canvas."""
    height = rng.uniform(*HEIGHTS, objects)
    size = np.stack([0.4 * height, height], axis=-1)
    side = np.sqrt(size.prod(axis=-1).sum() / COVERAGE / ASPECT)
    canvas = np.maximum([side * ASPECT, side], size.max(axis=0))
    room = canvas - size
    start, velocity = rng.uniform(0, room), rng.uniform(-SPEED, SPEED, (objects, 2))
    straight = start + np.arange(frames)[:, None, None] * velocity
    corner = room - np.abs(np.mod(straight, 2 * np.maximum(room, 1e-9)) - room)
    return np.concatenate([corner, corner + size], axis=-1), canvas


def _seen(
    rng: np.random.Generator, truth: Truth, views: NDArray[np.float64], canvas: NDArray[np.float64]
) -> tuple[Detections, Floats]:
    """One frame: true boxes (N, 4) and unit vectors (N, WIDTH) as a detector and an embedder would give them."""
    found = np.flatnonzero(rng.random(len(truth)) >= MISSED)
    false = rng.binomial(len(truth), FALSE)
    height = rng.uniform(*HEIGHTS, (false, 1))
    centre = rng.uniform(0, canvas, (false, 2))
    half = np.concatenate([0.2 * height, 0.5 * height], axis=-1)
    boxes = np.concatenate(
        [truth[found] + rng.normal(0, NOISE, (len(found), 4)), np.hstack([centre - half, centre + half])]
    )
    low = rng.random(len(found)) < LOW
    scores = np.where(low, rng.uniform(0.2, 0.5, len(found)), rng.uniform(0.75, 1, len(found)))
    scores = np.concatenate([scores, rng.uniform(0.2, 0.9, false)])
    blur = _unit(rng.standard_normal((len(found), WIDTH))) * EMBEDDING_NOISE
    embeddings = np.concatenate([_unit(views[found] + blur), _unit(rng.standard_normal((false, WIDTH)))])
    order = np.argsort(-scores, kind="stable")
    labels = np.zeros(len(order), np.int64)
    detections = Detections(boxes[order].astype(np.float32), scores[order].astype(np.float32), labels)
    return detections, embeddings[order].astype(np.float32)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
