"""Computes HOTA, MOTA, IDF1 and their components with trackeval.

Source: Luiten et al. 2021, HOTA, arXiv 2009.07736; Bernardin and Stiefelhagen 2008, CLEAR MOT; Ristani et al. 2016,
IDF1, arXiv 1609.01775.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.errors import InputError
from tracker.evaluation.mot.alignment import align
from tracker.evaluation.mot.files import MotTable, read_sequences

PERCENTAGES = ("HOTA", "DetA", "AssA", "LocA", "MOTA", "IDF1", "Rcll", "Prcn")
COUNTS = ("IDSW", "Frag", "MT", "ML", "FP", "FN")
METRICS = PERCENTAGES + COUNTS
CURVES = ("HOTA", "DetA", "AssA")
ALPHAS: NDArray[np.float64] = np.arange(1, 20) / 20
"""The 19 IoU thresholds over which HOTA is averaged."""

_TRACKEVAL_NAMES = {"Rcll": "CLR_Re", "Prcn": "CLR_Pr", "FP": "CLR_FP", "FN": "CLR_FN"}  # in trackeval

Metrics = dict[str, float]

SequenceResult = dict[str, Any]
"""All results of trackeval for a sequence, by its own names; several of them are combined."""


@dataclass(frozen=True, eq=False)
class TrackingMetrics:
    """Metrics of the tracks of some sequences.

    Attributes:
        sequences: The `METRICS` of each sequence: percentages, and counts as integers.
        combined: The metrics of all sequences together.
        curves: For HOTA, DetA and AssA float64 (19,), the combined percentage at each of `ALPHAS`.
    """

    sequences: dict[str, Metrics]
    combined: Metrics
    curves: dict[str, NDArray[np.float64]]


def evaluate_tracks(results: Path, gt: Path) -> TrackingMetrics:
    r"""Evaluates files of tracks against files of ground truth, paired as in `read_sequences`.

    Raises:
        InputError: See `read_sequences` and `evaluate_sequences`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "street.txt")
        ...     _ = path.write_text("1,1,10,10,20,40,1\n2,1,12,10,20,40,1\n")
        ...     print(evaluate_tracks(path, path).combined["MOTA"])
        100.0
    """
    return evaluate_sequences(read_sequences(results, gt))


def evaluate_sequences(pairs: Mapping[str, tuple[MotTable, MotTable]]) -> TrackingMetrics:
    """Evaluates sequences, each alone and all together.

    Boxes match at an IoU of 0.5 (HOTA: at each of `ALPHAS`), whatever their classes.

    Args:
        pairs: The tables of tracks and of ground truth of each sequence; ground truth with confidence 0 is ignored.

    Raises:
        InputError: A frame holds an id twice, or there is no ground-truth box at all.

    Example:
        >>> gt = np.array([[1, 1, 10, 10, 20, 40, 1], [2, 1, 12, 10, 20, 40, 1]])
        >>> evaluate_sequences({"street": (gt[:1], gt)}).combined["MOTA"]
        50.0
    """
    by_sequence = {name: evaluate_sequence(tracks, gt, name) for name, (tracks, gt) in pairs.items()}
    combined = _combine(by_sequence)
    return TrackingMetrics(
        sequences={name: _to_metrics(result) for name, result in by_sequence.items()},
        combined=_to_metrics(combined),
        curves={name: 100 * combined[name] for name in CURVES},
    )


def combined_metrics(pairs: Mapping[str, tuple[MotTable, MotTable]]) -> Metrics:
    """Returns the metrics of all sequences together: `evaluate_sequences(pairs).combined`.

    Example:
        >>> gt = np.array([[1, 1, 10, 10, 20, 40, 1], [2, 1, 12, 10, 20, 40, 1]])
        >>> combined_metrics({"street": (gt, gt)})["IDF1"]
        100.0
    """
    return combine_sequences({name: evaluate_sequence(tracks, gt, name) for name, (tracks, gt) in pairs.items()})


def evaluate_sequence(tracks: MotTable, gt: MotTable, name: str) -> SequenceResult:
    """Evaluates one sequence, for `combine_sequences`.

    Args:
        tracks: (N, 7), see `MotTable`.
        gt: (M, 7), see `MotTable`; rows with confidence 0 are ignored.
        name: Name of the sequence, for errors.

    Raises:
        InputError: A frame holds an id twice.
    """
    data = align(tracks, gt, name).to_trackeval()
    return {name: value for metric in _trackeval_metrics() for name, value in metric.eval_sequence(data).items()}


def combine_sequences(results: Mapping[str, SequenceResult]) -> Metrics:
    """Returns the `METRICS` of all sequences together.

    Raises:
        InputError: There is no ground-truth box at all.
    """
    return _to_metrics(_combine(results))


def _combine(results: Mapping[str, SequenceResult]) -> SequenceResult:
    if not any(result["CLR_TP"] + result["CLR_FN"] for result in results.values()):
        raise InputError("the ground truth holds no box (confidence 0 does not count): nothing can be evaluated")
    combined = [metric.combine_sequences(dict(results)) for metric in _trackeval_metrics()]
    return {name: value for values in combined for name, value in values.items()}


def _trackeval_metrics() -> tuple[Any, ...]:
    from trackeval.metrics import CLEAR, HOTA, Identity

    return HOTA(), CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False})


def _to_metrics(results: Mapping[str, Any]) -> Metrics:
    values = {name: results[_TRACKEVAL_NAMES.get(name, name)] for name in METRICS}
    return {
        name: int(value) if name in COUNTS else 100 * float(np.mean(value))  # HOTA and its parts: over alpha
        for name, value in values.items()
    }
