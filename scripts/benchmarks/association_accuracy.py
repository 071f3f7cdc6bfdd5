"""Compares the accuracy of trackers on given detections, by kind of sequence: the presets, and other packages."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tracker.config import Config, TrackerConfig, load_config, read_yaml
from tracker.errors import InputError
from tracker.evaluation.mot.files import MotTable
from tracker.evaluation.mot.metrics import Metrics, combine_sequences, evaluate_sequence
from tracker.evaluation.mot.sequences import MotSequence, find_sequences, read_sequence, run_tracker
from tracker.structures.boxes import xyxy_to_xywh
from tracker.tracking.offline import OfflineTracker

KINDS: Mapping[str, tuple[str, ...]] = {
    "cars": ("KITTI-car-*",),
    "drop-outs": ("*-dropouts",),
    "moving": ("ADL-*", "ETH-*", "KITTI-*", "MOT17-05*", "MOT17-1*", "Venice-1"),
    "fixed": ("*",),
}
"""Kinds of sequences, each with patterns of their names; the first kind that matches is the one. Moving and fixed are
pedestrians with real detections, by the camera."""

COLUMNS = ("HOTA", "IDF1", "MOTA", "IDSW")
_NAME_WIDTH = 30  # characters

Run = Callable[[MotSequence], MotTable]


@dataclass(frozen=True)
class Entry:
    """A tracker: its name, the least score of the detections that it gets, and the function that tracks a sequence."""

    name: str
    score: float
    run: Run


def our_entries(folder: Path, offline: bool = True) -> list[Entry]:
    """Returns the defaults and each preset of `folder` that is one of the tracker, causal and offline, without images.

    Raises:
        InputError: There is no such folder, or a preset is damaged.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder} of presets")
    configs = {"defaults": Config()}
    for path in sorted(folder.glob("*.yaml")):
        if "tracker" in read_yaml(path):  # others describe the training of a network
            configs[path.stem] = load_config(path)
    entries = []
    for name, config in configs.items():
        settings, score = config.tracker, config.detector.for_given_detections().score
        entries.append(Entry(name, score, partial(run_tracker, config=settings)))
        if offline:
            entries.append(Entry(f"{name}, offline", score, partial(_run_offline, config=settings)))
    return entries


def _run_offline(sequence: MotSequence, config: TrackerConfig) -> MotTable:
    """Tracks with the offline tracker; the rest is as in `run_tracker`."""
    tracker = OfflineTracker(config, (), sequence.size)
    for time, detections in zip(sequence.times.tolist(), sequence.detections, strict=True):
        tracker.update(detections, np.zeros((len(detections), 0), np.float32), time)
    tables = [np.zeros((0, 7))]
    for frame, tracks in zip(sequence.frames.tolist(), tracker.finish(), strict=True):
        frame_column = np.full(len(tracks), frame)
        tables.append(np.column_stack([frame_column, tracks.ids, xyxy_to_xywh(tracks.boxes), tracks.scores]))
    return np.concatenate(tables)


def other_entries() -> tuple[list[Entry], dict[str, str]]:
    """Returns the trackers of other packages that work here, and for each of the others the reason why it does not."""
    working, missing = [], {}
    probe = MotSequence("probe", np.zeros(0, np.int64), np.zeros(0), [], np.zeros((0, 7)), (640.0, 480.0))
    for entry in _OTHERS:
        try:
            entry.run(probe)
        except ImportError as error:
            missing[entry.name] = f"no package {error.name}"
        except Exception as error:  # other versions of other packages may raise anything
            missing[entry.name] = f"{type(error).__name__}: {error}"
        else:
            working.append(entry)
    return working, missing


