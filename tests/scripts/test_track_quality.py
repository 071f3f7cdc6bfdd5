"""Tests `scripts/benchmark.py track-quality`: the spoilt variants, and the correlations."""

import numpy as np
import pytest

from benchmarks.track_quality import (
    METRICS,
    TERMS,
    VARIANTS,
    Measured,
    as_text,
    correlations,
    heading,
    measure_variants,
)
from walking_sequences import write_sequences

pytest.importorskip("trackeval", reason="the extra [eval] is not installed")


def test_variants_spoil_what_they_say(tmp_path):
    folder = write_sequences(tmp_path, count=1)
    wanted = [one for one in VARIANTS if one.name in ("as given", "50% dropped", "tracks end at once")]
    given, dropped, broken = measure_variants(folder, "det.txt", wanted)
    assert dropped.terms["fill"] < given.terms["fill"] - 0.1
    assert broken.metrics["IDF1"] < given.metrics["IDF1"] and broken.terms["agreement"] < given.terms["agreement"]
    assert len(heading()) == len(as_text(given))


def test_correlations_are_those_of_the_kinds():
    rng = np.random.default_rng(0)
    measured = []
    for sequence, kind, sign in (("a", "cars", 1), ("b", "moving", -1)):
        for number in rng.permutation(10):
            terms = dict.fromkeys(TERMS, float(sign * number))
            measured.append(Measured(sequence, kind, str(number), terms, dict.fromkeys(METRICS, float(number))))
    assert correlations(measured, ["cars"])["agreement"] == pytest.approx((1, 1, 1, 1))
    assert correlations(measured, ["moving"])["agreement"] == pytest.approx((-1, -1, -1, -1))
