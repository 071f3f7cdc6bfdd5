"""Tests `scripts/benchmark.py leave-one-out`: what is chosen on the other kinds is measured on the one left out."""

import pytest

from benchmarks.leave_one_out import VALUES, choose, leave_one_out, measure
from tracker.config import TrackerConfig
from tracker.errors import InputError
from walking_sequences import write_sequences

pytest.importorskip("trackeval", reason="the extra [eval] is not installed")


def test_settings_are_those_of_the_tracker_with_their_defaults_among_the_values():
    for name, values in VALUES.items():
        assert getattr(TrackerConfig(), name) in values


def test_the_left_out_kind_has_no_say():
    scores = {"good": {"cars": 70.0, "fixed": 50.0}, "overfit": {"cars": 10.0, "fixed": 90.0}}
    assert choose(scores, left_out="fixed") == "good" and choose(scores, left_out="cars") == "overfit"
    assert choose({"default": {"a": 1.0, "b": 2.0}, "same": {"a": 1.0, "b": 3.0}}, left_out="b") == "default"


def test_lines_have_the_chosen_value_and_its_figure(tmp_path):
    folder = write_sequences(tmp_path / "mot", count=2)
    with pytest.raises(InputError, match="one kind alone"):
        list(leave_one_out(folder, "det.txt", {}))
    (folder / "a").rename(folder / "a-dropouts")
    heading, defaults, row, together = leave_one_out(folder, "det.txt", {"n_init": (2, 25)})
    hota = measure(folder, "det.txt", {})
    assert heading.split() == ["left", "out", "drop-outs", "fixed"]
    assert defaults.split()[1:] == [f"{value:.1f}" for value in hota.values()]
    assert row.split()[1::3] == ["2:", "2:"] and together.split()[3::2] == [f"{value:.1f}" for value in hota.values()]
