"""Streams of detections for tests of the tracker, and comparisons of its tracks."""

import numpy as np

from tracker.config import TrackerConfig
from tracker.structures.boxes import xywh_to_xyxy
from tracker.structures.types import Detections
from tracker.tracking import DeepSort

COLUMNS = ("ids", "boxes", "scores", "labels", "velocities", "ages", "observed")
RED, BLUE = np.eye(2, 8, dtype=np.float32)

IMAGE_SIDE = 400.0
"""Width and height of the image, pixels."""

VARIANTS = {
    "default": {},
    "likelihood": {
        "association": "likelihood",
        "max_nll": 6.0,
        "height_weight": 1.0,
        "absence_penalty": 0.1,
    },
    "iou": {
        "association": "iou",
        "min_iou": 0.3,
        "buffer_scale": 0,
        "adaptive_noise_gate": 0,
        "confidence_noise": 0,
    },
    "mahalanobis": {
        "association": "mahalanobis",
        "appearance_momentum": 0,
        "gallery_size": 5,
        "max_cosine_distance": 0.4,
    },
    "weighted": {"association": "mahalanobis", "appearance_weight": 0.9, "confidence_noise": 1.0},
    "cascade": {
        "association": "mahalanobis",
        "cascade": True,
        "appearance_momentum": 0,
        "tentative_misses": 0,
        "n_init": 3,
    },
    "byte": {
        "association": "iou",
        "high_score": 0.6,
        "start_score": 0.7,
        "low_iou": 0.5,
        "score_weight": 1,
        "duplicate_iou": 0.5,
    },
    "momentum": {"association": "iou", "direction_weight": 0.2, "recover_iou": 0.3, "re_update": True, "max_age": 1.0},
    "fused": {
        "association": "iou",
        "max_cosine_distance": 0.5,
        "generalized_iou": True,
        "buffer_scale": 0.3,
        "re_update": False,
    },
    "gallery": {
        "appearance_momentum": 0,
        "gallery_size": 3,
        "max_cosine_distance": 0.6,
        "max_coast": 0.5,
        "detection_weight": 1.0,
    },
    "classless": {"match_across_classes": True, "duplicate_iou": 0.6, "recover_iou": 0.2, "direction_weight": 0.5},
}
"""Settings of the tracker that together use each of its options."""


def make_detections(*boxes, labels=None, scores=None):
    """Returns detections of boxes (left, top, width, height)."""
    n = len(boxes)
    xyxy = xywh_to_xyxy(np.array(boxes, np.float32).reshape(n, 4))
    return Detections(
        xyxy,
        np.array(scores if scores else [0.9] * n, np.float32),
        np.array(labels if labels else [0] * n, np.int64),
    )


def no_embeddings(detections):
    """Returns embeddings of length 0, for tracking by motion alone."""
    return np.zeros((len(detections), 0), np.float32)


NO_DETECTIONS = make_detections()


def make_tracker(**settings):
    """Returns a tracker in which any detection starts a confirmed track, unless the settings say otherwise."""
    return DeepSort(TrackerConfig(**{"n_init": 1, "start_score": 0, "high_score": 0} | settings))


def run_tracker(tracker, frames, fps=30.0, start=0.0, **options):
    """Returns the tracks of every frame, for Detections without embeddings, or pairs of Detections and embeddings."""
    pairs = [(d, no_embeddings(d)) if isinstance(d, Detections) else d for d in frames]
    return [tracker.update(d, e, start + i / fps, **options) for i, (d, e) in enumerate(pairs)]


def assert_equal_tracks(a, b):
    """Checks that two Tracks are equal to the bit."""
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def all_ids(frames):
    """Returns the ids of all tracks of all frames."""
    return {int(i) for tracks in frames for i in tracks.ids}


def track_counts(frames):
    """Returns the number of tracks in each frame."""
    return [len(tracks) for tracks in frames]


def variant_config(name):
    """Returns the settings of a variant."""
    return TrackerConfig(**VARIANTS[name])


def variant_tracker(name, side=IMAGE_SIDE):
    """Returns a tracker of a variant, with embeddings for class 0 only."""
    return DeepSort(variant_config(name), {0}, (side, side))


def random_stream(seed, frames=25, objects=12, doubled=False):
    """Returns detections and embeddings of a crowd of two classes, whose objects move, are missed and appear.

    Some detections have low scores, and some are false positives. Positions are multiples of 1/64 px, which float32
    holds exactly, also shifted and scaled. With `doubled`, some detections occur twice.
    """
    rng = np.random.default_rng(seed)
    center, velocity = rng.uniform(0, IMAGE_SIDE, (objects, 2)), rng.normal(0, 4, (objects, 2))
    sizes = rng.uniform([20, 50], [60, 120], (objects, 2))
    labels, first_frames = rng.integers(0, 2, objects), rng.integers(0, frames // 2, objects)
    appearance = rng.normal(size=(objects, 8)) + 1
    stream = []
    for frame in range(frames):
        center += velocity
        boxes = np.c_[center - sizes / 2, center + sizes / 2] + rng.normal(0, 1, (objects, 4))
        corner = rng.uniform(0, IMAGE_SIDE, (1, 2))
        boxes = np.r_[boxes, np.c_[corner, corner + rng.uniform(20, 80, (1, 2))]]
        scores = np.where(rng.random(objects + 1) < 0.3, rng.uniform(0.3, 0.85, objects + 1), 0)
        scores = np.where(scores, scores, rng.uniform(0.85, 1, objects + 1))
        embeddings = np.r_[appearance, rng.normal(size=(1, 8))] + rng.normal(0, 0.2, (objects + 1, 8))
        present = np.r_[(rng.random(objects) > 0.15) & (first_frames <= frame), rng.random() < 0.3]
        rows = np.flatnonzero(present)
        if doubled:
            rows = np.r_[rows, rows[rng.random(len(rows)) < 0.1]]
        detections = Detections(
            (np.round(boxes[rows] * 64) / 64).astype(np.float32),
            scores[rows].astype(np.float32),
            np.r_[labels, 0][rows],
        )
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        stream.append((detections, embeddings[rows].astype(np.float32)))
    return stream
