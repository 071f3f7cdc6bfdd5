"""HOTA, MOTA, IDF1 and what they are made of, computed by trackeval.

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
from tracker.evaluation.mot.files import Rows, read_sequences

PERCENTAGES = ("HOTA", "DetA", "AssA", "LocA", "MOTA", "IDF1", "Rcll", "Prcn")
COUNTS = ("IDSW", "Frag", "MT", "ML", "FP", "FN")
FIGURES = PERCENTAGES + COUNTS
CURVES = ("HOTA", "DetA", "AssA")
ALPHAS: NDArray[np.float64] = np.arange(1, 20) / 20
"""IoU from which on HOTA takes a box as found, for each of the 19 points whose mean it is."""

_OTHER_NAMES = {"Rcll": "CLR_Re", "Prcn": "CLR_Pr", "FP": "CLR_FP", "FN": "CLR_FN"}  # of trackeval

Figures = dict[str, float]

Measured = dict[str, Any]
"""All that trackeval says of a sequence, by its own names: what sequences together are computed from."""


@dataclass(frozen=True, eq=False)
class TrackScores:
    """How good the tracks of some sequences are.

    Attributes:
        sequences: For each sequence its `FIGURES`: percentages, and counts as whole numbers.
        combined: The figures of all sequences together.
        curves: For HOTA, DetA and AssA float64 (19,), the combined percentage at each of `ALPHAS`.
    """

    sequences: dict[str, Figures]
    combined: Figures
    curves: dict[str, NDArray[np.float64]]


def evaluate_tracks(results: Path, truth: Path) -> TrackScores:
    """Scores files of tracks against files of truth, as `read_sequences` finds and pairs them.

    Raises:
        InputError: As `read_sequences` and `score_sequences`.
    """
    return score_sequences(read_sequences(results, truth))


def score_sequences(pairs: Mapping[str, tuple[Rows, Rows]]) -> TrackScores:
    """Scores sequences, each alone and all together.

    Boxes match at an IoU of 0.5 (HOTA: at each of `ALPHAS`), whatever their classes.

    Args:
        pairs: For each sequence (found rows, true rows); true rows with confidence 0 do not count.

    Raises:
        InputError: A frame holds an id twice, or there is no true box at all.
    """
    alone = {name: measure(found, truth, name) for name, (found, truth) in pairs.items()}
    together = _together(alone)
    return TrackScores(
        sequences={name: _figures(values) for name, values in alone.items()},
        combined=_figures(together),
        curves={name: 100 * together[name] for name in CURVES},
    )


def score_tracks(pairs: Mapping[str, tuple[Rows, Rows]]) -> Figures:
    """The `FIGURES` of sequences together: `score_sequences(pairs).combined`."""
    return combine({name: measure(found, truth, name) for name, (found, truth) in pairs.items()})


def measure(found: Rows, truth: Rows, name: str) -> Measured:
    """Measures one sequence, for `combine`.

    Args:
        found: (N, 7) rows of tracks.
        truth: (M, 7) rows of the truth; those with confidence 0 do not count.
        name: Of the sequence, for errors.

    Raises:
        InputError: A frame holds an id twice.
    """
    data = align(found, truth, name).for_trackeval()
    return {name: value for metric in _metrics() for name, value in metric.eval_sequence(data).items()}


def combine(measured: Mapping[str, Measured]) -> Figures:
    """The `FIGURES` of all the sequences together.

    Raises:
        InputError: There is no true box at all.
    """
    return _figures(_together(measured))


def _together(measured: Mapping[str, Measured]) -> Measured:
    if not any(values["CLR_TP"] + values["CLR_FN"] for values in measured.values()):
        raise InputError("the truth holds no box that counts: nothing can be scored")
    return {name: value for metric in _metrics() for name, value in metric.combine_sequences(dict(measured)).items()}


def _metrics() -> tuple[Any, ...]:
    from trackeval.metrics import CLEAR, HOTA, Identity

    return HOTA(), CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False})


def _figures(values: Mapping[str, Any]) -> Figures:
    named = {name: values[_OTHER_NAMES.get(name, name)] for name in FIGURES}
    return {
        name: int(value) if name in COUNTS else 100 * float(np.mean(value))  # HOTA and its parts: over alpha
        for name, value in named.items()
    }
