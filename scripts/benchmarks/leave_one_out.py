"""Measures how far the choice of a setting depends on the kinds of sequences that it was chosen on."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.association_accuracy import Entry, evaluate_entries, kind_of
from tracker.config import Config, TrackerConfig
from tracker.errors import InputError
from tracker.evaluation.mot.files import MotTable
from tracker.evaluation.mot.sequences import MotSequence, run_tracker

VALUES: Mapping[str, tuple[Any, ...]] = {
    "min_iou": (0.1, 0.2, 0.3),
    "recover_iou": (0.2, 0.35, 0.5),
    "velocity_noise": (0.0006, 0.0011, 0.0022),
    "measurement_noise": (0.05, 0.075, 0.1),
    "max_nll": (7.0, 9.2, 12.0),
    "min_evidence": (2.0, 4.0, 8.0),
}
"""Settings that matter, each with values around its default."""

Scores = dict[str, float]
"""HOTA of each kind."""


def measure(folder: Path, detections: str, settings: Mapping[str, Mapping[str, Any]]) -> Scores:
    """Returns the HOTA of each kind of sequences with some settings of each, the others being the defaults.

    Raises:
        InputError: See `evaluate_entries`.
    """

    def run(sequence: MotSequence) -> MotTable:
        return run_tracker(sequence, TrackerConfig(**settings.get(kind_of(sequence.name), {})))

    entry = Entry("", Config().for_given_detections().detector.score, run)
    [(_, result)] = evaluate_entries(folder, detections, [entry])
    return {kind: metrics["HOTA"] for kind, metrics in result.items()}


def choose(scores: Mapping[Any, Scores], left_out: str) -> Any:
    """Returns the value of the highest mean HOTA over all kinds but one; of equal ones the first.

    Example:
        >>> choose({1: {"a": 50.0, "b": 60.0}, 2: {"a": 51.0, "b": 40.0}}, left_out="b")
        2
    """

    def mean(value: Any) -> float:
        return float(np.mean([hota for kind, hota in scores[value].items() if kind != left_out]))

    return max(scores, key=mean)


def leave_one_out(folder: Path, detections: str, values: Mapping[str, Sequence[Any]] = VALUES) -> Iterator[str]:
    """Yields the lines of a table: for each setting and kind the value chosen on the other kinds, and its HOTA there.

    The last line has all of these values together.

    Raises:
        InputError: See `evaluate_entries`, or there are sequences of one kind alone.
    """
    defaults = measure(folder, detections, {})
    if len(defaults) < 2:
        raise InputError(f"{folder} has sequences of one kind alone ({', '.join(defaults)}): none can be left out")
    yield f"{'left out':20}" + "".join(f"{kind:>24}" for kind in defaults)
    yield f"{'defaults':20}" + "".join(f"{hota:24.1f}" for hota in defaults.values())
    together: dict[str, dict[str, Any]] = {kind: {} for kind in defaults}
    for name, candidates in values.items():
        default = getattr(TrackerConfig(), name)
        scores = {default: defaults}  # first, so that it is preferred to others of the same HOTA
        for value in candidates:
            if value != default:
                scores[value] = measure(folder, detections, {kind: {name: value} for kind in defaults})
        cells = []
        for kind in defaults:
            together[kind][name] = chosen = choose(scores, kind)
            cells.append(f"{chosen:g}: {scores[chosen][kind]:.1f} ({scores[chosen][kind] - defaults[kind]:+.1f})")
        yield f"{name:20}" + "".join(f"{cell:>24}" for cell in cells)
    final = measure(folder, detections, together)
    pairs = zip(final.values(), defaults.values(), strict=True)
    yield f"{'all of these':20}" + "".join(f"{f'{hota:.1f} ({hota - before:+.1f})':>24}" for hota, before in pairs)
