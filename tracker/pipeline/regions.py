"""Regions of interest and ignore masks: which detections are tracked."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.config import DetectionFilterConfig
from tracker.config.zones import parse_regions
from tracker.pipeline.frame_analysis import FrameAnalysis
from tracker.structures.boxes import Floats, clip
from tracker.structures.types import Detections, Frame


class Regions:
    """Tells which boxes lie in the zones of `config.roi`, if it has any, and in none of its ignore zones."""

    def __init__(self, config: DetectionFilterConfig) -> None:
        """Takes the zones; without any, all boxes count."""
        known = parse_regions(config.roi)
        self._zones = [np.array(corners, np.float32) for corners in known.zones.values()]
        self._ignored = [np.array(corners, np.float32) for corners in known.ignore.values()]
        self._anchor = config.roi_anchor

    def select(self, analysis: FrameAnalysis) -> FrameAnalysis:
        """Returns an analysis with the detections that are tracked; those that are scored again get 0 elsewhere."""
        if not self._zones and not self._ignored:
            return analysis
        frame, rescore = analysis.frame, analysis.rescore

        def rescore_inside(boxes: NDArray[np.float32], labels: NDArray[np.int64]) -> Detections:
            found = rescore(boxes, labels)
            return replace(found, scores=found.scores * self.contain(found.boxes, frame))

        keep = self.contain(analysis.detections.boxes, frame)
        return replace(
            analysis,
            detections=analysis.detections[keep],
            embeddings=analysis.embeddings[keep],
            class_probs=analysis.class_probs[keep],
            rescore=rescore_inside,
        )

    def contain(self, boxes: Floats, frame: Frame) -> NDArray[np.bool_]:
        """Returns True, bool (N,), for boxes whose anchor lies in a zone and in no ignore zone, borders included.

        The anchor is that of the part of the box inside the image: a person who is cut off by the lower border stands
        at the border.

        Args:
            boxes: (N, 4) xyxy, pixels of the image of `frame`.
            frame: The frame; where its picture was fitted into the image, zones are those of the picture.
        """
        height, width = frame.image.shape[:2]
        if frame.fit is not None:
            boxes, width, height = frame.fit.to_picture(boxes), frame.fit.width, frame.fit.height
        x1, y1, x2, y2 = clip(boxes, width, height).T
        y = y2 if self._anchor == "bottom" else (y1 + y2) / 2
        points = np.stack([(x1 + x2) / 2 / width, y / height], 1).astype(float).tolist()
        return np.array([self._is_tracked((x, y)) for x, y in points], np.bool_)

    def _is_tracked(self, point: tuple[float, float]) -> bool:
        inside = not self._zones or any(_is_inside(zone, point) for zone in self._zones)
        return inside and not any(_is_inside(zone, point) for zone in self._ignored)


def _is_inside(corners: NDArray[np.float32], point: tuple[float, float]) -> bool:
    return bool(cv2.pointPolygonTest(corners, point, measureDist=False) >= 0)
