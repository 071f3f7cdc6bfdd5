"""The cost of stored detections and of tracks.parquet: time and bytes for an hour, and how fast a minute is read."""

import tempfile
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tracker.config import OutputConfig
from tracker.data.store import PartReader, PartWriter, StoredFrame, StoreInfo, to_stored_precision
from tracker.output import VideoInfo, open_writer
from tracker.structures.types import Detections, Frame, Tracks
from tracker.video import blank_image

RATE = Fraction(25)
BOXES = 10
DIMENSION = 128


@dataclass(frozen=True)
class StoreCost:
    """The measurements.

    Attributes:
        store_ms: Milliseconds for each frame to store its detections.
        store_mb: Megabytes of stored detections for an hour of video.
        tracks_ms: Milliseconds for each frame to write its tracks.
        tracks_mb: Megabytes of tracks.parquet for an hour of video.
        minute_ms: Milliseconds to read a minute of tracks.parquet of `hours` hours, median of several minutes.
        detections_minute_ms: The same of the stored detections.
        hours: Length of that file.
    """

    store_ms: float
    store_mb: float
    tracks_ms: float
    tracks_mb: float
    minute_ms: float
    detections_minute_ms: float
    hours: float


def measure_store(minutes: float = 10, hours: float = 12) -> StoreCost:
    """Writes objects that move at random, with random embeddings that change slowly, as of one person do."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store_ms, store_mb, detections_minute_ms = _measure_detections(folder, minutes)
        tracks_ms, tracks_mb, minute_ms = _measure_tracks(folder, hours)
    return StoreCost(store_ms, store_mb, tracks_ms, tracks_mb, minute_ms, detections_minute_ms, hours)


def _measure_detections(folder: Path, minutes: float) -> tuple[float, float, float]:
    random = np.random.default_rng(0)
    info = StoreInfo("clip", ("person",), 1920, 1080, RATE, Fraction(1, 90000), DIMENSION, "builtin", (0,), 0.5)
    (folder / "detections").mkdir()
    writer = PartWriter(folder / "detections", info)
    boxes = random.uniform(0, 1000, (BOXES, 4)).astype(np.float32)
    appearance = random.normal(size=(BOXES, DIMENSION))
    frames, seconds = int(minutes * 60 * RATE), 0.0
    for n in range(frames):
        boxes = boxes + random.normal(0, 2, boxes.shape).astype(np.float32)
        embeddings = appearance + random.normal(0, 0.3, appearance.shape)
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        scores = random.uniform(0.5, 1, BOXES).astype(np.float32)
        detections = Detections(boxes, scores, np.zeros(BOXES, np.int64))
        known = to_stored_precision(embeddings.astype(np.float32))
        frame = StoredFrame(n, n * 3600, float(n / RATE), detections, known, np.zeros((BOXES, 0), np.float32))
        start = time.perf_counter()
        writer.write(frame)
        seconds += time.perf_counter() - start
    writer.finish(complete=True)
    size = sum(path.stat().st_size for path in (folder / "detections").iterdir())
    reader = PartReader(folder)
    paths = reader.paths[6:12]
    times = []
    for _ in range(5):
        start = time.perf_counter()
        pq.read_table(paths)
        times.append(time.perf_counter() - start)
    return 1000 * seconds / frames, size / 1e6 * 60 / minutes, 1000 * float(np.median(times))


def _measure_tracks(folder: Path, hours: float) -> tuple[float, float, float]:
    random = np.random.default_rng(0)
    info = VideoInfo("clip", 1920, 1080, Fraction(1, 90000), RATE, max_age=3.0)
    image = blank_image(1920, 1080)
    boxes = random.uniform(0, 500, (BOXES, 4)).astype(np.float32)
    boxes[:, 2:] += boxes[:, :2] + 20
    ones, labels = np.ones(BOXES, np.float32), np.zeros(BOXES, np.int64)
    frames, seconds = int(hours * 3600 * RATE), 0.0
    path = folder / "tracks.parquet"
    with open_writer(path, info, ["person"], OutputConfig()) as writer:
        for n in range(frames):
            boxes = np.clip(boxes + random.normal(0, 1, boxes.shape).astype(np.float32), 0, 1900)
            ids = np.arange(BOXES) + n // 1000 * BOXES + 1
            tracks = Tracks(ids, boxes, ones, labels, boxes[:, :2], ones, ones > 0, labels)
            frame = Frame(n, float(n / RATE), n * 3600, image)
            start = time.perf_counter()
            writer.write(frame, tracks)
            seconds += time.perf_counter() - start
    times = []
    for minute in random.integers(0, int(hours * 60), 20).tolist():
        start = time.perf_counter()
        table = pq.read_table(path, filters=[("time_s", ">=", 60 * minute), ("time_s", "<", 60 * minute + 60)])
        times.append(time.perf_counter() - start)
        assert len(table), "the minute is empty"
    return 1000 * seconds / frames, path.stat().st_size / 1e6 / hours, 1000 * float(np.median(times))
