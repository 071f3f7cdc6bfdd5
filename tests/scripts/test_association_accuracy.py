"""Tests `scripts/benchmark.py association-accuracy`: the kinds, the presets, and the pass over sequences."""

import pytest

from benchmarks.association_accuracy import KINDS, Entry, as_text, evaluate_entries, heading, kind_of, our_entries
from paths import REPOSITORY
from tracker.config import TrackerConfig
from tracker.evaluation.mot.sequences import run_tracker
from walking_sequences import write_sequences


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("KITTI-car-0010", "cars"),
        ("KITTI-17", "moving"),
        ("MOT17-10-dropouts", "drop-outs"),
        ("ETH-Sunnyday", "moving"),
        ("PETS09-S2L1", "fixed"),
    ],
)
def test_every_sequence_has_one_kind(name, kind):
    assert kind_of(name) == kind
    assert kind in KINDS


def test_the_defaults_and_the_trackers_among_the_presets_run_both_ways():
    names = [entry.name for entry in our_entries(REPOSITORY / "configs")]
    assert names[:2] == ["defaults", "defaults, offline"]
    assert {"bytetrack", "bytetrack, offline", "ocsort"} <= set(names)
    assert not any("detector" in name or "embedder" in name for name in names)


def test_a_row_has_the_metrics_of_each_kind(tmp_path):
    folder = write_sequences(tmp_path / "mot")
    (folder / "a").rename(folder / "a-dropouts")
    (tmp_path / "configs").mkdir()
    perfect = Entry("perfect", 0.0, lambda sequence: sequence.gt[:, :7])
    nothing = Entry("nothing", 0.0, lambda sequence: sequence.gt[:0, :7])
    entries = [*our_entries(tmp_path / "configs"), perfect, nothing]
    results = {entry.name: result for entry, result in evaluate_entries(folder, "det.txt", entries)}
    assert list(results["defaults"]) == ["drop-outs", "fixed"]
    assert results["perfect"]["fixed"]["HOTA"] == pytest.approx(100)
    assert results["nothing"]["drop-outs"]["HOTA"] == 0
    assert results["defaults"]["fixed"]["HOTA"] > 40
    assert results["defaults, offline"]["fixed"] != results["defaults"]["fixed"]
    assert "drop-outs" in heading(list(results["defaults"]))
    assert "100.0" in as_text(perfect, results["perfect"])


def test_a_preset_is_measured_with_its_own_settings(tmp_path):
    folder = write_sequences(tmp_path / "mot", count=1)
    (tmp_path / "late.yaml").write_text("tracker:\n  n_init: 9\n")
    late = our_entries(tmp_path, offline=False)[1]
    assert late.name == "late"
    [(_, result)] = evaluate_entries(folder, "det.txt", [late])
    expected = Entry("same", late.score, lambda sequence: run_tracker(sequence, TrackerConfig(n_init=9)))
    [(_, same)] = evaluate_entries(folder, "det.txt", [expected])
    assert result == same
