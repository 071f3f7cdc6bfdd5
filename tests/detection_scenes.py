"""Scenes made of detections alone, whose truth is known, and a count of what a tracker made of them.

The picture has 1280 x 720 pixels. Boxes are those of a good detector: noise of 2 % of the height on each side, and none
where someone nearer of its class covers most of it. Embeddings are unit vectors; their cosine distance is about 0.1 to
others of the same identity, and 0.5 to those of another.
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
class Moment:
    """One frame: what was detected, and what is true.

    Attributes:
        time: Seconds.
        detections: N of them, those of nobody last.
        embeddings: float32 (N, 32), unit rows.
        ids: int64 (N,), the identity behind each detection, 0 for nobody.
        camera: float64 (2, 3), pixels of the frame before -> pixels of this frame.
        true_ids: int64 (K,), the identities in the picture, also those that are hidden or overlooked.
        true_boxes: float64 (K, 4), xyxy.
        detected: bool (K,), those of which there is a detection.
    """

    time: float
    detections: Detections
    embeddings: NDArray[np.float32]
    ids: NDArray[np.int64]
    camera: Floats
    true_ids: NDArray[np.int64]
    true_boxes: Floats
    detected: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Actor:
    """Someone or something that moves.

    Attributes:
        feet: Seconds -> x and y of the middle of the lower edge, in pixels of the world.
        size: Width and height, pixels.
        label: Seconds -> what the detector takes it for.
        unseen: Seconds -> whether something hides it that is no actor.
        absent: Seconds -> whether it is elsewhere.
    """

    feet: Callable[[float], tuple[float, float]]
    size: tuple[float, float] = (60, 160)
    label: Callable[[float], int] = lambda time: PERSON
    unseen: Callable[[float], bool] = lambda time: False
    absent: Callable[[float], bool] = lambda time: False

    def box(self, time: float) -> Floats:
        (x, y), (width, height) = self.feet(time), self.size
        return np.array([x - width / 2, y - height, x + width / 2, y])


def film(
    cast: list[Actor],
    seconds: float,
    fps: float,
    seed: int,
    view: Callable[[float], tuple[float, float]] = lambda time: (0, 0),
    missed: float = 0.0,
    clutter: float = 0.0,
) -> Iterator[Moment]:
    """Frames of a scene.

    Args:
        cast: The nearest first; their identities are 1, 2, 3 ...
        seconds: How long it is.
        fps: Frames per second.
        seed: Of all that is random.
        view: Seconds -> the point of the world at the top left corner of the picture.
        missed: Share of the visible that the detector overlooks, in each frame anew.
        clutter: Mean number of detections of nobody in a frame.
    """
    draw = np.random.default_rng(seed)
    looks = _directions(draw, len(cast))
    before = np.array(view(0))
    for time in (np.arange(round(seconds * fps)) / fps).tolist():
        now = np.array(view(time))
        boxes = np.array([actor.box(time) for actor in cast]) - np.tile(now, 2)
        present = _inside(boxes) & ~np.array([actor.absent(time) for actor in cast])
        visible = present & ~np.array([actor.unseen(time) for actor in cast])
        labels = np.array([actor.label(time) for actor in cast])
        visible &= _covered(boxes, labels, present) < 0.6
        found = visible & (draw.random(len(cast)) >= missed)
        detections = _joined(_detected(draw, boxes[found], labels[found]), _clutter(draw, clutter))
        nobody = _directions(draw, len(detections) - found.sum())
        yield Moment(
            time=time,
            detections=detections,
            embeddings=_around(draw, np.concatenate([looks[found], nobody])),
            ids=np.r_[1 + np.flatnonzero(found), np.zeros(len(nobody), np.int64)],
            camera=np.c_[np.eye(2), before - now],
            true_ids=1 + np.flatnonzero(present),
            true_boxes=boxes[present],
            detected=found[present],
        )
        before = now


def _inside(boxes: Floats) -> NDArray[np.bool_]:
    """Whether at least half of each box lies in the picture."""
    return area(clip(boxes, WIDTH, HEIGHT)) >= area(boxes) / 2


def _covered(boxes: Floats, labels: NDArray[np.int64], present: NDArray[np.bool_]) -> Floats:
    """The largest share of each box that one nearer box of its class covers."""
    shared = intersection(boxes, boxes) / area(boxes)[:, None]
    return np.tril(shared * (present & (labels == labels[:, None])), -1).max(axis=1)


def _directions(draw: np.random.Generator, count: int) -> Floats:
    """Unit vectors (N, 32), about 0.5 from each other in cosine distance: real ones, too, have much in common."""
    own = draw.normal(size=(count, 32)) / np.sqrt(32)
    own[:, 0] += 1
    return own / np.linalg.norm(own, axis=1, keepdims=True)


def _around(draw: np.random.Generator, directions: Floats) -> NDArray[np.float32]:
    """Unit vectors, each about 0.05 from its direction, and so 0.1 from another around the same."""
    vectors = directions + draw.normal(size=directions.shape) * np.sqrt(0.1 / 32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _detected(draw: np.random.Generator, boxes: Floats, labels: NDArray[np.int64]) -> Detections:
    noise = draw.normal(0, 0.02, boxes.shape) * (boxes[:, 3:] - boxes[:, 1:2])
    scores = draw.uniform(0.88, 0.99, len(boxes))
    return Detections((boxes + noise).astype(np.float32), scores.astype(np.float32), labels.astype(np.int64))


def _clutter(draw: np.random.Generator, mean: float) -> Detections:
    count = draw.poisson(mean)
    corner, size = draw.uniform(0, [WIDTH, HEIGHT], (count, 2)), draw.uniform(30, 150, (count, 2))
    scores = draw.uniform(0.5, 0.8, count)
    boxes = np.c_[corner, corner + size]
    return Detections(boxes.astype(np.float32), scores.astype(np.float32), np.full(count, PERSON, np.int64))


def _joined(a: Detections, b: Detections) -> Detections:
    return Detections(*(np.concatenate([getattr(a, n), getattr(b, n)]) for n in ("boxes", "scores", "labels")))


# --- the scenes ---


def crossing(fps: float = 25, seed: int = 0) -> Iterator[Moment]:
    """Two people walk past each other."""
    cast = [
        Actor(lambda time: (200 + 130 * time, 600), (64, 170)),
        Actor(lambda time: (1000 - 130 * time, 585)),
    ]
    return film(cast, 6, fps, seed)


def bouncing(fps: float = 25, seed: int = 0) -> Iterator[Moment]:
    """Two people walk up to each other, stand for half a second, and go back."""

    def way(time: float) -> float:
        return 130 * min(time, 2.0, max(4.5 - time, 0))

    cast = [
        Actor(lambda time: (330 + way(time), 600), (64, 170)),
        Actor(lambda time: (890 - way(time), 590)),
    ]
    return film(cast, 4.5, fps, seed)


def occlusion(fps: float = 25, seed: int = 0) -> Iterator[Moment]:
    """Two people pass each other behind a wall, where each is not seen for a second."""
    cast = [
        Actor(lambda time: (300 + 130 * time, 600), (64, 170)),
        Actor(lambda time: (960 - 130 * time, 590)),
    ]
    return film([_behind_a_wall(actor) for actor in cast], 5, fps, seed)


def turning_back(fps: float = 25, seed: int = 0) -> Iterator[Moment]:
    """Two people meet behind a wall, where each is not seen for a second, and go back to where they came from."""
    cast = [
        Actor(lambda time: (630 - 130 * abs(time - 2.5), 600), (64, 170)),
        Actor(lambda time: (630 + 130 * abs(time - 2.5), 590)),
    ]
    return film([_behind_a_wall(actor) for actor in cast], 5, fps, seed)


def _behind_a_wall(actor: Actor) -> Actor:
    return replace(actor, unseen=lambda time: abs(actor.feet(time)[0] - 630) < 65)


def long_absence(fps: float = 25, seed: int = 0) -> Iterator[Moment]:
    """One of three leaves by a door, for 4 seconds, and comes back by another; by the first comes somebody else."""
    cast = [
        Actor(lambda time: (640, 650)),
        Actor(lambda time: (300 + 20 * time, 600)),
        Actor(lambda time: (1000, 600) if time < 2 else (200, 560), absent=lambda time: 2 <= time < 6),
        Actor(lambda time: (1000 - 40 * (time - 4), 600), absent=lambda time: time < 4),
    ]
    return film(cast, 8, fps, seed)


def pan(fps: float = 25, seed: int = 0) -> Iterator[Moment]:
    """Six people, and a hand that starts to shake the camera, by up to 750 pixels per second."""

    def view(time: float) -> tuple[float, float]:
        since = max(time - 1, 0)
        return 150 * np.sin(5 * since), 40 * np.sin(7 * since)

    def walker(start: float, speed: float, y: float) -> Actor:
        return Actor(lambda time: (start + speed * time, y))

    cast = [walker(300 + 120 * i, speed, 620 - 40 * i) for i, speed in enumerate((60, -40, 50, 0, -60, 30))]
    return film(cast, 6, fps, seed, view)


def crowd(fps: float = 25, seed: int = 0) -> Iterator[Moment]:
    """40 people in two streams through each other; a tenth is overlooked, and there is clutter."""
    draw = np.random.default_rng(1000 + seed)

    def walker(y: float, start: float, speed: float) -> Actor:
        height = 0.16 * y + 40
        return Actor(lambda time: (start + speed * time, y), (0.38 * height, height))

    rows = zip(
        np.sort(draw.uniform(250, 700, 40))[::-1],
        draw.uniform(100, WIDTH - 100, 40),
        draw.choice([-1, 1], 40) * draw.uniform(40, 90, 40),
        strict=True,
    )
    return film([walker(*row) for row in rows], 6, fps, seed, missed=0.1, clutter=0.5)


def riders(fps: float = 25, seed: int = 0) -> Iterator[Moment]:
    """Two people on bicycles come nearer side by side; of each, one box in five is missing."""

    def pair(x: float) -> list[Actor]:
        def feet(time: float) -> tuple[float, float]:
            return x + 20 * time, 400 + 40 * time

        rider = Actor(lambda time: (feet(time)[0], feet(time)[1] - 20), (60, 165))
        return [rider, Actor(feet, (55, 110), label=lambda time: BICYCLE)]

    return film(pair(400) + pair(520), 6, fps, seed, missed=0.2)


def doubt(fps: float = 25, seed: int = 0) -> Iterator[Moment]:
    """A van that the detector now and then takes for a truck."""
    cast = [Actor(lambda time: (200 + 120 * time, 500), (220, 150), lambda time: TRUCK if time % 1.5 > 1 else VAN)]
    return film(cast, 6, fps, seed)


SCENES = {f.__name__: f for f in (crossing, bouncing, occlusion, turning_back, long_absence, pan, crowd, riders, doubt)}


# --- what a tracker made of them ---


@dataclass(frozen=True)
class Score:
    """What became of the identities that were detected.

    Attributes:
        ids: How many ids were given.
        switches: How often an identity got another id than it had.
        taken: How often an id went to another identity than had it.
        followed: Share of the detections of identities that have a track.
    """

    ids: int
    switches: int
    taken: int
    followed: float


def score(moments: Iterable[Moment], tracks: Iterable[Tracks]) -> Score:
    """Compares tracks with the truth in each frame; boxes that overlap by half may be the same.

    Who had an id keeps it as long as that holds. Source: CLEAR MOT, Bernardin and Stiefelhagen 2008.
    """
    id_of: dict[int, int] = {}
    identity_of: dict[int, int] = {}
    ids: set[int] = set()
    switches = taken = followed = detected = 0
    for moment, frame in zip(moments, tracks, strict=True):
        seen = frame[frame.observed]
        ids.update(seen.ids.tolist())
        identities, boxes = moment.true_ids[moment.detected], moment.true_boxes[moment.detected]
        detected += len(identities)
        for identity, found in _pairs(identities, boxes, seen, id_of):
            followed += 1
            switches += id_of.get(identity, found) != found
            taken += identity_of.get(found, identity) != identity
            id_of[identity], identity_of[found] = found, identity
    return Score(len(ids), switches, taken, followed / max(detected, 1))


def _pairs(identities: NDArray[np.int64], boxes: Floats, seen: Tracks, id_of: dict[int, int]) -> list[tuple[int, int]]:
    overlap = iou(boxes, seen.boxes.astype(np.float64))
    had = np.array([id_of.get(identity, 0) for identity in identities.tolist()])
    value = np.where(overlap >= 0.5, overlap + 2 * (had[:, None] == seen.ids), 0)
    rows, columns = linear_sum_assignment(value, maximize=True)
    real = value[rows, columns] > 0
    return list(zip(identities[rows[real]].tolist(), seen.ids[columns[real]].tolist(), strict=True))
