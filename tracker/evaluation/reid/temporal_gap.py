"""Evaluates how well an embedder identifies the objects of one video some frames later."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tracker.config import DetectionFilterConfig, SourceConfig, TrackerConfig
from tracker.errors import InputError
from tracker.evaluation.mot.alignment import align
from tracker.evaluation.mot.files import MotTable, read_mot
from tracker.evaluation.mot.id_switches.report import find_videos
from tracker.evaluation.mot.sequences import read_sequence
from tracker.evaluation.reid.baselines import RoIEmbedder
from tracker.evaluation.reid.retrieval import Retrieval
from tracker.evaluation.reid.separation import VerificationCurve, verification_metrics
from tracker.models.reid import Embedder
from tracker.structures.boxes import area, clip, xywh_to_xyxy
from tracker.tracking.gallery import Gallery
from tracker.video import open_source

MIN_IOU = 0.5  # of a detection that is matched to an object


@dataclass(frozen=True, eq=False)
class ObjectEmbeddings:
    """The embeddings of objects, by frame number from 1.

    Attributes:
        dimension: D, length of an embedding.
        ids: int64 (n,), identities.
        embeddings: float32 (n, D), unit rows.
    """

    dimension: int
    ids: dict[int, NDArray[np.int64]]
    embeddings: dict[int, NDArray[np.float32]]


def read_labeled_boxes(folder: Path, detections: str) -> MotTable:
    """Reads boxes of a sequence with the ids of the ground truth, (N, 7), see `MotTable`.

    Args:
        folder: In the layout of the MOTChallenge.
        detections: Name of a file in its folder det, whose boxes are taken if they are matched to an object (one to
            one, IoU from 0.5); empty for the boxes of the ground truth.

    Raises:
        InputError: A file is missing or damaged.
    """
    if not detections:
        table: NDArray[np.float64] = read_mot(folder / "gt" / "gt.txt")
        return table[table[:, 6] != 0]  # type: ignore[no-any-return]
    sequence = read_sequence(folder, detections, DetectionFilterConfig(score=0.0))
    frames = np.repeat(sequence.frames, [len(detected) for detected in sequence.detections])
    xywh = np.concatenate([detected.boxes for detected in sequence.detections]).astype(np.float64)
    xywh[:, 2:] -= xywh[:, :2]
    detected = np.column_stack([frames, np.arange(len(frames)), xywh, np.ones(len(frames))])
    alignment = align(detected, sequence.gt, sequence.name)
    tables = [detected[:0]]
    for gt, boxes, ious in zip(alignment.gt_indices, alignment.track_indices, alignment.ious, strict=True):
        gt_rows, columns = linear_sum_assignment(ious, maximize=True)
        matched = ious[gt_rows, columns] >= MIN_IOU
        labeled = detected[alignment.track_ids[boxes[columns[matched]]]]
        labeled[:, 1] = alignment.gt_ids[gt[gt_rows[matched]]]
        tables.append(labeled)
    return np.concatenate(tables)


def embed_objects(
    embedder: Embedder | RoIEmbedder,
    folder: Path,
    boxes: MotTable,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> ObjectEmbeddings:
    """Embeds the objects of a sequence, cropped from its video or its images.

    Args:
        embedder: The embedder.
        folder: Holds video.mp4 or img1/, or such a file lies beside it (see `find_videos`).
        boxes: Boxes and ids, see `read_labeled_boxes`.
        on_progress: Called with the number of frames that are done, and their total.

    Raises:
        InputError: There is no video, or it cannot be read.
    """
    last = int(boxes[:, 0].max(initial=0))
    by_frame: Mapping[int, MotTable] = {int(frame): boxes[boxes[:, 0] == frame] for frame in np.unique(boxes[:, 0])}
    objects = ObjectEmbeddings(embedder.dimension, {}, {})
    name = folder.resolve().name
    with open_source(find_videos(str(folder), [name])[name], SourceConfig()) as source:
        for frame in source:
            number = frame.index + 1
            if number in by_frame:
                height, width = frame.image.shape[:2]
                clipped = np.asarray(clip(xywh_to_xyxy(by_frame[number][:, 2:6]), width, height), np.float32)
                inside = area(clipped) > 0
                objects.ids[number] = by_frame[number][inside, 1].astype(np.int64)
                objects.embeddings[number] = embedder.embed(embedder.upload([frame.image]), [clipped[inside]])[0]
            on_progress(number, last)
            if number == last:
                break
    return objects


def temporal_retrieval(objects: ObjectEmbeddings, gap: int) -> dict[str, float]:
    """Evaluates the identification of the objects of each frame among those of the frame `gap` frames later.

    Args:
        objects: The objects of a sequence.
        gap: Frames.

    Returns:
        rank-1, and the metrics of `verification_metrics`; a track is represented as in the tracker, by a moving average
        of the object's embeddings up to the earlier frame.

    Raises:
        InputError: No object occurs again after this gap, or none together with another one.
    """
    distances = track_distances = VerificationCurve.empty()
    rankings: list[Retrieval] = []
    gallery, gallery_indices = Gallery(1, objects.dimension, TrackerConfig().appearance_momentum), dict[int, int]()
    for frame, ids in sorted(objects.ids.items()):
        indices = _update_gallery(gallery, gallery_indices, ids, objects.embeddings[frame])
        later = objects.ids.get(frame + gap, ids[:0])
        if not len(ids) or not len(later):
            continue
        later_embeddings = objects.embeddings[frame + gap]
        crop_distances = np.asarray(1 - objects.embeddings[frame] @ later_embeddings.T, np.float32)
        same, valid = ids[:, None] == later, np.ones((len(ids), len(later)), np.bool_)
        distances += VerificationCurve.from_distances(crop_distances, same, valid)
        columns = np.tile(np.arange(len(later)), len(ids))
        gallery_distances = gallery.cosine_distance(np.repeat(indices, len(later)), later_embeddings, columns)
        from_tracks = np.asarray(gallery_distances.reshape(same.shape), np.float32)
        track_distances += VerificationCurve.from_distances(from_tracks, same, valid)
        rankings.append(Retrieval.from_distances(crop_distances, same, valid))
    if not distances.is_defined:
        raise InputError(f"no object occurs again after {gap} frames together with another one: give a smaller --gap")
    rank_1 = Retrieval.concatenate(rankings).metrics()["rank-1"]
    return {"rank-1": rank_1, **verification_metrics(distances, track_distances)}


def _update_gallery(
    gallery: Gallery, gallery_indices: dict[int, int], ids: NDArray[np.int64], embeddings: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Adds an embedding of each of some objects to the gallery, and returns their indices in it."""
    known = np.array([identity in gallery_indices for identity in ids.tolist()], np.bool_)
    gallery_indices.update(zip(ids[~known].tolist(), gallery.allocate(embeddings[~known]).tolist(), strict=True))
    indices = np.array([gallery_indices[identity] for identity in ids.tolist()], np.int64)
    gallery.add(indices[known], embeddings[known])
    return indices
