"""Tunes settings of the tracker on sequences with ground truth, with cross-validation.

For each fold of the sequences a study of its own tunes on all others, and its settings are tested on the fold; one more
study tunes on all sequences, and its settings are the result. The gain of the studies on their held-out folds
estimates the gain of that result on new sequences. Source: Stone 1974, Cross-validatory choice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tracker.config import TrackerConfig
from tracker.errors import InputError
from tracker.evaluation.mot.metrics import Metrics
from tracker.evaluation.mot.sequences import MotSequence
from tracker.evaluation.tuning.search import Objective, Settings, Study, objective_value
from tracker.evaluation.tuning.space import SearchSpace


@dataclass(frozen=True)
class TuningProgress:
    """Progress of the studies.

    Attributes:
        done: Trials so far, of all studies.
        total: Trials in the end.
        baseline: Value of the objective with the initial settings, on all sequences.
        best: Value of the objective with the best settings so far, on all sequences.
    """

    done: int
    total: int
    baseline: float
    best: float


ProgressCallback = Callable[[TuningProgress], bool]
"""Called after each trial; False ends the studies, and the best settings so far are the result."""


@dataclass(frozen=True, eq=False)
class FoldResult:
    """The result of a fold.

    Attributes:
        names: Names of the held-out sequences.
        settings: The best settings on all other sequences.
        baseline: Metrics of the initial settings on the held-out sequences.
        tuned: Metrics of `settings` on the held-out sequences.
    """

    names: tuple[str, ...]
    settings: Settings
    baseline: Metrics
    tuned: Metrics


@dataclass(frozen=True, eq=False)
class TuningResult:
    """The best settings, and their gain on training and on held-out sequences.

    Attributes:
        metric: One of `OBJECTIVES`.
        names: Names of all sequences.
        trials: Trials of each study, with that of the initial settings.
        settings: The best settings on all sequences.
        baseline: Metrics of the initial settings on all sequences.
        train: Metrics of `settings` on the same sequences.
        test: Metrics of all sequences, each with the settings that were tuned without it.
        folds: The folds that `test` comes from.
    """

    metric: str
    names: tuple[str, ...]
    trials: int
    settings: Settings
    baseline: Metrics
    train: Metrics
    test: Metrics
    folds: tuple[FoldResult, ...]

    @property
    def train_gain(self) -> float:
        """Gain of the tuned settings on the training sequences, in points of the metric."""
        return objective_value(self.train, self.metric) - objective_value(self.baseline, self.metric)

    @property
    def test_gain(self) -> float:
        """Gain of the tuned settings on held-out sequences, in points of the metric."""
        return objective_value(self.test, self.metric) - objective_value(self.baseline, self.metric)


def tune(
    sequences_by_rate: Sequence[Sequence[MotSequence]],
    start: TrackerConfig,
    space: SearchSpace,
    metric: str = "mean",
    trials: int = 100,
    folds: int = 0,
    seed: int = 0,
    on_progress: ProgressCallback = lambda _: True,
) -> TuningResult:
    """Tunes settings; the same arguments give the same result.

    Args:
        sequences_by_rate: The same sequences, once for each frame rate at which they are tracked; metrics are means
            over the rates.
        start: The initial settings; those outside of `space` are not changed.
        space: The settings to tune, and their ranges.
        metric: One of `OBJECTIVES`.
        trials: Trials of each study.
        folds: Number of folds; 0 for one fold for each sequence.
        seed: Seed of the sampler.
        on_progress: See `ProgressCallback`.

    Raises:
        InputError: There are too few sequences, or one without ground-truth boxes.
        ModuleNotFoundError: A package of the extra [tune] is missing.
    """
    objective = Objective(sequences_by_rate, start)
    fold_names = split_folds(sequences_by_rate[0], folds)
    full_study = Study(objective, objective.names, space, metric, seed)
    train_names = [tuple(name for name in objective.names if name not in names) for names in fold_names]
    fold_studies = [Study(objective, names, space, metric, seed) for names in train_names]
    _round_robin([full_study, *fold_studies], trials, on_progress)
    tested = list(zip(fold_names, fold_studies, strict=True))
    settings = {name: study.best for names, study in tested for name in names}
    return TuningResult(
        metric=metric,
        names=objective.names,
        trials=full_study.trials,
        settings=full_study.best,
        baseline=objective.metrics(dict.fromkeys(objective.names, full_study.start)),
        train=objective.metrics(dict.fromkeys(objective.names, full_study.best)),
        test=objective.metrics({name: settings[name] for name in objective.names}),
        folds=tuple(_fold_result(objective, names, study.best) for names, study in tested),
    )


def split_folds(sequences: Sequence[MotSequence], folds: int) -> list[tuple[str, ...]]:
    """Splits the sequences into folds of about as many frames each, and returns the names of each fold.

    Raises:
        InputError: There are fewer sequences than folds, or fewer than two folds.
    """
    count = folds or len(sequences)
    if len(sequences) < 2:
        raise InputError(f"there is only the sequence {sequences[0].name}: give two or more, to hold one out")
    if not 2 <= count <= len(sequences):
        raise InputError(f"{len(sequences)} sequences can be split into 2 to {len(sequences)} folds, not {count}")
    split: list[list[MotSequence]] = [[] for _ in range(count)]
    for sequence in sorted(sequences, key=lambda sequence: (-len(sequence.frames), sequence.name)):
        min(split, key=lambda fold: (sum(len(member.frames) for member in fold), len(fold))).append(sequence)
    return sorted(tuple(sorted(sequence.name for sequence in fold)) for fold in split)


def _round_robin(studies: list[Study], trials: int, on_progress: ProgressCallback) -> None:
    """Runs one trial of each study in turn, so that all have as many trials when they are stopped."""
    full_study = studies[0]
    baseline = full_study.value
    for done in range(trials * len(studies)):
        studies[done % len(studies)].run_trial()
        if not on_progress(TuningProgress(done + 1, trials * len(studies), baseline, full_study.value)):
            return


def _fold_result(objective: Objective, names: tuple[str, ...], settings: Settings) -> FoldResult:
    baseline = objective.metrics(dict.fromkeys(names, objective.initial_settings(settings)))
    return FoldResult(names, settings, baseline, objective.metrics(dict.fromkeys(names, settings)))
