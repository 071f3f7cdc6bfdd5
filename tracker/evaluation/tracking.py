"""HOTA, MOTA and IDF1 of tracks, computed by trackeval.

Source: Luiten et al. 2021, HOTA, arXiv 2009.07736; Bernardin and Stiefelhagen 2008, CLEAR MOT; Ristani et al. 2016,
IDF1, arXiv 1609.01775.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.boxes import iou, xywh_to_xyxy
from tracker.errors import InputError

Rows = NDArray[np.float64]
INTEGRAL = ("IDSW", "CLR_FP", "CLR_FN", "Frag")


def read_mot(path: Path) -> Rows:
    """Rows of a MOTChallenge file: frame from 1, id, x, y, width, height, confidence, and what follows.

    Raises:
        InputError: The file is missing or is no such table.
    """
    try:
        rows = np.loadtxt(path, delimiter=",", ndmin=2, dtype=np.float64)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except ValueError as error:
        raise InputError(f"{path} is not a MOTChallenge file: {error}") from None
    if rows.size and rows.shape[1] < 7:
        raise InputError(f"{path} is not a MOTChallenge file: its rows have {rows.shape[1]} columns, not 7 or more")
    return rows.reshape(-1, max(rows.shape[1], 7))


def score_tracks(pairs: Mapping[str, tuple[Rows, Rows]]) -> dict[str, float]:
    """Scores sequences together.

    Args:
        pairs: For each sequence (found rows, true rows), both as `read_mot` gives them; true rows with confidence 0
            do not count.

    Returns:
        HOTA, DetA, AssA, MOTA, IDF1 in percent, and IDSW, CLR_FP, CLR_FN, Frag as counts.
    """
    from trackeval.metrics import CLEAR, HOTA, Identity

    data = {name: _sequence(found, truth[truth[:, 6] > 0]) for name, (found, truth) in pairs.items()}
    combined: dict[str, Any] = {}
    for metric in (HOTA(), CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False})):
        combined |= metric.combine_sequences({name: metric.eval_sequence(d) for name, d in data.items()})
    figures = {name: 100 * float(np.mean(combined[name])) for name in ("HOTA", "DetA", "AssA", "MOTA", "IDF1")}
    return figures | {name: float(combined[name]) for name in INTEGRAL}


def _sequence(found: Rows, truth: Rows) -> dict[str, Any]:
    """What trackeval's metrics take of one sequence: ids counted from 0, and the IoU of all pairs in each frame."""
    frames = range(1, int(max(found[:, 0].max(initial=0), truth[:, 0].max(initial=0))) + 1)
    found_ids, found_numbers = np.unique(found[:, 1], return_inverse=True)
    true_ids, true_numbers = np.unique(truth[:, 1], return_inverse=True)
    by_frame = [(found[found[:, 0] == n], truth[truth[:, 0] == n]) for n in frames]
    return {
        "gt_ids": [true_numbers[truth[:, 0] == n] for n in frames],
        "tracker_ids": [found_numbers[found[:, 0] == n] for n in frames],
        "similarity_scores": [iou(xywh_to_xyxy(t[:, 2:6]), xywh_to_xyxy(f[:, 2:6])) for f, t in by_frame],
        "num_timesteps": len(frames),
        "num_gt_ids": len(true_ids),
        "num_tracker_ids": len(found_ids),
        "num_gt_dets": len(truth),
        "num_tracker_dets": len(found),
    }
