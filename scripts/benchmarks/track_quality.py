"""Measures how far the quality of tracks without ground truth tells their HOTA and IDF1, also of spoilt tracks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.association_accuracy import kind_of
from tracker.config import Config, TrackerConfig
from tracker.data.run_tracks import RunTracks
from tracker.data.store import StoredFrame
from tracker.evaluation.mot.metrics import combined_metrics
from tracker.evaluation.mot.sequences import MotSequence, find_sequences, read_sequence
from tracker.evaluation.quality import Quality, measure_quality
from tracker.structures.boxes import xyxy_to_xywh
from tracker.structures.types import Detections
from tracker.tracking import DeepSort

CHOSEN_ON = ("cars", "fixed")
"""The kinds of sequences on which agreement was chosen as the score; the others tell how good it is."""
METRICS = ("HOTA", "IDF1")
TERMS: Mapping[str, Callable[[Quality], float]] = {
    "agreement": lambda quality: quality.agreement,
    "id_agreement": lambda quality: quality.id_agreement,
    "fill": lambda quality: quality.fill,
    "fragments": lambda quality: -quality.fragments_per_second,
    "jumps": lambda quality: -quality.jumps_per_minute,
}
"""The measures, each so that more is better."""

Change = Callable[[list[Detections], np.random.Generator], list[Detections]]


def _same(frames: list[Detections], rng: np.random.Generator) -> list[Detections]:
    return frames


def _drop(frames: list[Detections], rng: np.random.Generator, fraction: float) -> list[Detections]:
    return [one[rng.random(len(one)) >= fraction] for one in frames]


def _jitter(frames: list[Detections], rng: np.random.Generator, deviation: float) -> list[Detections]:
    """Moves each side of each box by normal noise, in widths and heights of the box."""
    moved = []
    for one in frames:
        size = np.tile(one.boxes[:, 2:] - one.boxes[:, :2], 2)
        boxes = one.boxes + rng.normal(0, deviation, size.shape) * size
        boxes[:, :2] = np.minimum(boxes[:, :2], boxes[:, 2:] - 1)
        moved.append(replace(one, boxes=boxes.astype(np.float32)))
    return moved


def _mix_scores(frames: list[Detections], rng: np.random.Generator) -> list[Detections]:
    scores = rng.permutation(np.concatenate([one.scores for one in frames]))
    parts = np.split(scores, np.cumsum([len(one) for one in frames])[:-1])
    return [replace(one, scores=part) for one, part in zip(frames, parts, strict=True)]


@dataclass(frozen=True)
class Variant:
    """A way to spoil tracks: changed detections, and settings that are not the defaults."""

    name: str
    change: Change = _same
    settings: Mapping[str, Any] = field(default_factory=dict)


VARIANTS = (
    Variant("as given"),
    *(Variant(f"{fraction:.0%} dropped", partial(_drop, fraction=fraction)) for fraction in (0.1, 0.3, 0.5)),
    *(Variant(f"jitter {deviation:.0%}", partial(_jitter, deviation=deviation)) for deviation in (0.05, 0.1, 0.2)),
    Variant("scores mixed up", _mix_scores),
    Variant("tracks end after .1 s", settings={"max_age": 0.1}),
    Variant("tracks end at once", settings={"max_age": 0.05, "min_iou": 0.7, "recover_iou": 0.0, "n_init": 1}),
    Variant("noise x 10", settings={"position_noise": 0.05, "velocity_noise": 0.011}),
    Variant("wide gates", settings={"max_nll": 60.0, "absence_penalty": 0.0, "min_iou": 0.01}),
    Variant(
        "any box starts a track", settings={"start_score": 0.0, "high_score": 0.0, "n_init": 1, "max_occlusion": 0}
    ),
)


@dataclass(frozen=True)
class Measured:
    """The measures of one variant of a sequence, and its metrics."""

    sequence: str
    kind: str
    variant: str
    terms: Mapping[str, float]
    metrics: Mapping[str, float]


def measure_variants(folder: Path, detections: str, variants: Sequence[Variant] = VARIANTS) -> Iterator[Measured]:
    """Yields the measures and metrics of each variant of each sequence.

    Raises:
        InputError: See `find_sequences`, which has the same arguments, and `read_sequence`.
    """
    for path in find_sequences(folder, detections):
        sequence = read_sequence(path, detections, Config().detector.for_given_detections())
        for variant in variants:
            frames = variant.change(sequence.detections, np.random.default_rng(0))
            config = TrackerConfig(**variant.settings)
            tracks = _track(sequence, frames, config)
            quality = measure_quality(tracks, _backward(sequence, frames), config)
            table = np.column_stack([tracks.frames, tracks.ids, xyxy_to_xywh(tracks.boxes), tracks.scores])
            metrics = combined_metrics({sequence.name: (table, sequence.gt)})
            terms = {name: term(quality) for name, term in TERMS.items()}
            yield Measured(sequence.name, kind_of(sequence.name), variant.name, terms, metrics)


def _track(sequence: MotSequence, frames: list[Detections], config: TrackerConfig) -> RunTracks:
    tracker = DeepSort(config, (), sequence.size)
    rows = [np.zeros((0, 9))]
    for frame, time, detections in zip(sequence.frames.tolist(), sequence.times.tolist(), frames, strict=True):
        tracks = tracker.update(detections, None, time)
        of_frame = np.broadcast_to([frame, time], (len(tracks), 2))
        rows.append(np.column_stack([of_frame, tracks.ids, tracks.boxes, tracks.scores, tracks.observed]))
    table = np.concatenate(rows)
    width, height = (int(side) if np.isfinite(side) else 0 for side in sequence.size)
    return RunTracks(
        folder=Path(sequence.name),
        frames=table[:, 0].astype(np.int64),
        times=table[:, 1],
        ids=table[:, 2].astype(np.int64),
        labels=np.zeros(len(table), np.int64),
        scores=table[:, 7].astype(np.float32),
        boxes=table[:, 3:7],
        observed=table[:, 8] > 0,
        categories=("object",),
        width=width,
        height=height,
    )


def _backward(sequence: MotSequence, frames: list[Detections]) -> Iterator[StoredFrame]:
    for frame, time, one in reversed(list(zip(sequence.frames.tolist(), sequence.times.tolist(), frames, strict=True))):
        none = np.zeros((len(one), 0), np.float32)
        yield StoredFrame(frame, frame, time, one, none, none)


def correlations(measured: Sequence[Measured], kinds: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Returns Spearman's rank correlation of each of `TERMS` with each of `METRICS`, over all sequences of some kinds.

    Behind them comes the mean of the correlations within each sequence, with each of `METRICS`.
    """
    rows = [one for one in measured if one.kind in kinds]
    names = list(dict.fromkeys(one.sequence for one in rows))
    found = {}
    for term in TERMS:
        overall = [_spearman(rows, term, metric) for metric in METRICS]
        within = [
            float(
                np.nanmean([_spearman([one for one in rows if one.sequence == name], term, metric) for name in names])
            )
            for metric in METRICS
        ]
        found[term] = (*overall, *within)
    return found


def _spearman(rows: Sequence[Measured], term: str, metric: str) -> float:
    values = [one.terms[term] for one in rows]
    if len(set(values)) < 2:
        return float("nan")
    return float(spearmanr(values, [one.metrics[metric] for one in rows]).statistic)


def heading() -> str:
    """Returns the line above the results."""
    return f"{'sequence':20}{'variant':24}" + "".join(f"{name:>14}" for name in (*METRICS, *TERMS))


def as_text(one: Measured) -> str:
    """Returns a result as a line."""
    metrics = "".join(f"{one.metrics[name]:14.1f}" for name in METRICS)
    return f"{one.sequence:20}{one.variant:24}{metrics}" + "".join(f"{value:14.2f}" for value in one.terms.values())
