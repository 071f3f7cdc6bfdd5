"""Makes synthetic detections of known identity, to benchmark association with any number of objects."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.errors import InputError
from tracker.structures.types import Detections

FPS = 30.0  # frames per second
COVERAGE = 0.35  # summed area of the boxes over that of the canvas
ASPECT = 16 / 9  # width of the canvas over its height
HEIGHTS = (60.0, 120.0)  # pixels; a box is 0.4 of its height wide
SPEED = 3.0  # largest speed along each axis, pixels per frame
NOISE = 1.5  # standard deviation of each side of a detected box, pixels
MISSED, FALSE_POSITIVES, LOW_SCORE = 0.05, 0.02, 0.10  # fractions of the objects in a frame
EMBEDDING_DIM = 128  # of an embedding
EMBEDDING_NOISE = 0.3  # length of the vector added to an object's unit vector; about 0.08 between two of its embeddings

OBJECTS = (10, 50, 100, 300, 1000)
FRAMES = (300, 200, 150, 60, 30)  # frames of the stream of each of `OBJECTS`

Floats = NDArray[np.float32]
GroundTruth = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stream:
    """F frames of N objects, all of label 0.

    Attributes:
        detections: Simulated detections of each frame, highest score first.
        embeddings: float32 (M, EMBEDDING_DIM) for each frame, a unit vector for each detection.
        gt: float64 (F, N, 4), true xyxy boxes in pixels of the canvas; column n is object n in all frames.
    """

    detections: list[Detections]
    embeddings: list[Floats]
    gt: GroundTruth

    def time(self, frame: int) -> float:
        """Returns the time of a frame, seconds from the first one."""
        return frame / FPS


def frames_of(objects: int) -> int:
    """Returns the length of the stream of a number of objects, interpolated in the logarithm of `OBJECTS`."""
    return round(float(np.interp(np.log(objects), np.log(OBJECTS), FRAMES)))


def make_stream(objects: int, frames: int, seed: int = 0) -> Stream:
    """Makes objects that move in straight lines over a canvas that grows with their number, at constant density.

    They turn back at the border of the canvas and pass through each other. Some are not detected, some detections are
    false positives, and some scores are low.

    Raises:
        InputError: There are no objects or no frames.
    """
    if objects < 1 or frames < 1:
        raise InputError(f"a stream needs an object and a frame, got {objects} objects and {frames} frames")
    rng = np.random.default_rng(seed)
    gt, canvas = _paths(rng, objects, frames)
    identity_embeddings = _unit(rng.standard_normal((objects, EMBEDDING_DIM)))
    outputs = [_detect(rng, boxes, identity_embeddings, canvas) for boxes in gt]
    return Stream([detections for detections, _ in outputs], [embeddings for _, embeddings in outputs], gt)


def _paths(rng: np.random.Generator, objects: int, frames: int) -> tuple[GroundTruth, NDArray[np.float64]]:
    """Returns the true boxes (F, N, 4), and width and height of the canvas."""
    height = rng.uniform(*HEIGHTS, objects)
    size = np.stack([0.4 * height, height], axis=-1)
    side = np.sqrt(size.prod(axis=-1).sum() / COVERAGE / ASPECT)
    canvas = np.maximum([side * ASPECT, side], size.max(axis=0))
    space = canvas - size
    start, velocity = rng.uniform(0, space), rng.uniform(-SPEED, SPEED, (objects, 2))
    straight = start + np.arange(frames)[:, None, None] * velocity
    corner = space - np.abs(np.mod(straight, 2 * np.maximum(space, 1e-9)) - space)
    return np.concatenate([corner, corner + size], axis=-1), canvas


def _detect(
    rng: np.random.Generator, gt: GroundTruth, identity_embeddings: NDArray[np.float64], canvas: NDArray[np.float64]
) -> tuple[Detections, Floats]:
    """Simulates detections and embeddings of a frame with boxes (N, 4) and unit vectors (N, EMBEDDING_DIM)."""
    detected = np.flatnonzero(rng.random(len(gt)) >= MISSED)
    num_false = rng.binomial(len(gt), FALSE_POSITIVES)
    height = rng.uniform(*HEIGHTS, (num_false, 1))
    center = rng.uniform(0, canvas, (num_false, 2))
    half_size = np.concatenate([0.2 * height, 0.5 * height], axis=-1)
    boxes = np.concatenate(
        [gt[detected] + rng.normal(0, NOISE, (len(detected), 4)), np.hstack([center - half_size, center + half_size])]
    )
    is_low = rng.random(len(detected)) < LOW_SCORE
    scores = np.where(is_low, rng.uniform(0.2, 0.5, len(detected)), rng.uniform(0.75, 1, len(detected)))
    scores = np.concatenate([scores, rng.uniform(0.2, 0.9, num_false)])
    noise = _unit(rng.standard_normal((len(detected), EMBEDDING_DIM))) * EMBEDDING_NOISE
    embeddings = np.concatenate(
        [_unit(identity_embeddings[detected] + noise), _unit(rng.standard_normal((num_false, EMBEDDING_DIM)))]
    )
    order = np.argsort(-scores, kind="stable")
    labels = np.zeros(len(order), np.int64)
    detections = Detections(boxes[order].astype(np.float32), scores[order].astype(np.float32), labels)
    return detections, embeddings[order].astype(np.float32)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
