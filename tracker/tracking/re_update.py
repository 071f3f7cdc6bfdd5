"""Re-update of tracks that are matched again after a gap, as in OC-SORT."""

import numpy as np

from tracker.structures.boxes import Floats, xyxy_to_xyah
from tracker.tracking.kalman import KalmanFilter
from tracker.tracking.track_table import Indices, TrackTable

_MAX_STEPS = 10
"""Most virtual detections in a gap: more of them hardly change the state, and take time."""


def re_update(
    kalman: KalmanFilter, table: TrackTable, rows: Indices, boxes: Floats, scores: Floats, time: float
) -> None:
    """Replaces the filter's predictions in a gap by an update along the straight line to the detection at its end.

    From the state at its latest detection, each track is updated with virtual detections on the straight line to the
    new one, one for each frame that it was missed, and predicted to the time of the new one, with which it is still to
    be updated. Source: observation-centric re-update, arXiv 2203.14360, section 4.1.

    Mean and covariance are replaced in rows int64 (R,) of the table, tracks missed in the frame before, by means of
    their new detections, boxes float64 (R, 4) xyxy and scores (R,), in the frame at `time` seconds.
    """
    if not len(rows):
        return
    mean, covariance = table.updated_mean[rows], table.updated_covariance[rows]
    start, end = xyxy_to_xyah(table.last_box[rows]), xyxy_to_xyah(boxes)
    steps = np.minimum(table.misses[rows], _MAX_STEPS)
    interval = ((time - table.last_time[rows]) / steps)[:, None]
    for step in range(1, int(steps.max()) + 1):
        active = np.flatnonzero(steps >= step)
        mean[active], covariance[active] = kalman.predict(mean[active], covariance[active], interval[active])
        active = active[steps[active] > step]
        if len(active):
            virtual = start[active] + (end[active] - start[active]) * (step / steps[active])[:, None]
            mean[active], covariance[active] = kalman.update(mean[active], covariance[active], virtual, scores[active])
    table.mean[rows], table.covariance[rows] = mean, covariance
