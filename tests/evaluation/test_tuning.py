"""Tests `track tune tracker`: reproducible studies, held-out sequences, and the summary."""

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
from tracker.config import Config, DetectionFilterConfig, TrackerConfig, load_config, validate_section
from tracker.errors import InputError
from tracker.evaluation import combined_metrics
from tracker.evaluation.mot.sequences import MotSequence, find_sequences, read_sequence, run_tracker
from tracker.evaluation.tuning.folds import FoldResult, TuningProgress, TuningResult, split_folds, tune
from tracker.evaluation.tuning.report import summary
from tracker.evaluation.tuning.search import OBJECTIVES, STARTUP_TRIALS, objective_value, with_settings
from tracker.evaluation.tuning.space import DEFAULT_SETTINGS, SEARCH_SPACE, Categorical, search_space
from tracker.structures.boxes import xyxy_to_xywh
from walking_sequences import write_sequence, write_sequences

pytest.importorskip("optuna", reason="the extra [tune] is not installed")
pytest.importorskip("trackeval", reason="the extra [eval] is not installed")

BAD_START = TrackerConfig(n_init=4, start_score=0.98, min_iou=0.5, tentative_misses=0, min_evidence=0)
"""Few pedestrians are tracked with these."""
SMALL_SPACE = search_space(("n_init", "start_score", "min_iou"), BAD_START)

Result = tuple[int, str, str]


def read_sequences(folder: Path, filters: DetectionFilterConfig = DetectionFilterConfig()) -> list[MotSequence]:
    return [read_sequence(path, "det.txt", filters) for path in find_sequences(folder, "det.txt")]


def to_tuple(tuning: TuningResult) -> object:
    return tuning.settings, tuning.baseline, tuning.train, tuning.test, [(f.names, f.settings) for f in tuning.folds]


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


def test_sequence_is_tracked_as_its_file_of_detections(tmp_path: Path) -> None:
    sequence = read_sequence(write_sequence(tmp_path / "a", 1), "det.txt", DetectionFilterConfig(score=0.7))
    config = Config.model_validate({"detector": {"score": 0.7}, "tracker": {"max_age": 1, "min_iou": 0.2}})
    rows = [
        np.column_stack([np.full(len(tracks), frame.index + 1), tracks.ids, xyxy_to_xywh(tracks.boxes), tracks.scores])
        for frame, tracks in tracker.retrack(tmp_path / "a" / "det" / "det.txt", config)
    ]
    assert len(rows) == 30
    np.testing.assert_array_equal(run_tracker(sequence, config.tracker), np.concatenate(rows))


def test_subsampling_keeps_frame_numbers_times_and_ground_truth(tmp_path: Path) -> None:
    sequence = read_sequence(write_sequence(tmp_path / "a", 1, frames=20), "det.txt", DetectionFilterConfig())
    subsampled = sequence.subsample(3)
    assert subsampled.frames.tolist() == [1, 4, 7, 10, 13, 16, 19] == np.unique(subsampled.gt[:, 0]).tolist()
    assert subsampled.times == pytest.approx((subsampled.frames - 1) / 10)
    assert [len(detections) for detections in subsampled.detections] == [
        len(detections) for detections in sequence.detections
    ][::3]
    assert set(run_tracker(subsampled, TrackerConfig())[:, 0]) <= set(subsampled.frames)


def test_assumed_fps_equal_to_the_true_one_changes_nothing(tmp_path: Path) -> None:
    sequence = read_sequence(write_sequence(tmp_path / "a", 1), "det.txt", DetectionFilterConfig())
    expected = run_tracker(sequence, TrackerConfig())
    np.testing.assert_array_equal(run_tracker(sequence, TrackerConfig(), fps=10), expected)
    assert not np.array_equal(run_tracker(sequence, TrackerConfig(), fps=30), expected)


