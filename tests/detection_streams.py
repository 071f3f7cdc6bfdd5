"""Streams of detections for tests of the tracker, and what its answers are compared with."""

import numpy as np

from tracker.config import TrackerConfig
from tracker.structures.boxes import xywh_to_xyxy
from tracker.structures.types import Detections
from tracker.tracking import DeepSort

FIELDS = ("ids", "boxes", "scores", "labels", "velocities", "ages", "observed")
RED, BLUE = np.eye(2, 8, dtype=np.float32)

SIDE = 400.0
"""Of the picture, pixels."""

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
"""Settings that between them use every switch of the engine."""


def seen(*boxes, labels=None, scores=None):
    """Detections of boxes (left, top, width, height)."""
    n = len(boxes)
    xyxy = xywh_to_xyxy(np.array(boxes, np.float32).reshape(n, 4))
    return Detections(
        xyxy,
        np.array(scores if scores else [0.9] * n, np.float32),
        np.array(labels if labels else [0] * n, np.int64),
    )


def bare(detections):
    """No embeddings."""
    return np.zeros((len(detections), 0), np.float32)


NOBODY = seen()


def plain(**settings):
    """A tracker of which any detection starts a confirmed track at once, unless the settings say otherwise."""
    return DeepSort(TrackerConfig(**{"n_init": 1, "start_score": 0, "high_score": 0} | settings))


def follow(tracker, frames, fps=30.0, start=0.0, **more):
    """Tracks of every frame, for Detections without embeddings, or pairs of Detections and embeddings."""
    pairs = [(d, bare(d)) if isinstance(d, Detections) else d for d in frames]
    return [tracker.update(d, e, start + i / fps, **more) for i, (d, e) in enumerate(pairs)]


def same(a, b):
    """Tracks are equal to the bit."""
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def all_ids(frames):
    """The ids of all tracks of all frames."""
    return {int(i) for tracks in frames for i in tracks.ids}


def lengths(frames):
    """How many tracks there are in each frame."""
    return [len(tracks) for tracks in frames]


def settings_of(name):
    """The tracker's settings of a variant."""
    return TrackerConfig(**VARIANTS[name])


def tracker_of(name, side=SIDE):
    """A tracker of a variant, to which embeddings speak of class 0 alone."""
    return DeepSort(settings_of(name), {0}, (side, side))


def world(seed, frames=25, objects=12, doubled=False):
    """Detections, and their embeddings, of a throng of two classes whose members move, are missed and join.

    Some are unsure and some are nobody's. Positions are multiples of 1/64 px, so that float32 holds them, moved and
    scaled ones too. With `doubled`, some detections are there twice.
    """
    draw = np.random.default_rng(seed)
    centre, velocity = draw.uniform(0, SIDE, (objects, 2)), draw.normal(0, 4, (objects, 2))
    size = draw.uniform([20, 50], [60, 120], (objects, 2))
    labels, joins = draw.integers(0, 2, objects), draw.integers(0, frames // 2, objects)
    looks = draw.normal(size=(objects, 8)) + 1
    video = []
    for frame in range(frames):
        centre += velocity
        boxes = np.c_[centre - size / 2, centre + size / 2] + draw.normal(0, 1, (objects, 4))
        corner = draw.uniform(0, SIDE, (1, 2))
        boxes = np.r_[boxes, np.c_[corner, corner + draw.uniform(20, 80, (1, 2))]]
        scores = np.where(draw.random(objects + 1) < 0.3, draw.uniform(0.3, 0.85, objects + 1), 0)
        scores = np.where(scores, scores, draw.uniform(0.85, 1, objects + 1))
        vectors = np.r_[looks, draw.normal(size=(1, 8))] + draw.normal(0, 0.2, (objects + 1, 8))
        present = np.r_[(draw.random(objects) > 0.15) & (joins <= frame), draw.random() < 0.3]
        rows = np.flatnonzero(present)
        if doubled:
            rows = np.r_[rows, rows[draw.random(len(rows)) < 0.1]]
        detections = Detections(
            (np.round(boxes[rows] * 64) / 64).astype(np.float32),
            scores[rows].astype(np.float32),
            np.r_[labels, 0][rows],
        )
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        video.append((detections, vectors[rows].astype(np.float32)))
    return video
