"""`scripts/benchmark.py switches`: one change a row, true times against counted frames."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.ablation import SWITCHES, as_text, heading, measured, rows
from paths import REPOSITORY
from tracker.config import Config, FoundConfig, TrackerConfig, load_config, validated
from tracker.errors import InputError
from tracker.evaluation import score_tracks
from tracker.evaluation.mot.sequences import find_sequences, follow, read_sequence
from walking_sequences import write_sequences

pytest.importorskip("trackeval", reason="the extra [eval] is not installed")

SCRIPT = REPOSITORY / "scripts" / "benchmark.py"


def test_each_row_is_one_change_and_those_that_change_nothing_are_left_out() -> None:
    compared = {row.name: row for row in rows(Config(), ())}
    assert compared["start"].config == Config() and compared["start"].rate == 0
    for name, change in SWITCHES.items():
        if name in compared:
            assert compared[name].config.tracker == validated(TrackerConfig, change, name)
        else:
            assert validated(TrackerConfig, change, name) == TrackerConfig()
    different = Config.model_validate({"tracker": {"n_init": 3, "re_update": False}})
    compared = {row.name: row for row in rows(different, ())}
    assert not {"n_init 3", "re_update off"} & compared.keys()
    assert compared["buffer_scale 0"].config.tracker.n_init == 3


def test_files_of_settings_are_compared_with_true_times_and_counted_frames(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("detector:\n  score: 0.7\ntracker:\n  max_age: 1\n")
    mine = [row for row in rows(Config(), [file]) if row.name.startswith("mine.yaml")]
    assert [(row.config == load_config(file), row.rate) for row in mine] == [(True, 0), (True, 30)]
    with pytest.raises(InputError, match=r"gone\.yaml"):
        rows(Config(), [tmp_path / "gone.yaml"])


def test_the_figures_are_those_of_the_settings_at_each_frame_rate(tmp_path: Path) -> None:
    write_sequences(tmp_path, 2)
    chosen = [row for row in rows(Config(), ()) if row.name in ("start", "start, frames counted")]
    for row, figures in measured(tmp_path, "det.txt", chosen):
        for step, reached in zip((1, 2, 3), figures, strict=True):
            sequences = [
                read_sequence(place, "det.txt", FoundConfig()) for place in find_sequences(tmp_path, "det.txt")
            ]
            pairs = {}
            for sequence in sequences:
                thinned = sequence.every(step)
                pairs[sequence.name] = (follow(thinned, TrackerConfig(), row.rate), thinned.truth)
            assert reached == score_tracks(pairs)
        assert len(as_text(row, figures)) == len(heading().splitlines()[1]) < 132


def benchmark(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SCRIPT), "switches", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_the_script_prints_a_row_for_each_and_writes_all_figures(tmp_path: Path) -> None:
    write_sequences(tmp_path / "sequences", 2)
    run = benchmark(tmp_path, "sequences", "--json", "figures.json")
    assert run.returncode == 0 and run.stderr == ""
    lines = run.stdout.splitlines()
    compared = rows(Config(), ())
    assert [line[:36].strip() for line in lines[2 : 2 + len(compared)]] == [row.name for row in compared]
    written = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert [row["name"] for row in written] == [row.name for row in compared]
    assert lines[2].split()[1] == f"{written[0]['every']['1']['HOTA']:.2f}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "cannot read nowhere"),
        (("sequences", "gone.yaml"), "cannot read the config gone.yaml"),
        (("sequences", "--json", "nowhere/figures.json"), "no folder nowhere"),
        (("sequences", "--det", "other.txt"), "no NAME/det/other.txt"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    write_sequences(tmp_path / "sequences", 1)
    run = benchmark(tmp_path, *arguments)
    assert (run.returncode, run.stdout) == (2, "")
    assert said in run.stderr and run.stderr.count("\n") == 1
