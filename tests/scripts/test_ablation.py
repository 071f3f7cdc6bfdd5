"""Tests `scripts/benchmark.py ablation`: one change for each variant, true and assumed times."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.ablation import CHANGES, as_text, evaluate_variants, heading, make_variants
from paths import REPOSITORY
from tracker.config import Config, DetectionFilterConfig, TrackerConfig, load_config, validate_section
from tracker.errors import InputError
from tracker.evaluation import combined_metrics
from tracker.evaluation.mot.sequences import find_sequences, read_sequence, run_tracker
from walking_sequences import write_sequences

pytest.importorskip("trackeval", reason="the extra [eval] is not installed")

SCRIPT = REPOSITORY / "scripts" / "benchmark.py"


def test_each_variant_is_one_change_of_the_start() -> None:
    variants = {variant.name: variant for variant in make_variants(Config(), ())}
    assert variants["start"].config == Config() and variants["start"].fps == 0
    for name, change in CHANGES.items():
        if name in variants:
            assert variants[name].config.tracker == validate_section(TrackerConfig, change, name)
        else:
            assert validate_section(TrackerConfig, change, name) == TrackerConfig()
    config = Config.model_validate({"tracker": {"n_init": 3, "re_update": False}})
    variants = {variant.name: variant for variant in make_variants(config, ())}
    assert not {"n_init 3", "re_update off"} & variants.keys()
    assert variants["buffer_scale 0"].config.tracker.n_init == 3


def test_files_of_settings_have_true_and_assumed_times(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("detector:\n  score: 0.7\ntracker:\n  max_age: 1\n")
    variants = [variant for variant in make_variants(Config(), [file]) if variant.name.startswith("mine.yaml")]
    assert [(variant.config == load_config(file), variant.fps) for variant in variants] == [(True, 0), (True, 30)]
    with pytest.raises(InputError, match=r"gone\.yaml"):
        make_variants(Config(), [tmp_path / "gone.yaml"])


def test_metrics_are_those_of_the_settings_at_each_frame_rate(tmp_path: Path) -> None:
    write_sequences(tmp_path, 2)
    variants = [
        variant for variant in make_variants(Config(), ()) if variant.name in ("start", "start, frames counted")
    ]
    for variant, metrics in evaluate_variants(tmp_path, "det.txt", variants):
        for step, step_metrics in zip((1, 2, 3), metrics, strict=True):
            sequences = [
                read_sequence(path, "det.txt", DetectionFilterConfig()) for path in find_sequences(tmp_path, "det.txt")
            ]
            pairs = {}
            for sequence in sequences:
                subsampled = sequence.subsample(step)
                pairs[sequence.name] = (run_tracker(subsampled, TrackerConfig(), variant.fps), subsampled.gt)
            assert step_metrics == combined_metrics(pairs)
        assert len(as_text(variant, metrics)) == len(heading().splitlines()[1]) < 132


def run_script(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SCRIPT), "ablation", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_script_prints_a_row_for_each_variant_and_writes_json(tmp_path: Path) -> None:
    write_sequences(tmp_path / "sequences", 2)
    result = run_script(tmp_path, "sequences", "--json", "metrics.json")
    assert result.returncode == 0 and result.stderr == ""
    lines = result.stdout.splitlines()
    variants = make_variants(Config(), ())
    assert [line[:36].strip() for line in lines[2 : 2 + len(variants)]] == [variant.name for variant in variants]
    written = json.loads((tmp_path / "metrics.json").read_text())["variants"]
    assert [variant["name"] for variant in written] == [variant.name for variant in variants]
    assert lines[2].split()[1] == f"{written[0]['every']['1']['HOTA']:.2f}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "cannot read nowhere"),
        (("sequences", "gone.yaml"), "there is no file gone.yaml: check the name"),
        (("sequences", "--json", "nowhere/metrics.json"), "no folder nowhere"),
        (("sequences", "--det", "other.txt"), "no NAME/det/other.txt"),
    ],
)
def test_bad_input_gets_one_sentence(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    write_sequences(tmp_path / "sequences", 1)
    result = run_script(tmp_path, *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr and result.stderr.count("\n") == 1
