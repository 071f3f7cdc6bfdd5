"""How well an embedder tells people apart who were seen a few frames before, in a sequence with ground truth."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import mannwhitneyu

from tracker.config import SourceConfig
from tracker.data.mot_file import MotRows, read_mot_file
from tracker.errors import InputError
from tracker.models.reid import load_embedder
from tracker.models.runtime import find_device
from tracker.structures.boxes import iou, xywh_to_xyxy
from tracker.video import open_source

_MATCH_IOU = 0.5
Frames = dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]]
"""Ids (N,) and boxes (N, 4) xyxy pixels, by frame from 0 on."""


def measure_gaps(sequence: Path, embedders: Sequence[str], gaps: Sequence[int]) -> Iterator[str]:
    """Yields for each embedder the AUC of same against different people, and rank-1, at each gap."""
    frames = identified_detections(read_mot_file(sequence / "det/det.txt"), read_mot_file(sequence / "gt/gt.txt"))
    people = np.concatenate([ids for ids, _ in frames.values()]) if frames else np.zeros(0)
    if len(frames) <= max(gaps):
        raise InputError(f"{sequence} has {len(frames)} frames in which a detection shows a person: give a longer one")
    yield f"{len(people)} crops of {len(np.unique(people))} people"
    for name in embedders:
        with load_embedder(name, find_device("cpu")) as embedder:
            embeddings = {}
            with open_source(str(sequence / "video.mp4"), SourceConfig()) as source:
                for image in source:
                    if image.index in frames:
                        boxes = frames[image.index][1]
                        embeddings[image.index] = embedder.embed([image.image], [boxes])[0]
        for gap in gaps:
            auc, rank1 = compare(frames, embeddings, gap)
            yield f"{name}, {gap} frames: AUC {auc:.4f}, rank-1 {rank1:.3f}"


def identified_detections(detections: MotRows, truth: MotRows) -> Frames:
    """Returns the detections that overlap a true box by half, with its id."""
    frames: Frames = {}
    for frame in np.unique(truth.frames).tolist():
        boxes, true = (xywh_to_xyxy(rows.boxes[rows.frames == frame]) for rows in (detections, truth))
        overlap = iou(boxes, true)
        rows, columns = linear_sum_assignment(-overlap)
        kept = overlap[rows, columns] >= _MATCH_IOU
        if kept.any():
            ids = truth.ids[truth.frames == frame][columns[kept]]
            frames[frame] = ids.astype(np.int64), boxes[rows[kept]].astype(np.float32)
    return frames


def compare(frames: Frames, embeddings: dict[int, NDArray[np.float32]], gap: int) -> tuple[float, float]:
    """Returns the AUC and the rank-1 of crops among those of so many frames later."""
    cosines = defaultdict(list)
    hits = []
    for frame, (ids, _) in frames.items():
        if frame + gap not in frames:
            continue
        same = ids[:, None] == frames[frame + gap][0]
        pairs = embeddings[frame] @ embeddings[frame + gap].T
        for value in (True, False):
            cosines[value].append(pairs[same == value])
        if same.shape[1] > 1:
            hits.append(same[np.arange(len(ids)), pairs.argmax(1)][same.any(1)])
    same_pairs, others = np.concatenate(cosines[True]), np.concatenate(cosines[False])
    area = mannwhitneyu(same_pairs, others).statistic / (len(same_pairs) * len(others))
    return float(area), float(np.concatenate(hits).mean())
