"""What is done when a missed track is found again."""

import numpy as np

from tracker.structures.boxes import Floats, xyxy_to_xyah
from tracker.tracking.kalman import KalmanFilter
from tracker.tracking.track_table import Indices, TrackTable

_MOST_STEPS = 10
"""Detections imagined along a gap, at most: more of them hardly change the state, and take time."""


def re_update(
    kalman: KalmanFilter, table: TrackTable, rows: Indices, boxes: Floats, scores: Floats, time: float
) -> None:
    """Replaces what the filter predicted through a gap, now that the detection at its end is known.

    From the state at its last detection, each track is led through detections imagined on the straight line to the new
    one, one for each frame that it was missed, up to the time of the new one, which is then still to be filtered.
    Source: observation-centric re-update, arXiv 2203.14360, section 4.1.

    Args:
        kalman: The filter.
        table: The tracks; their mean and covariance are replaced.
        rows: int64 (R,), rows of the table of tracks missed in the frame before.
        boxes: float64 (R, 4) xyxy, where they were found.
        scores: float64 (R,), of these detections.
        time: Of this frame, seconds.
    """
    if not len(rows):
        return
    mean, covariance = table.found_mean[rows], table.found_covariance[rows]
    start, end = xyxy_to_xyah(table.last[rows]), xyxy_to_xyah(boxes)
    steps = np.minimum(table.misses[rows], _MOST_STEPS)
    interval = ((time - table.last_time[rows]) / steps)[:, None]
    for step in range(1, int(steps.max()) + 1):
        on = np.flatnonzero(steps >= step)
        mean[on], covariance[on] = kalman.predict(mean[on], covariance[on], interval[on])
        on = on[steps[on] > step]
        if len(on):
            on_the_way = start[on] + (end[on] - start[on]) * (step / steps[on])[:, None]
            mean[on], covariance[on] = kalman.update(mean[on], covariance[on], on_the_way, scores[on])
    table.mean[rows], table.covariance[rows] = mean, covariance
