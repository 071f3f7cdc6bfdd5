"""How well an embedder tells the objects of one video apart after a while: between frames that lie a gap apart."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tracker.config import FoundConfig, SourceConfig, TrackerConfig
from tracker.errors import InputError
from tracker.evaluation.mot.alignment import align
from tracker.evaluation.mot.files import Rows, read_mot
from tracker.evaluation.mot.id_switches.report import find_videos
from tracker.evaluation.mot.sequences import read_sequence
from tracker.evaluation.reid.baselines import RegionEmbedder
from tracker.evaluation.reid.retrieval import Retrieval
from tracker.evaluation.reid.separation import VerificationCurve, verification_metrics
from tracker.models.reid import Embedder
from tracker.structures.boxes import area, clip, xywh_to_xyxy
from tracker.tracking.gallery import Gallery
from tracker.video import open_source

LEAST_IOU = 0.5  # of a detection and an object that it is taken to show


@dataclass(frozen=True, eq=False)
class ObjectCrops:
    """The objects that were seen in frames, by the number of the frame, from 1.

    Attributes:
        dimension: D, numbers in an embedding.
        ids: int64 (n,), who they are.
        embeddings: float32 (n, D), unit rows.
    """

    dimension: int
    ids: dict[int, NDArray[np.int64]]
    embeddings: dict[int, NDArray[np.float32]]


def known_objects(folder: Path, detections: str) -> Rows:
    """(N, 7) rows of what a sequence shows, with the true ids: frame from 1, id, x, y, w, h, confidence.

    Args:
        folder: In the layout of the MOTChallenge.
        detections: Name of a file in its folder det, whose boxes are taken where they show an object (IoU from 0.5,
            one to one); empty for the boxes of the truth.

    Raises:
        InputError: A file is missing or damaged.
    """
    if not detections:
        truth: NDArray[np.float64] = read_mot(folder / "gt" / "gt.txt")
        return truth[truth[:, 6] != 0]  # type: ignore[no-any-return]
    read = read_sequence(folder, detections, FoundConfig(score=0.0))
    frames = np.repeat(read.frames, [len(found) for found in read.detections])
    boxes = np.concatenate([found.boxes for found in read.detections]).astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    found = np.column_stack([frames, np.arange(len(frames)), boxes, np.ones(len(frames))])
    aligned = align(found, read.truth, read.name)
    rows = [found[:0]]
    for objects, tracks, overlaps in zip(aligned.objects, aligned.tracks, aligned.overlaps, strict=True):
        true, shown = linear_sum_assignment(overlaps, maximize=True)
        near = overlaps[true, shown] >= LEAST_IOU
        kept = found[aligned.track_ids[tracks[shown[near]]]]
        kept[:, 1] = aligned.object_ids[objects[true[near]]]
        rows.append(kept)
    return np.concatenate(rows)


def embed_objects(
    embedder: Embedder | RegionEmbedder,
    folder: Path,
    rows: Rows,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> ObjectCrops:
    """Embeds the objects of a sequence, cut out of its video or its pictures.

    Args:
        embedder: What embeds.
        folder: Holds video.mp4 or img1/, or such a file lies beside it (see `find_videos`).
        rows: Of `known_objects`.
        watch: Is told how many frames are done, of how many.

    Raises:
        InputError: There is no video, or it cannot be read.
    """
    last = int(rows[:, 0].max(initial=0))
    of_frame: Mapping[int, Rows] = {int(frame): rows[rows[:, 0] == frame] for frame in np.unique(rows[:, 0])}
    seen = ObjectCrops(embedder.dimension, {}, {})
    name = folder.resolve().name
    with open_source(find_videos(str(folder), [name])[name], SourceConfig()) as source:
        for frame in source:
            number = frame.index + 1
            if number in of_frame:
                height, width = frame.image.shape[:2]
                boxes = np.asarray(clip(xywh_to_xyxy(of_frame[number][:, 2:6]), width, height), np.float32)
                inside = area(boxes) > 0
                seen.ids[number] = of_frame[number][inside, 1].astype(np.int64)
                seen.embeddings[number] = embedder.embed(embedder.upload([frame.image]), [boxes[inside]])[0]
            watch(number, last)
            if number == last:
                break
    return seen


def temporal_retrieval(seen: ObjectCrops, gap: int) -> dict[str, float]:
    """How well what was seen in a frame is told apart in the frame so many later.

    Args:
        seen: The objects of a sequence.
        gap: Frames.

    Returns:
        rank-1 of each object against all that is seen in the later frame, and the figures of `verification_metrics`; a
        track is what the tracker remembers of an object: a moving average up to the earlier frame.

    Raises:
        InputError: No object is seen again after this gap, or none beside another.
    """
    distances = to_tracks = VerificationCurve.nothing()
    ranked: list[Retrieval] = []
    gallery, slots = Gallery(1, seen.dimension, TrackerConfig().appearance_momentum), dict[int, int]()
    for frame, ids in sorted(seen.ids.items()):
        places = _remember(gallery, slots, ids, seen.embeddings[frame])
        later = seen.ids.get(frame + gap, ids[:0])
        if not len(ids) or not len(later):
            continue
        looks = seen.embeddings[frame + gap]
        far = np.asarray(1 - seen.embeddings[frame] @ looks.T, np.float32)
        same, every = ids[:, None] == later, np.ones((len(ids), len(later)), np.bool_)
        distances += VerificationCurve.of(far, same, every)
        rows = np.tile(np.arange(len(later)), len(ids))
        known = gallery.cosine_distance(np.repeat(places, len(later)), looks, rows).reshape(same.shape)
        to_tracks += VerificationCurve.of(np.asarray(known, np.float32), same, every)
        ranked.append(Retrieval.of(far, same, every))
    if not distances.complete:
        raise InputError(f"nobody is seen again after {gap} frames beside somebody else: give a smaller --gap")
    return {"rank-1": Retrieval.joined(ranked).figures()["rank-1"], **verification_metrics(distances, to_tracks)}


def _remember(
    gallery: Gallery, slots: dict[int, int], ids: NDArray[np.int64], looks: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Adds a look of each of some objects to what is known of them, and gives their places in the gallery."""
    known = np.array([number in slots for number in ids.tolist()], np.bool_)
    slots.update(zip(ids[~known].tolist(), gallery.allocate(looks[~known]).tolist(), strict=True))
    places = np.array([slots[number] for number in ids.tolist()], np.int64)
    gallery.add(places[known], looks[known])
    return places