def test_scores_above_1_are_rejected(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path / "a", 1)
    (folder / "det" / "raw.txt").write_text("1,-1,10,10,50,120,37.5,-1,-1,-1\n")
    with pytest.raises(InputError, match=r"raw\.txt holds a score of 37\.5"):
        read_sequence(folder, "raw.txt", DetectionFilterConfig())


# The space


def test_ranges_are_valid_and_contain_the_defaults() -> None:
    for name, choices in SEARCH_SPACE.items():
        for value in choices.values if isinstance(choices, Categorical) else (choices.low, choices.high):
            assert getattr(validate_section(TrackerConfig, {name: value}, "the test"), name) == value
        default = getattr(TrackerConfig(), name)
        assert (
            default in choices.values if isinstance(choices, Categorical) else choices.low <= default <= choices.high
        ), name
    assert set(DEFAULT_SETTINGS) < set(SEARCH_SPACE)


def test_settings_without_effect_are_not_tuned() -> None:
    overlap = TrackerConfig(association="iou")
    assert "absence_penalty" in search_space((), TrackerConfig())
    assert "absence_penalty" not in search_space((), overlap)
    with pytest.raises(InputError, match="absence_penalty has no effect"):
        search_space(("absence_penalty",), overlap)


# The search


def test_bad_start_is_improved_on_held_out_sequences_too(tmp_path: Path) -> None:
    sequences = read_sequences(write_sequences(tmp_path))
    tuning = tune([sequences], BAD_START, SMALL_SPACE, trials=12)
    assert objective_value(tuning.baseline, "mean") < 40
    assert tuning.train_gain > 30 and tuning.test_gain > 30
    assert summary(tuning).startswith("Tuning generalized")
    # The metrics are those of the settings, when tracked and evaluated without the study.
    config = with_settings(BAD_START, tuning.settings)
    expected = combined_metrics({sequence.name: (run_tracker(sequence, config), sequence.gt) for sequence in sequences})
    assert tuning.train == pytest.approx(expected)


def test_same_seed_gives_the_same_result(tmp_path: Path) -> None:
    sequences = [read_sequences(write_sequences(tmp_path))]
    first, second, other = (
        tune(sequences, BAD_START, SMALL_SPACE, trials=18, folds=2, seed=seed) for seed in (3, 3, 4)
    )
    assert to_tuple(first) == to_tuple(second) != to_tuple(other)


def test_startup_trials_are_computed_once_for_all_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked: list[str] = []

    def count_runs(sequence: MotSequence, config: TrackerConfig) -> Any:
        tracked.append(sequence.name)
        return run_tracker(sequence, config)

    monkeypatch.setattr(tracker.evaluation.tuning.search, "run_tracker", count_runs)
    tune([read_sequences(write_sequences(tmp_path))], BAD_START, SMALL_SPACE, trials=STARTUP_TRIALS)
    assert sorted(tracked) == sorted("abc" * STARTUP_TRIALS)


def test_held_out_sequences_do_not_influence_their_study(tmp_path: Path) -> None:
    write_sequences(tmp_path)
    first = tune([read_sequences(tmp_path)], BAD_START, SMALL_SPACE, trials=18)
    write_sequence(tmp_path / "b", 99, pedestrians=9, miss_rate=0.4)
    second = tune([read_sequences(tmp_path)], BAD_START, SMALL_SPACE, trials=18)
    settings = [{fold.names: fold.settings for fold in tuning.folds} for tuning in (first, second)]
    assert settings[0][("b",)] == settings[1][("b",)]
    assert settings[0][("a",)] != settings[1][("a",)]  # whose study uses b
    fold_b = next(fold for fold in second.folds if fold.names == ("b",))
    b = next(sequence for sequence in read_sequences(tmp_path) if sequence.name == "b")
    tracks = run_tracker(b, with_settings(BAD_START, fold_b.settings))
    assert fold_b.tuned == pytest.approx(combined_metrics({"b": (tracks, b.gt)}))


