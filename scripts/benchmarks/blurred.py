"""How much of the ground truth is blurred in the video of a run."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.config import BlurConfig, SourceConfig
from tracker.data.exchange import read_tracks
from tracker.data.run_tracks import RunTracks, read_run_tracks
from tracker.output.blurring import TrackCover
from tracker.structures.boxes import iou
from tracker.video import open_source
from tracker.video.run_source import open_run_source

_COVERED = 0.9
"""Fraction of a person's box that has to be blurred."""
_OVERLAP = 0.5
"""IoU of a person and a track that covers them."""


def blurred_shares(run: Path, ground_truth: Path, blurred: Path) -> Iterator[str]:
    """Yields the shares of the boxes of the ground truth that are blurred, and how much detail is left in them."""
    tracks = read_run_tracks(run)
    rows = read_tracks(ground_truth).rows
    boxes: dict[int, list[tuple[int, NDArray[np.float64]]]] = {}
    for row in rows:
        boxes.setdefault(row.frame, []).append((row.track_id, np.array(row.box)))
    found: list[tuple[int, bool, bool, float]] = []  # person, covered by a track in this frame, blurred, detail left
    cover = TrackCover(tracks, BlurConfig())
    with open_run_source(tracks) as source, open_source(blurred, SourceConfig()) as result:
        for before, after in zip(source, result, strict=True):
            hidden = cover.at(before).boxes.astype(np.float64)
            now = tracks.boxes[tracks.frames == before.index]
            mask = np.zeros(before.image.shape[:2], np.bool_)
            for x1, y1, x2, y2 in np.clip(hidden, 0, None):
                mask[int(np.floor(y1)) : int(np.ceil(y2)), int(np.floor(x1)) : int(np.ceil(x2))] = True
            for person, box in boxes.get(before.index, []):
                covered = bool(len(now)) and float(iou(box[None], now).max()) >= _OVERLAP
                part = tuple(slice(max(0, int(a)), max(0, int(b))) for a, b in ((box[1], box[3]), (box[0], box[2])))
                inside = mask[part]
                is_blurred = inside.size > 0 and float(inside.mean()) >= _COVERED
                found.append(
                    (person, covered, is_blurred, _detail(after.image[part]) / max(_detail(before.image[part]), 1))
                )
    yield from _lines(found, tracks)


def _lines(found: list[tuple[int, bool, bool, float]], tracks: RunTracks) -> Iterator[str]:
    covered = [one for one in found if one[1]]
    known = {person for person, is_covered, _, _ in found if is_covered}
    of_known = [one for one in found if one[0] in known]
    for label, chosen in (
        ("frames in which a track covers a person", covered),
        ("all frames of persons whom a track covers somewhere", of_known),
        ("all frames of all persons", found),
    ):
        share = sum(one[2] for one in chosen) / max(1, len(chosen))
        yield f"{label}: {sum(one[2] for one in chosen)} of {len(chosen)} boxes blurred ({share:.2%})"
    detail = [one[3] for one in found if one[2]]
    yield f"detail left where it is blurred (variance of the Laplacian, after / before): median {np.median(detail):.3f}"


def _detail(image: NDArray[np.uint8]) -> float:
    if image.size == 0:
        return 0.0
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())
