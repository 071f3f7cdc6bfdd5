"""The two sides that are associated in a frame: its detections, and the tracks as predicted for it."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from tracker.config import TrackerConfig
from tracker.structures.boxes import Floats, area, expand, xyah_to_xyxy, xyxy_to_xyah
from tracker.structures.types import Detections
from tracker.tracking.candidate_pairs import Indices, Mask
from tracker.tracking.gallery import Embeddings
from tracker.tracking.kalman import KalmanFilter
from tracker.tracking.track_table import TrackTable


@dataclass(frozen=True, slots=True, eq=False)
class PreparedDetections:
    """The detections of a frame that have an area, in an order that does not depend on the order they came in."""

    rows: Indices  # int64 (N,), row of each among the frame's detections
    boxes: Floats  # float64 (N, 4) xyxy
    expanded_boxes: Floats  # float64 (N, 4) xyxy, by `expand`
    measurements: Floats  # float64 (N, 4) xyah
    scores: Floats  # float64 (N,)
    labels: Indices  # int64 (N,)
    embeddings: Embeddings  # float32 (N, D)
    has_embedding: Mask  # bool (N,), False where the row of the embeddings is not to be read

    @classmethod
    def from_detections(
        cls, detections: Detections, embeddings: Embeddings, reid_class_ids: Indices, config: TrackerConfig
    ) -> Self:
        """Prepares a frame's detections and their embeddings, (N, D), which are read for some labels only."""
        rows = _canonical_order(detections)
        boxes, labels = detections.boxes[rows].astype(np.float64), detections.labels[rows]
        has_embedding = np.zeros(len(rows), np.bool_)
        if embeddings.shape[1]:
            has_embedding |= (labels[:, None] == reid_class_ids).any(1)
        expanded, scores = expand(boxes, config.buffer_scale), detections.scores[rows].astype(np.float64)
        return cls(rows, boxes, expanded, xyxy_to_xyah(boxes), scores, labels, embeddings[rows], has_embedding)


@dataclass(frozen=True, slots=True, eq=False)
class PredictedTracks:
    """The tracks as they are expected to be measured in a frame; T rows."""

    table: TrackTable
    boxes: Floats  # float64 (T, 4) xyxy
    expanded_boxes: Floats  # float64 (T, 4) xyxy, by `expand`
    measurement_variance: Floats  # float64 (T, 4)
    innovation_variance: Floats  # float64 (T, 4), the sum of the variances of the state and of its measurement
    missed: Mask  # bool (T,), not detected in the frame before
    absence_penalty: Floats  # float64 (T,), nats for the time since the latest detection

    @classmethod
    def from_table(cls, table: TrackTable, kalman: KalmanFilter, config: TrackerConfig, time: float) -> Self:
        """Returns the tracks of a table that is predicted to the frame at `time` seconds."""
        boxes = xyah_to_xyxy(table.mean[:, :4])
        noise, missed = kalman.measurement_variance(kalman.size(table.mean)), table.misses > 1
        absence_penalty = config.absence_penalty * (time - table.last_time) * missed
        expanded = expand(boxes, config.buffer_scale)
        return cls(table, boxes, expanded, noise, table.covariance[:, 0] + noise, missed, absence_penalty)


def _canonical_order(detections: Detections) -> Indices:
    """Returns the rows of the detections with an area, in an order that depends only on what the detections are."""
    left = detections.boxes[:, 0]
    order = np.argsort(left, kind="stable")
    if (np.diff(left[order]) == 0).any():
        order = np.lexsort((detections.scores, detections.labels, *detections.boxes.T[::-1]))
    has_area = area(detections.boxes.astype(np.float64)) > 0
    return order if has_area.all() else order[has_area[order]]
