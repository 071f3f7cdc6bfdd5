"""Polygons of objects, from COCO's polygons and run lengths."""

import logging
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.data.annotations.image_set import Segmentation

log = logging.getLogger(__name__)


def decode_segmentation(segmentation: Any) -> Segmentation:
    """Returns the polygons of a COCO `segmentation`: lists of x y x y ..., or the run lengths of a mask.

    Run lengths are decoded by faster-coco-eval (extras [train] and [eval]); without it such an object has no polygons.
    """
    if isinstance(segmentation, dict):
        return _contours(segmentation)
    polygons = [np.array(polygon, np.float32).reshape(-1, 2) for polygon in segmentation if len(polygon) % 2 == 0]
    return tuple(polygon for polygon in polygons if len(polygon) >= 3)


def _contours(run_lengths: dict[str, Any]) -> Segmentation:
    """Returns the outer contours of a mask's parts; holes are filled."""
    import cv2

    try:
        from faster_coco_eval.core import mask as coder
    except ModuleNotFoundError:
        _warn_once()
        return ()
    if isinstance(run_lengths["counts"], list):
        run_lengths = coder.frPyObjects(run_lengths, *run_lengths["size"])
    mask: NDArray[np.uint8] = np.ascontiguousarray(coder.decode(run_lengths))
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    # A contour runs through the centers of the outermost pixels, which are half a pixel from their corners.
    return tuple(c[:, 0].astype(np.float32) + 0.5 for c in contours if len(c) >= 3)


@cache
def _warn_once() -> None:
    log.warning("masks in run lengths are left out, and only their boxes read: they need faster-coco-eval")
