"""Scenes of detections with known ground truth, and counts of a tracker's identity errors in them.

The image has 1280 x 720 pixels. Boxes are those of a good detector: noise of 2 % of the height on each side, and none
where a nearer object of the same class covers most of it. Embeddings are unit vectors; their cosine distance is about
0.1 between detections of one identity, and 0.5 between those of two.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tracker.structures.boxes import area, clip, intersection, iou
from tracker.structures.types import Detections, Tracks

Floats = NDArray[np.float64]

WIDTH, HEIGHT = 1280, 720
PERSON, BICYCLE, VAN, TRUCK = 0, 1, 2, 3


@dataclass(frozen=True, eq=False)
class SceneFrame:
    """The detections and the ground truth of one frame.

    Attributes:
        time: Seconds.
        detections: N of them, false positives last.
        embeddings: float32 (N, 32), unit rows.
        ids: int64 (N,), the identity behind each detection, 0 for a false positive.
        camera_motion: float64 (2, 3), pixels of the frame before -> pixels of this frame.
        gt_ids: int64 (K,), the identities in the image, also those that are hidden or not detected.
        gt_boxes: float64 (K, 4), xyxy.
        detected: bool (K,), True where there is a detection.
    """

    time: float
    detections: Detections
    embeddings: NDArray[np.float32]
    ids: NDArray[np.int64]
    camera_motion: Floats
    gt_ids: NDArray[np.int64]
    gt_boxes: Floats
    detected: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Actor:
    """A person or an object that moves; all attributes but the size are functions of the time in seconds.

    Attributes:
        feet: Returns x and y of the middle of the lower side, in pixels of the scene.
        size: Width and height, pixels.
        label: Returns the label that the detector gives it.
        hidden: Returns True while something that is no actor hides it.
        absent: Returns True while it is not in the scene.
    """

    feet: Callable[[float], tuple[float, float]]
    size: tuple[float, float] = (60, 160)
    label: Callable[[float], int] = lambda time: PERSON
    hidden: Callable[[float], bool] = lambda time: False
    absent: Callable[[float], bool] = lambda time: False

    def box(self, time: float) -> Floats:
        (x, y), (width, height) = self.feet(time), self.size
        return np.array([x - width / 2, y - height, x + width / 2, y])


def render_scene(
    actors: list[Actor],
    seconds: float,
    fps: float,
    seed: int,
    view: Callable[[float], tuple[float, float]] = lambda time: (0, 0),
    miss_rate: float = 0.0,
    false_positives: float = 0.0,
) -> Iterator[SceneFrame]:
    """Yields the frames of a scene.

    Args:
        actors: The nearest first; their identities are 1, 2, 3 ...
        seconds: Length of the scene.
        fps: Frames per second.
        seed: Of all random numbers.
        view: Returns the point of the scene at the top left corner of the image, by the time in seconds.
        miss_rate: Fraction of the visible actors that the detector misses, drawn for each frame.
        false_positives: Mean number of false positives in a frame.
    """
    rng = np.random.default_rng(seed)
    appearance = _directions(rng, len(actors))
    before = np.array(view(0))
    for time in (np.arange(round(seconds * fps)) / fps).tolist():
        now = np.array(view(time))
        boxes = np.array([actor.box(time) for actor in actors]) - np.tile(now, 2)
        present = _inside(boxes) & ~np.array([actor.absent(time) for actor in actors])
        visible = present & ~np.array([actor.hidden(time) for actor in actors])
        labels = np.array([actor.label(time) for actor in actors])
        visible &= _occlusion(boxes, labels, present) < 0.6
        detected = visible & (rng.random(len(actors)) >= miss_rate)
        detections = _concatenate(
            _detect(rng, boxes[detected], labels[detected]), _draw_false_positives(rng, false_positives)
        )
        others = _directions(rng, len(detections) - detected.sum())
        yield SceneFrame(
            time=time,
            detections=detections,
            embeddings=_add_noise(rng, np.concatenate([appearance[detected], others])),
            ids=np.r_[1 + np.flatnonzero(detected), np.zeros(len(others), np.int64)],
            camera_motion=np.c_[np.eye(2), before - now],
            gt_ids=1 + np.flatnonzero(present),
            gt_boxes=boxes[present],
            detected=detected[present],
        )
        before = now


def _inside(boxes: Floats) -> NDArray[np.bool_]:
    """Returns True for boxes of which at least half lies in the image."""
    return area(clip(boxes, WIDTH, HEIGHT)) >= area(boxes) / 2


def _occlusion(boxes: Floats, labels: NDArray[np.int64], present: NDArray[np.bool_]) -> Floats:
    """Returns the largest fraction of each box that one nearer box of its class covers."""
    covered = intersection(boxes, boxes) / area(boxes)[:, None]
    return np.tril(covered * (present & (labels == labels[:, None])), -1).max(axis=1)


def _directions(rng: np.random.Generator, count: int) -> Floats:
    """Returns unit vectors (N, 32), about 0.5 from each other in cosine distance: real ones are not orthogonal."""
    own = rng.normal(size=(count, 32)) / np.sqrt(32)
    own[:, 0] += 1
    return own / np.linalg.norm(own, axis=1, keepdims=True)


def _add_noise(rng: np.random.Generator, directions: Floats) -> NDArray[np.float32]:
    """Returns unit vectors, each about 0.05 from its direction, and so 0.1 from another of the same direction."""
    vectors = directions + rng.normal(size=directions.shape) * np.sqrt(0.1 / 32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _detect(rng: np.random.Generator, boxes: Floats, labels: NDArray[np.int64]) -> Detections:
    noise = rng.normal(0, 0.02, boxes.shape) * (boxes[:, 3:] - boxes[:, 1:2])
    scores = rng.uniform(0.88, 0.99, len(boxes))
    return Detections((boxes + noise).astype(np.float32), scores.astype(np.float32), labels.astype(np.int64))


def _draw_false_positives(rng: np.random.Generator, mean: float) -> Detections:
    count = rng.poisson(mean)
    corner, size = rng.uniform(0, [WIDTH, HEIGHT], (count, 2)), rng.uniform(30, 150, (count, 2))
    scores = rng.uniform(0.5, 0.8, count)
    boxes = np.c_[corner, corner + size]
    return Detections(boxes.astype(np.float32), scores.astype(np.float32), np.full(count, PERSON, np.int64))


def _concatenate(a: Detections, b: Detections) -> Detections:
    return Detections(*(np.concatenate([getattr(a, n), getattr(b, n)]) for n in ("boxes", "scores", "labels")))


# --- the scenes ---


def crossing(fps: float = 25, seed: int = 0) -> Iterator[SceneFrame]:
    """Two people walk past each other."""
    actors = [
        Actor(lambda time: (200 + 130 * time, 600), (64, 170)),
        Actor(lambda time: (1000 - 130 * time, 585)),
    ]
    return render_scene(actors, 6, fps, seed)


def bouncing(fps: float = 25, seed: int = 0) -> Iterator[SceneFrame]:
    """Two people walk up to each other, stand for half a second, and go back."""

    def shift(time: float) -> float:
        return 130 * min(time, 2.0, max(4.5 - time, 0))

    actors = [
        Actor(lambda time: (330 + shift(time), 600), (64, 170)),
        Actor(lambda time: (890 - shift(time), 590)),
    ]
    return render_scene(actors, 4.5, fps, seed)


def occlusion(fps: float = 25, seed: int = 0) -> Iterator[SceneFrame]:
    """Two people pass each other behind a wall that hides each of them for a second."""
    actors = [
        Actor(lambda time: (300 + 130 * time, 600), (64, 170)),
        Actor(lambda time: (960 - 130 * time, 590)),
    ]
    return render_scene([_behind_a_wall(actor) for actor in actors], 5, fps, seed)


def turning_back(fps: float = 25, seed: int = 0) -> Iterator[SceneFrame]:
    """Two people meet behind a wall that hides each of them for a second, and go back where they came from."""
    actors = [
        Actor(lambda time: (630 - 130 * abs(time - 2.5), 600), (64, 170)),
        Actor(lambda time: (630 + 130 * abs(time - 2.5), 590)),
    ]
    return render_scene([_behind_a_wall(actor) for actor in actors], 5, fps, seed)


def _behind_a_wall(actor: Actor) -> Actor:
    return replace(actor, hidden=lambda time: abs(actor.feet(time)[0] - 630) < 65)


def long_absence(fps: float = 25, seed: int = 0) -> Iterator[SceneFrame]:
    """One of three people leaves by a door for 4 seconds and returns by another; a fourth comes out of the first."""
    actors = [
        Actor(lambda time: (640, 650)),
        Actor(lambda time: (300 + 20 * time, 600)),
        Actor(lambda time: (1000, 600) if time < 2 else (200, 560), absent=lambda time: 2 <= time < 6),
        Actor(lambda time: (1000 - 40 * (time - 4), 600), absent=lambda time: time < 4),
    ]
    return render_scene(actors, 8, fps, seed)


def pan(fps: float = 25, seed: int = 0) -> Iterator[SceneFrame]:
    """Six people before a hand-held camera that starts to shake, by up to 750 pixels per second."""

    def view(time: float) -> tuple[float, float]:
        since = max(time - 1, 0)
        return 150 * np.sin(5 * since), 40 * np.sin(7 * since)

    def walker(start: float, speed: float, y: float) -> Actor:
        return Actor(lambda time: (start + speed * time, y))

    actors = [walker(300 + 120 * i, speed, 620 - 40 * i) for i, speed in enumerate((60, -40, 50, 0, -60, 30))]
    return render_scene(actors, 6, fps, seed, view)


def crowd(fps: float = 25, seed: int = 0) -> Iterator[SceneFrame]:
    """40 people walk in two streams through each other; a tenth is missed, and there are false positives."""
    rng = np.random.default_rng(1000 + seed)

    def walker(y: float, start: float, speed: float) -> Actor:
        height = 0.16 * y + 40
        return Actor(lambda time: (start + speed * time, y), (0.38 * height, height))

    rows = zip(
        np.sort(rng.uniform(250, 700, 40))[::-1],
        rng.uniform(100, WIDTH - 100, 40),
        rng.choice([-1, 1], 40) * rng.uniform(40, 90, 40),
        strict=True,
    )
    return render_scene([walker(*row) for row in rows], 6, fps, seed, miss_rate=0.1, false_positives=0.5)


def riders(fps: float = 25, seed: int = 0) -> Iterator[SceneFrame]:
    """Two people on bicycles come nearer side by side; of each, one box in five is missing."""

    def pair(x: float) -> list[Actor]:
        def feet(time: float) -> tuple[float, float]:
            return x + 20 * time, 400 + 40 * time

        rider = Actor(lambda time: (feet(time)[0], feet(time)[1] - 20), (60, 165))
        return [rider, Actor(feet, (55, 110), label=lambda time: BICYCLE)]

    return render_scene(pair(400) + pair(520), 6, fps, seed, miss_rate=0.2)


def misclassified(fps: float = 25, seed: int = 0) -> Iterator[SceneFrame]:
    """A van that the detector sometimes labels as a truck."""
    actors = [Actor(lambda time: (200 + 120 * time, 500), (220, 150), lambda time: TRUCK if time % 1.5 > 1 else VAN)]
    return render_scene(actors, 6, fps, seed)


def arena(fps: float = 25, seed: int = 0, animals: int = 4, seconds: float = 20) -> Iterator[SceneFrame]:
    """Animals in an arena that run, cross and hide in a shelter; some boxes are missed, and some are false."""
    rng = np.random.default_rng(500 + seed)
    low, high = np.array([150, 150]), np.array([1130, 680])
    position, velocity = rng.uniform(low + 50, high - 50, (animals, 2)), rng.normal(0, 120, (animals, 2))
    paths = np.zeros((round(seconds * fps) + 1, animals, 2))
    for path in paths:
        velocity = 0.97 * velocity + rng.normal(0, 35, (animals, 2))
        position = position + velocity / fps
        velocity = np.where((position < low) | (position > high), -velocity, velocity)
        path[:] = position = np.clip(position, low, high)

    def animal(number: int) -> Actor:
        def feet(time: float) -> tuple[float, float]:
            x, y = paths[round(time * fps), number]
            return float(x), float(y)

        return Actor(feet, (70, 60), hidden=lambda time: 560 < feet(time)[0] < 720 and 330 < feet(time)[1] < 500)

    actors = [animal(number) for number in range(animals)]
    return render_scene(actors, seconds, fps, seed, miss_rate=0.15, false_positives=0.1)


SCENES = {
    scene.__name__: scene
    for scene in (crossing, bouncing, occlusion, turning_back, long_absence, pan, crowd, riders, misclassified)
}


# --- the identity errors of a tracker ---


@dataclass(frozen=True)
class IdentityErrors:
    """The identity errors of a tracker, over the identities that were detected.

    Attributes:
        ids: Number of ids.
        switches: Number of times that an identity got another id than before.
        transfers: Number of times that an id went to another identity than before.
        recall: Fraction of the detections of identities that have a track.
    """

    ids: int
    switches: int
    transfers: int
    recall: float


def count_errors(frames: Iterable[SceneFrame], tracks: Iterable[Tracks]) -> IdentityErrors:
    """Compares tracks with the ground truth of each frame; boxes match from an IoU of 0.5 up.

    A match of the frame before is kept as long as that holds. Source: CLEAR MOT, Bernardin and Stiefelhagen 2008.
    """
    id_of: dict[int, int] = {}
    identity_of: dict[int, int] = {}
    ids: set[int] = set()
    switches = transfers = matched = detected = 0
    for frame, frame_tracks in zip(frames, tracks, strict=True):
        observed = frame_tracks[frame_tracks.observed]
        ids.update(observed.ids.tolist())
        identities, boxes = frame.gt_ids[frame.detected], frame.gt_boxes[frame.detected]
        detected += len(identities)
        for identity, track_id in _match(identities, boxes, observed, id_of):
            matched += 1
            switches += id_of.get(identity, track_id) != track_id
            transfers += identity_of.get(track_id, identity) != identity
            id_of[identity], identity_of[track_id] = track_id, identity
    return IdentityErrors(len(ids), switches, transfers, matched / max(detected, 1))


def _match(
    identities: NDArray[np.int64], boxes: Floats, tracks: Tracks, id_of: dict[int, int]
) -> list[tuple[int, int]]:
    overlap = iou(boxes, tracks.boxes.astype(np.float64))
    previous = np.array([id_of.get(identity, 0) for identity in identities.tolist()])
    value = np.where(overlap >= 0.5, overlap + 2 * (previous[:, None] == tracks.ids), 0)
    rows, columns = linear_sum_assignment(value, maximize=True)
    matched = value[rows, columns] > 0
    return list(zip(identities[rows[matched]].tolist(), tracks.ids[columns[matched]].tolist(), strict=True))