def test_metrics_of_held_out_sequences_combine_all_folds(tmp_path: Path) -> None:
    sequences = read_sequences(write_sequences(tmp_path))
    tuning = tune([sequences], BAD_START, SMALL_SPACE, trials=6)
    settings = {name: fold.settings for fold in tuning.folds for name in fold.names}
    configs = {name: with_settings(BAD_START, values) for name, values in settings.items()}
    pairs = {sequence.name: (run_tracker(sequence, configs[sequence.name]), sequence.gt) for sequence in sequences}
    assert tuning.test == pytest.approx(combined_metrics(pairs))


def test_frame_rates_have_equal_weight(tmp_path: Path) -> None:
    sequences = read_sequences(write_sequences(tmp_path, 2))
    rates = [sequences, [sequence.subsample(2) for sequence in sequences]]
    tuning = tune(rates, TrackerConfig(), SMALL_SPACE, trials=1)
    metrics = [
        combined_metrics({one.name: (run_tracker(one, TrackerConfig()), one.gt) for one in rate}) for rate in rates
    ]
    assert tuning.baseline == pytest.approx({name: (metrics[0][name] + metrics[1][name]) / 2 for name in metrics[0]})


def test_settings_that_track_nothing_have_value_0(tmp_path: Path) -> None:
    start = with_settings(BAD_START, {"start_score": 1.0})
    tuning = tune([read_sequences(write_sequences(tmp_path, 2))], start, SMALL_SPACE, trials=3)
    assert objective_value(tuning.baseline, "mean") == 0 < tuning.test_gain


@pytest.mark.parametrize("metric", OBJECTIVES)
def test_result_is_never_worse_than_the_start(tmp_path: Path, metric: str) -> None:
    tuning = tune(
        [read_sequences(write_sequences(tmp_path, 2))], TrackerConfig(), search_space((), TrackerConfig()), metric, 4
    )
    assert tuning.train_gain >= 0
    assert objective_value(tuning.baseline, "MOTA") == tuning.baseline["MOTA"]


def test_callback_can_stop_the_studies(tmp_path: Path) -> None:
    calls: list[int] = []

    def on_progress(progress: object) -> bool:
        calls.append(0)
        return len(calls) < 5

    tuning = tune(
        [read_sequences(write_sequences(tmp_path))], BAD_START, SMALL_SPACE, trials=50, on_progress=on_progress
    )
    assert len(calls) == 5 and tuning.trials == 2


def test_folds_have_about_equal_length(tmp_path: Path) -> None:
    for name, frames in (("a", 40), ("b", 10), ("c", 20), ("d", 10)):
        write_sequence(tmp_path / name, 1, frames=frames)
    sequences = read_sequences(tmp_path)
    assert split_folds(sequences, 2) == [("a",), ("b", "c", "d")]
    assert split_folds(sequences, 0) == [("a",), ("b",), ("c",), ("d",)]
    for wrong in (1, 5):
        with pytest.raises(InputError, match=f"2 to 4 folds, not {wrong}"):
            split_folds(sequences, wrong)
    with pytest.raises(InputError, match="only the sequence a"):
        split_folds(sequences[:1], 0)


# The summary


def metrics_of(value: float) -> dict[str, float]:
    return dict.fromkeys(("HOTA", "MOTA", "IDF1"), value)


@pytest.mark.parametrize(
    ("train", "folds", "message"),
    [
        (50.0, (0.0, 0.0), "nothing better than the start: keep it"),
        (55.0, (4.0, 4.0), "Tuning generalized: the mean of HOTA, MOTA, IDF1 rose by 5.00"),
        (55.0, (6.0, -1.0), "hardly generalized"),  # better in one of two folds
        (55.0, (1.0, 1.0), "hardly generalized"),  # a fifth of the training gain
        (55.0, (-3.0, 1.0), "did not generalize"),
        (55.0, (0.0, 0.0), "did not generalize"),
    ],
)
def test_summary(train: float, folds: tuple[float, ...], message: str) -> None:
    fold_results = tuple(
        FoldResult((str(n),), {}, metrics_of(50), metrics_of(50 + gain)) for n, gain in enumerate(folds)
    )
    test = metrics_of(50 + sum(folds) / len(folds))
    assert message in summary(
        TuningResult("mean", ("0", "1"), 9, {}, metrics_of(50), metrics_of(train), test, fold_results)
    )


