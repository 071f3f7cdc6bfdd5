"""`track tune tracker`: the same search twice is the same, what is held out stays unseen, and the verdict is honest."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracker.cli.tune
import tracker.evaluation.tuning.search
from tracker.cli.app import main
from tracker.config import Config, FoundConfig, TrackerConfig, load_config, validated
from tracker.errors import InputError
from tracker.evaluation import score_tracks
from tracker.evaluation.mot.sequences import MotSequence, find_sequences, follow, read_sequence
from tracker.evaluation.tuning.folds import FoldResult, Progress, Tuning, split_folds, tune
from tracker.evaluation.tuning.report import verdict
from tracker.evaluation.tuning.search import METRICS, RANDOM_TRIALS, value_of, with_settings
from tracker.evaluation.tuning.space import SPACE, USUAL, OneOf, chosen_space
from tracker.structures.boxes import xyxy_to_xywh
from walking_sequences import write_sequence, write_sequences

pytest.importorskip("optuna", reason="the extra [tune] is not installed")
pytest.importorskip("trackeval", reason="the extra [eval] is not installed")

BAD = TrackerConfig(n_init=4, start_score=0.98, min_iou=0.5, tentative_misses=0)
"""Few walkers are ever followed with these."""
FEW = chosen_space(("n_init", "start_score", "min_iou"), BAD)

Result = tuple[int, str, str]


def read(folder: Path, found: FoundConfig = FoundConfig()) -> list[MotSequence]:
    return [read_sequence(place, "det.txt", found) for place in find_sequences(folder, "det.txt")]


def plainly(tuning: Tuning) -> object:
    return tuning.settings, tuning.before, tuning.seen, tuning.unseen, [(f.names, f.settings) for f in tuning.folds]


@pytest.fixture
def track(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs `track tune tracker` in this process, in a folder with the folder `sequences`: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    write_sequences(Path("sequences"))

    def run(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as end:
            main(["tune", "tracker", *map(str, arguments)])
        output, errors = capsys.readouterr()
        return int(end.value.code or 0), output, errors

    return run


# Sequences


def test_a_sequence_is_tracked_as_its_file_of_detections_is(tmp_path: Path) -> None:
    sequence = read_sequence(write_sequence(tmp_path / "a", 1), "det.txt", FoundConfig(score=0.7))
    config = Config.model_validate({"detector": {"score": 0.7}, "tracker": {"max_age": 1, "min_iou": 0.2}})
    rows = [
        np.column_stack([np.full(len(tracks), frame.index + 1), tracks.ids, xyxy_to_xywh(tracks.boxes), tracks.scores])
        for frame, tracks in tracker.retrack(tmp_path / "a" / "det" / "det.txt", config)
    ]
    assert len(rows) == 30
    np.testing.assert_array_equal(follow(sequence, config.tracker), np.concatenate(rows))


def test_every_third_frame_keeps_its_number_its_time_and_its_truth(tmp_path: Path) -> None:
    sequence = read_sequence(write_sequence(tmp_path / "a", 1, frames=20), "det.txt", FoundConfig())
    thinned = sequence.every(3)
    assert thinned.frames.tolist() == [1, 4, 7, 10, 13, 16, 19] == np.unique(thinned.truth[:, 0]).tolist()
    assert thinned.times == pytest.approx((thinned.frames - 1) / 10)
    assert [len(found) for found in thinned.detections] == [len(found) for found in sequence.detections][::3]
    assert set(follow(thinned, TrackerConfig())[:, 0]) <= set(thinned.frames)


def test_counted_frames_are_the_true_times_where_the_rate_is_right(tmp_path: Path) -> None:
    sequence = read_sequence(write_sequence(tmp_path / "a", 1), "det.txt", FoundConfig())
    true = follow(sequence, TrackerConfig())
    np.testing.assert_array_equal(follow(sequence, TrackerConfig(), rate=10), true)
    assert not np.array_equal(follow(sequence, TrackerConfig(), rate=30), true)


def test_scores_beyond_1_are_refused(tmp_path: Path) -> None:
    place = write_sequence(tmp_path / "a", 1)
    (place / "det" / "raw.txt").write_text("1,-1,10,10,50,120,37.5,-1,-1,-1\n")
    with pytest.raises(InputError, match=r"raw\.txt holds a score of 37\.5"):
        read_sequence(place, "raw.txt", FoundConfig())


# The space


def test_every_range_lies_within_what_the_config_takes_and_holds_its_default() -> None:
    for name, choice in SPACE.items():
        for value in choice.values if isinstance(choice, OneOf) else (choice.low, choice.high):
            assert getattr(validated(TrackerConfig, {name: value}, "the test"), name) == value
        default = getattr(TrackerConfig(), name)
        assert default in choice.values if isinstance(choice, OneOf) else choice.low <= default <= choice.high, name
    assert set(USUAL) < set(SPACE)


def test_settings_that_would_do_nothing_are_not_searched() -> None:
    overlap = TrackerConfig(association="iou")
    assert "absence_penalty" in chosen_space((), TrackerConfig())
    assert "absence_penalty" not in chosen_space((), overlap)
    with pytest.raises(InputError, match="absence_penalty does nothing"):
        chosen_space(("absence_penalty",), overlap)


# The search


def test_a_bad_start_is_left_behind_also_on_sequences_held_out(tmp_path: Path) -> None:
    sequences = read(write_sequences(tmp_path))
    tuning = tune([sequences], BAD, FEW, trials=12)
    assert value_of(tuning.before, "mean") < 40
    assert tuning.train_gain > 30 and tuning.test_gain > 30
    assert verdict(tuning).startswith("Tuning generalised")
    # The figures are those of the settings: tracked and scored apart from the search.
    config = with_settings(BAD, tuning.settings)
    again = score_tracks({one.name: (follow(one, config), one.truth) for one in sequences})
    assert tuning.seen == pytest.approx(again)


def test_the_same_search_gives_the_same_and_another_seed_something_else(tmp_path: Path) -> None:
    sequences = [read(write_sequences(tmp_path))]
    first, again, other = (tune(sequences, BAD, FEW, trials=18, folds=2, seed=seed) for seed in (3, 3, 4))
    assert plainly(first) == plainly(again) != plainly(other)


def test_trials_that_the_searches_share_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked: list[str] = []

    def counting(sequence: MotSequence, config: TrackerConfig) -> Any:
        tracked.append(sequence.name)
        return follow(sequence, config)

    monkeypatch.setattr(tracker.evaluation.tuning.search, "follow", counting)
    tune([read(write_sequences(tmp_path))], BAD, FEW, trials=RANDOM_TRIALS)
    assert sorted(tracked) == sorted("abc" * RANDOM_TRIALS)


def test_what_is_held_out_has_no_part_in_its_search(tmp_path: Path) -> None:
    write_sequences(tmp_path)
    before = tune([read(tmp_path)], BAD, FEW, trials=18)
    write_sequence(tmp_path / "b", 99, walkers=9, missed=0.4)
    after = tune([read(tmp_path)], BAD, FEW, trials=18)
    settings = [{fold.names: fold.settings for fold in tuning.folds} for tuning in (before, after)]
    assert settings[0][("b",)] == settings[1][("b",)]
    assert settings[0][("a",)] != settings[1][("a",)]  # whose search does see b
    held = next(fold for fold in after.folds if fold.names == ("b",))
    b = next(one for one in read(tmp_path) if one.name == "b")
    assert held.after == pytest.approx(score_tracks({"b": (follow(b, with_settings(BAD, held.settings)), b.truth)}))


def test_the_held_out_figures_are_of_all_sequences_with_each_folds_own_settings(tmp_path: Path) -> None:
    sequences = read(write_sequences(tmp_path))
    tuning = tune([sequences], BAD, FEW, trials=6)
    settings = {name: fold.settings for fold in tuning.folds for name in fold.names}
    pairs = {one.name: (follow(one, with_settings(BAD, settings[one.name])), one.truth) for one in sequences}
    assert tuning.unseen == pytest.approx(score_tracks(pairs))


def test_several_frame_rates_count_alike(tmp_path: Path) -> None:
    sequences = read(write_sequences(tmp_path, 2))
    rates = [sequences, [one.every(2) for one in sequences]]
    tuning = tune(rates, TrackerConfig(), FEW, trials=1)
    each = [score_tracks({one.name: (follow(one, TrackerConfig()), one.truth) for one in rate}) for rate in rates]
    assert tuning.before == pytest.approx({name: (each[0][name] + each[1][name]) / 2 for name in each[0]})


def test_settings_that_track_nothing_are_only_the_worst(tmp_path: Path) -> None:
    nothing = with_settings(BAD, {"start_score": 1.0})
    tuning = tune([read(write_sequences(tmp_path, 2))], nothing, FEW, trials=3)
    assert value_of(tuning.before, "mean") == 0 < tuning.test_gain


@pytest.mark.parametrize("metric", METRICS)
def test_the_start_is_the_least_that_a_search_gives(tmp_path: Path, metric: str) -> None:
    tuning = tune([read(write_sequences(tmp_path, 2))], TrackerConfig(), chosen_space((), TrackerConfig()), metric, 4)
    assert tuning.train_gain >= 0
    assert value_of(tuning.before, "MOTA") == tuning.before["MOTA"]


def test_it_ends_when_it_is_told_to_with_the_best_so_far(tmp_path: Path) -> None:
    seen: list[int] = []

    def watch(progress: object) -> bool:
        seen.append(0)
        return len(seen) < 5

    tuning = tune([read(write_sequences(tmp_path))], BAD, FEW, trials=50, watch=watch)
    assert len(seen) == 5 and tuning.trials == 2


def test_folds_hold_each_sequence_once_and_are_about_as_long(tmp_path: Path) -> None:
    for name, frames in (("a", 40), ("b", 10), ("c", 20), ("d", 10)):
        write_sequence(tmp_path / name, 1, frames=frames)
    sequences = read(tmp_path)
    assert split_folds(sequences, 2) == [("a",), ("b", "c", "d")]
    assert split_folds(sequences, 0) == [("a",), ("b",), ("c",), ("d",)]
    for wrong in (1, 5):
        with pytest.raises(InputError, match=f"2 to 4 folds, not {wrong}"):
            split_folds(sequences, wrong)
    with pytest.raises(InputError, match="only the sequence a"):
        split_folds(sequences[:1], 0)


# The verdict


def figures(value: float) -> dict[str, float]:
    return dict.fromkeys(("HOTA", "MOTA", "IDF1"), value)


@pytest.mark.parametrize(
    ("seen", "folds", "said"),
    [
        (50.0, (0.0, 0.0), "nothing better than the start: keep it"),
        (55.0, (4.0, 4.0), "Tuning generalised: the mean of HOTA, MOTA, IDF1 rose by 5.00"),
        (55.0, (6.0, -1.0), "hardly generalised"),  # only one of two folds
        (55.0, (1.0, 1.0), "hardly generalised"),  # a fifth of the gain
        (55.0, (-3.0, 1.0), "did not generalise"),
        (55.0, (0.0, 0.0), "did not generalise"),
    ],
)
def test_the_verdict_says_what_the_figures_say(seen: float, folds: tuple[float, ...], said: str) -> None:
    held = tuple(FoldResult((str(n),), {}, figures(50), figures(50 + gain)) for n, gain in enumerate(folds))
    unseen = figures(50 + sum(folds) / len(folds))
    assert said in verdict(Tuning("mean", ("0", "1"), 9, {}, figures(50), figures(seen), unseen, held))


# The command


def test_what_it_writes_is_a_config_that_does_what_was_promised(track: Callable[..., Result]) -> None:
    start = Path("start.yaml")
    start.write_text("detector:\n  score: 0.4\ntracker:\n  n_init: 4\n  start_score: 0.95\n")
    arguments = (
        "sequences",
        "--config",
        start,
        "--trials",
        6,
        "--settings",
        "n_init,start_score",
        "--output",
        "found.yaml",
    )
    code, output, _ = track(*arguments)
    assert code == 0
    assert "tuned, on sequences held out" in output and output.endswith("wrote found.yaml\n")
    promised = output.split("tuned, on the sequences searched on")[1].split()
    config = load_config(Path("found.yaml"))
    assert config.detector.score == 0.4
    sequences = read(Path("sequences"), config.detector)
    reached = score_tracks({one.name: (follow(one, config.tracker), one.truth) for one in sequences})
    assert [f"{reached[name]:.2f}" for name in ("HOTA", "MOTA", "IDF1")] == promised[:3]
    text = Path("found.yaml").read_text()
    assert "generalise" in text and max(map(len, text.splitlines())) <= 120
    assert track(*arguments)[0] == 2  # the file exists
    assert track(*arguments, "--overwrite")[1].splitlines()[1:-4] == output.splitlines()[1:-4]


def test_a_search_that_finds_nothing_writes_the_start(track: Callable[..., Result]) -> None:
    code, output, _ = track("sequences", "--trials", 1, "--output", "found.yaml")
    assert code == 0 and "nothing better than the start" in output
    assert load_config(Path("found.yaml")) == Config()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "cannot read nowhere"),
        (["."], "holds no NAME/gt/gt.txt"),
        (["sequences", "--det", "other.txt"], "no NAME/det/other.txt"),
        (["sequences", "--settings", "min_io"], "did you mean 'min_iou'"),
        (["sequences", "--folds", "7"], "2 to 3 folds, not 7"),
        (["sequences", "--every", "1,0"], "--every 1,0: give whole numbers"),
        (["sequences", "--trials", "0"], "--trials"),
        (["sequences", "--metric", "hots"], "hots"),
        (["sequences/a"], "only the sequence a"),
        (["sequences", "--output", "found.csv"], "must end with .yaml"),
        (["sequences", "--output", "nowhere/found.yaml"], "no folder nowhere"),
    ],
)
def test_bad_input_is_one_sentence(track: Callable[..., Result], arguments: list[str], said: str) -> None:
    code, output, errors = track(*arguments)
    assert (code, output) == (2, "")
    assert errors.startswith("track: ") and said in errors and errors.count("\n") == 1


def test_a_truth_without_boxes_is_named(track: Callable[..., Result]) -> None:
    Path("sequences", "b", "gt", "gt.txt").write_text("1,1,0,0,50,50,0,-1,-1,-1\n")
    code, _, errors = track("sequences")
    assert code == 2 and "the truth of b holds no box" in errors


def test_without_optuna_it_says_what_to_install(track: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert track("sequences") == (2, "", "track: tuning needs the package optuna: pip install 'tracker[tune]'\n")


def test_settings_that_need_pictures_are_named_and_do_no_harm(
    track: Callable[..., Result], caplog: pytest.LogCaptureFixture
) -> None:
    Path("start.yaml").write_text("tracker:\n  camera_motion: flow\n")
    caplog.set_level("WARNING")  # another test may have asked for silence
    code, _, _ = track("sequences", "--config", "start.yaml", "--trials", 1, "--output", "found.yaml")
    assert code == 0 and "camera_motion does nothing here" in caplog.text
    assert load_config(Path("found.yaml")).tracker.camera_motion == "flow"


def test_ctrl_c_shows_and_writes_what_was_found_so_far(
    track: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def impatient(_: str) -> Iterator[Callable[[Progress], None]]:
        yield lambda so_far: signal.raise_signal(signal.SIGINT) if so_far.done == 40 else None

    monkeypatch.setattr(tracker.cli.tune, "_shown", impatient)
    Path("start.yaml").write_text("tracker:\n  n_init: 4\n  start_score: 0.98\n")
    code, output, _ = track("sequences", "--config", "start.yaml", "--trials", 9999, "--output", "found.yaml")
    assert code == 130
    assert "with 10 trials a search" in output and "tuned, on sequences held out" in output
    assert load_config(Path("found.yaml")).tracker.start_score < 0.98


@pytest.mark.slow
def test_whoever_reads_the_head_alone_is_not_bothered(tmp_path: Path) -> None:
    write_sequences(tmp_path / "sequences")
    command = [sys.executable, "-m", "tracker", "tune", "tracker", "sequences", "--trials", "1"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None and run.stderr is not None
        run.stdout.close()
        errors = run.stderr.read()
    assert run.returncode == 141 and errors == ""
