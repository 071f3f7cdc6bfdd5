"""Scenes with known crossings and speeds, and how often the stated intervals hold them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker import DeepSort, Detections, TrackerConfig
from tracker.analytics import GroundPlane, count_crossings, find_crossings, measure_speeds, trajectories
from tracker.analytics.trajectories import possible_links
from tracker.config import AnalyticsConfig
from tracker.config.zones import CalibrationConfig, GroundPoint, LineConfig
from tracker.data.run_tracks import RunTracks

Floats = NDArray[np.float64]

SIZE = 1280, 720
FPS = 25
LINE = LineConfig(points=((0.5, 0.1), (0.5, 1.0)), right="west", left="east")
"""Who looks down from its first point has the left half of the image to the right."""


@dataclass(frozen=True)
class Walker:
    """Somebody who walks along the straight lines between some points: (seconds, x, y) of the feet, pixels."""

    points: tuple[tuple[float, float, float], ...]
    height: float = 150.0

    def box(self, time: float) -> Floats | None:
        """Returns the box at a time, xyxy; None while there is none."""
        times, x, y = zip(*self.points, strict=True)
        if not times[0] <= time <= times[-1]:
            return None
        foot = np.interp(time, times, x), np.interp(time, times, y)
        width = 0.4 * self.height
        return np.array([foot[0] - width / 2, foot[1] - self.height, foot[0] + width / 2, foot[1]])


def crossing_scene() -> tuple[list[Walker], dict[str, int]]:
    """Returns 40 s of a square and the number of those who cross its middle, by direction."""
    east = [Walker(((t, -40, y), (t + 12, 1320, y))) for t, y in ((0, 300), (5, 420), (11, 540), (17, 330), (24, 660))]
    west = [Walker(((t, 1320, y), (t + 10, -40, y))) for t, y in ((2, 360), (8, 480), (14, 600), (21, 280), (27, 560))]
    runners = [Walker(((t, -40, y), (t + 4, 1320, y))) for t, y in ((6, 700), (20, 470))]
    others = [
        Walker(((1, -40, 640), (8, 560, 640), (15, -40, 640))),  # turns round before the line
        Walker(((3, 500, 250), (30, 520, 250))),  # stands beside it
        Walker(((4, 1320, 450), (10, 500, 450), (16, 500, 450), (22, 1320, 450))),  # comes back: one in each direction
        Walker(((9, -40, 380), (15, 660, 380), (17, 660, 380), (23, -40, 380))),  # turns round just behind it
        Walker(((12, 700, 690), (35, 1320, 690))),  # begins behind the line
        Walker(((16, 640, 60), (25, 900, 60))),  # walks above its upper end
        Walker(((28, -40, 600), (36, 720, 600))),  # ends behind the line
    ]
    return [*east, *west, *runners, *others], {"east": 5 + 2 + 2 + 1, "west": 5 + 2}


def detect(
    walkers: list[Walker], seconds: float, seed: int | None, drop_outs: float = 0.15, jitter: float = 0.03
) -> Iterator[tuple[int, float, Detections]]:
    """Yields the detections of each frame: perfect ones without a seed."""
    generator = np.random.default_rng(seed)
    for frame in range(round(seconds * FPS)):
        boxes = [box for walker in walkers if (box := walker.box(frame / FPS)) is not None]
        if seed is not None:
            heights = [box[3] - box[1] for box in boxes]
            boxes = [
                box + generator.normal(0, jitter * height, 4)
                for box, height in zip(boxes, heights, strict=True)
                if generator.random() >= drop_outs
            ]
        array = np.array(boxes, np.float32).reshape(-1, 4)
        array[:, ::2], array[:, 1::2] = np.clip(array[:, ::2], 0, SIZE[0]), np.clip(array[:, 1::2], 0, SIZE[1])
        array = array[(array[:, 2] - array[:, 0] > 4) & (array[:, 3] - array[:, 1] > 4)]
        count = len(array)
        yield frame, frame / FPS, Detections(array, np.full(count, 0.9, np.float32), np.zeros(count, np.int64))


def track_scene(detections: Iterator[tuple[int, float, Detections]], perfect_ids: bool = False) -> RunTracks:
    """Returns the tracks of a scene, by motion alone, with the default settings."""
    deepsort = DeepSort(TrackerConfig())
    rows = []
    for frame, time, found in detections:
        tracks = deepsort.update(found, np.zeros((len(found), 0), np.float32), time=time)
        rows += [
            (frame, time, int(tracks.ids[row]), *tracks.boxes[row].tolist(), bool(tracks.observed[row]))
            for row in range(len(tracks))
        ]
    columns = np.array(rows, np.float64).reshape(-1, 8)
    boxes = columns[:, 3:7].copy()
    boxes[:, ::2], boxes[:, 1::2] = np.clip(boxes[:, ::2], 0, SIZE[0]), np.clip(boxes[:, 1::2], 0, SIZE[1])
    return RunTracks(
        folder=Path("scene"),
        frames=columns[:, 0].astype(np.int64),
        times=columns[:, 1],
        ids=columns[:, 2].astype(np.int64),
        labels=np.zeros(len(columns), np.int64),
        scores=np.full(len(columns), 0.9, np.float32),
        boxes=boxes,
        observed=columns[:, 7] > 0,
        categories=("person",),
        width=SIZE[0],
        height=SIZE[1],
    )


def count_scene(seed: int | None, **noise: float) -> dict[str, tuple[int, int, int]]:
    """Returns count, low and high of the crossings of the scene, by direction."""
    walkers, _ = crossing_scene()
    config = AnalyticsConfig()
    paths = trajectories(track_scene(detect(walkers, 40, seed, **noise)), config)
    links = possible_links(paths, SIZE, config)
    crossings = find_crossings(paths, links, "line", LINE, SIZE, config)
    rows = count_crossings(crossings, [("line", "east"), ("line", "west")], ["person"], 40)
    return {row.direction: (row.count, row.low, row.high) for row in rows}


CAMERA = np.array([[900.0, 0, 640], [0, 900, 360], [0, 0, 1]])
"""Of a camera 6 m above the ground that looks down by 20 degrees."""


def to_image(ground: Floats, height: float = 0.0) -> Floats:
    """Returns where (..., 2) points, metres to the right and ahead of the camera, are in the image, pixels."""
    angle = np.deg2rad(20)
    x, ahead, down = ground[..., 0], ground[..., 1], np.full(ground.shape[:-1], 6.0 - height)
    depth = ahead * np.cos(angle) + down * np.sin(angle)
    y = -ahead * np.sin(angle) + down * np.cos(angle)
    image = np.stack([x, y, depth], -1) @ CAMERA.T
    return np.asarray(image[..., :2] / image[..., 2:])


MARKS = np.array([[-5.0, 12], [5, 12], [5, 40], [-5, 40], [0, 20], [-5, 26]])
"""Marked points on the ground, metres."""


def calibrate(generator: np.random.Generator | None, points: int) -> CalibrationConfig:
    """Returns a calibration by points that were marked with an error of two pixels; without one if perfect."""
    image = to_image(MARKS[:points])
    if generator is not None:
        image = image + generator.normal(0, 2.0, image.shape)
    marks = [
        GroundPoint(image=tuple(pixel / SIZE), ground=tuple(place))
        for pixel, place in zip(image, MARKS[:points], strict=True)
    ]
    return CalibrationConfig(points=tuple(marks))


def speed_scene(seed: int | None, points: int = 4, **noise: float) -> tuple[float, float, float, float]:
    """Returns the true mean speed of a car that drives along a road, the measured one, and its interval, m/s."""
    generator = np.random.default_rng(None if seed is None else seed + 10_000)
    true_speed = 12.0 if seed is None else float(generator.uniform(4, 20))
    place: Callable[[float], Floats] = lambda time: np.array([1.5, 12 + true_speed * time])  # noqa: E731
    duration = 36 / true_speed
    path = [(time, *to_image(place(time))) for time in np.linspace(0, duration, 200)]
    tops = [float(to_image(place(time), 1.6)[1]) for time, *_ in path]
    found = []
    draws = np.random.default_rng(seed)
    jitter, drop_outs = noise.get("jitter", 0.03), noise.get("drop_outs", 0.15)
    for frame in range(int(duration * FPS)):
        time = frame / FPS
        x, y = (np.interp(time, [p[0] for p in path], [p[k] for p in path]) for k in (1, 2))
        height = y - np.interp(time, [p[0] for p in path], tops)
        box = np.array([x - 0.7 * height, y - height, x + 0.7 * height, y])
        if seed is not None:
            box += draws.normal(0, jitter * height, 4)
        kept = seed is None or draws.random() >= drop_outs
        array = np.array([box] if kept else [], np.float32).reshape(-1, 4)
        count = len(array)
        found.append((frame, time, Detections(array, np.full(count, 0.9, np.float32), np.zeros(count, np.int64))))
    plane = GroundPlane(calibrate(None if seed is None else generator, points), SIZE)
    speeds = measure_speeds(trajectories(track_scene(iter(found))), plane)
    best = max(speeds, key=lambda speed: speed.end_s - speed.start_s)
    return true_speed, best.speed_m_s, best.low_m_s, best.high_m_s


def report(seeds: int) -> Iterator[str]:
    """Yields how often counts and speeds are within their intervals, with perfect boxes and over some seeds."""
    _, truth = crossing_scene()
    perfect = count_scene(None)
    yield f"crossings, perfect boxes: {', '.join(f'{way} {perfect[way][0]} of {truth[way]}' for way in truth)}"
    for label, noise in (("15 % drop-outs", {}), ("50 % drop-outs", {"drop_outs": 0.5, "jitter": 0.06})):
        counts = [count_scene(seed, **noise) for seed in range(seeds)]
        inside = sum(all(low <= truth[way] <= high for way, (_, low, high) in one.items()) for one in counts)
        exact = sum(all(count == truth[way] for way, (count, _, _) in one.items()) for one in counts)
        width = np.mean([high - low for one in counts for _, low, high in one.values()])
        yield (
            f"crossings, {label}, jitter: both directions within the interval in {inside} of {seeds} seeds, "
            f"exact in {exact}; mean width of an interval {width:.2f}"
        )
    for points in (4, 6):
        speeds = [speed_scene(seed, points) for seed in range(seeds)]
        inside = sum(low <= true <= high for true, _, low, high in speeds)
        widths = np.mean([(high - low) / true for true, _, low, high in speeds])
        bias = np.mean([(speed - true) / true for true, speed, _, _ in speeds])
        yield (
            f"speed, {points} points: within the interval in {inside} of {seeds} seeds; "
            f"mean width {widths:.1%} of the speed, mean error {bias:+.1%}"
        )