# The command


def test_written_config_reaches_the_printed_metrics(track: Callable[..., Result]) -> None:
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
    assert "tuned, on held-out sequences" in output and output.endswith("wrote found.yaml\n")
    printed = output.split("tuned, on the training sequences")[1].split()
    config = load_config(Path("found.yaml"))
    assert config.detector.score == 0.4
    sequences = read_sequences(Path("sequences"), config.detector)
    reached = combined_metrics(
        {sequence.name: (run_tracker(sequence, config.tracker), sequence.gt) for sequence in sequences}
    )
    assert [f"{reached[name]:.2f}" for name in ("HOTA", "MOTA", "IDF1")] == printed[:3]
    text = Path("found.yaml").read_text()
    assert "generalize" in text and max(map(len, text.splitlines())) <= 120
    assert track(*arguments)[0] == 2  # the file exists
    assert track(*arguments, "--overwrite")[1].splitlines()[1:-4] == output.splitlines()[1:-4]


def test_search_without_improvement_writes_the_start(track: Callable[..., Result]) -> None:
    code, output, _ = track("sequences", "--trials", 1, "--output", "found.yaml")
    assert code == 0 and "nothing better than the start" in output
    assert load_config(Path("found.yaml")) == Config()


@pytest.mark.parametrize(
    ("arguments", "message"),
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
def test_bad_input_gets_one_sentence(track: Callable[..., Result], arguments: list[str], message: str) -> None:
    code, output, errors = track(*arguments)
    assert (code, output) == (2, "")
    assert errors.startswith("track: ") and message in errors and errors.count("\n") == 1


def test_ground_truth_without_boxes_is_named(track: Callable[..., Result]) -> None:
    Path("sequences", "b", "gt", "gt.txt").write_text("1,1,0,0,50,50,0,-1,-1,-1\n")
    code, _, errors = track("sequences")
    assert code == 2 and "the ground truth of b holds no box" in errors


def test_missing_optuna_is_named(track: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert track("sequences") == (2, "", "track: tuning needs the package optuna: pip install 'video-tracker[tune]'\n")


def test_settings_that_need_images_are_named_and_ignored(
    track: Callable[..., Result], caplog: pytest.LogCaptureFixture
) -> None:
    Path("start.yaml").write_text("tracker:\n  camera_motion: flow\n")
    caplog.set_level("WARNING")  # another test may have asked for silence
    code, _, _ = track("sequences", "--config", "start.yaml", "--trials", 1, "--output", "found.yaml")
    assert code == 0 and "camera_motion has no effect here" in caplog.text
    assert load_config(Path("found.yaml")).tracker.camera_motion == "flow"


def test_ctrl_c_prints_and_writes_the_best_so_far(
    track: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def stop_after_40_trials(_: str) -> Iterator[Callable[[TuningProgress], None]]:
        yield lambda progress: signal.raise_signal(signal.SIGINT) if progress.done == 40 else None

    monkeypatch.setattr(tracker.cli.tune, "_search_progress", stop_after_40_trials)
    Path("start.yaml").write_text("tracker:\n  n_init: 4\n  start_score: 0.98\n")
    code, output, _ = track("sequences", "--config", "start.yaml", "--trials", 9999, "--output", "found.yaml")
    assert code == 130
    assert "with 10 trials a search" in output and "tuned, on held-out sequences" in output
    assert load_config(Path("found.yaml")).tracker.start_score < 0.98


@pytest.mark.slow
def test_closed_pipe(tmp_path: Path) -> None:
    write_sequences(tmp_path / "sequences")
    command = [sys.executable, "-m", "tracker", "tune", "tracker", "sequences", "--trials", "1"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None and run.stderr is not None
        run.stdout.close()
        errors = run.stderr.read()
    assert run.returncode == 141 and errors == ""