def _run_norfair(sequence: MotSequence) -> MotTable:
    """Tracks with norfair's IoU distance and its documented settings for boxes."""
    norfair = import_module("norfair")
    tracker = norfair.Tracker("iou", distance_threshold=0.7)
    rows = []
    for frame, detections in zip(sequence.frames.tolist(), sequence.detections, strict=True):
        given = [
            norfair.Detection(box.reshape(2, 2).astype(np.float64), np.full(2, score), {"score": float(score)})
            for box, score in zip(detections.boxes, detections.scores, strict=True)
        ]
        for track in tracker.update(given):
            if track.live_points.all():
                rows.append(_row(frame, track.id, track.estimate.ravel(), track.last_detection.data["score"]))
    return np.array(rows).reshape(-1, 7)


def _run_boxmot(sequence: MotSequence, name: str, **arguments: Any) -> MotTable:
    """Tracks with a tracker of boxmot, without images and appearance."""
    tracker = getattr(import_module("boxmot"), name)(**arguments)
    width, height = (int(side) if np.isfinite(side) else 1920 for side in sequence.size)
    image = np.zeros((height, width, 3), np.uint8)
    rows = []
    for frame, detections in zip(sequence.frames.tolist(), sequence.detections, strict=True):
        given = np.column_stack([detections.boxes, detections.scores, detections.labels]).astype(np.float32)
        for track in np.asarray(tracker.update(given, image)).reshape(-1, 8):
            rows.append(_row(frame, track[4], track[:4], track[5]))
    return np.array(rows).reshape(-1, 7)


def _row(frame: int, track_id: float, box: Any, score: float) -> list[float]:
    return [frame, track_id, *xyxy_to_xywh(np.asarray(box, np.float64)[None])[0].tolist(), float(score)]


_OTHERS = (
    Entry("norfair", 0.5, _run_norfair),
    Entry("boxmot ByteTrack", 0.1, partial(_run_boxmot, name="ByteTrack")),
    Entry("boxmot OC-SORT", 0.1, partial(_run_boxmot, name="OcSort")),
    Entry("boxmot BoT-SORT", 0.1, partial(_run_boxmot, name="BotSort", with_reid=False, cmc_method=None)),
)


def kind_of(name: str) -> str:
    """Returns the kind of a sequence, one of `KINDS`."""
    return next(kind for kind, patterns in KINDS.items() if any(fnmatchcase(name, p) for p in patterns))


Result = dict[str, Metrics]
"""The metrics of each kind."""


def evaluate_entries(folder: Path, detections: str, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Result]]:
    """Yields the result of each tracker as soon as it is known.

    Raises:
        InputError: See `find_sequences`, which has the same arguments, and `read_sequence`.
    """
    logging.getLogger("boxmot").setLevel(logging.ERROR)
    folders = find_sequences(folder, detections)
    cache: dict[float, list[MotSequence]] = {}
    for entry in entries:
        if entry.score not in cache:
            filters = Config().detector.model_copy(update={"score": entry.score})
            cache[entry.score] = [read_sequence(path, detections, filters) for path in folders]
        by_kind: dict[str, dict[str, Any]] = {}
        for sequence in cache[entry.score]:
            result = evaluate_sequence(entry.run(sequence), sequence.gt, sequence.name)
            by_kind.setdefault(kind_of(sequence.name), {})[sequence.name] = result
        yield entry, {kind: combine_sequences(by_kind[kind]) for kind in sorted(by_kind)}


def heading(kinds: Sequence[str]) -> str:
    """Returns the two lines above the table."""
    names = "".join(f"{kind:^26}  " for kind in kinds)
    columns = "".join(f"{name:>6}" for name in COLUMNS) + "    "
    return f"{'':{_NAME_WIDTH}}{names}\n{'':{_NAME_WIDTH}}{columns * len(kinds)}"


def as_text(entry: Entry, result: Result) -> str:
    """Returns a row of the table."""
    cells = [
        "".join(f"{values[name]:6.0f}" if name == "IDSW" else f"{values[name]:6.1f}" for name in COLUMNS)
        for values in result.values()
    ]
    return f"{entry.name:{_NAME_WIDTH}}{''.join(f'{cell}    ' for cell in cells)}"
