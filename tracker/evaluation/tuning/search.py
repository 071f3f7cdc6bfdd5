"""Searches settings of the tracker: one study with the tree-structured Parzen estimator of optuna.

Source: Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from tracker.config import TrackerConfig, validate_section
from tracker.errors import InputError
from tracker.evaluation.mot.metrics import Metrics, SequenceResult, combine_sequences, evaluate_sequence
from tracker.evaluation.mot.sequences import MotSequence, run_tracker
from tracker.evaluation.tuning.space import Categorical, FloatRange, IntRange, SearchSpace, Value

OBJECTIVES = {"HOTA": ("HOTA",), "MOTA": ("MOTA",), "IDF1": ("IDF1",), "mean": ("HOTA", "MOTA", "IDF1")}
"""Metrics that a study can maximize: one metric, or the mean of several."""

STARTUP_TRIALS = 15
"""Random trials before the sampler uses the results; they are the same in all folds, and computed once."""

_CACHE_SIZE = 5_000
"""Results of a sequence and settings that are cached, some kB each: more than one trial of all folds."""

Settings = dict[str, Value]


def objective_value(metrics: Metrics, metric: str) -> float:
    """Returns the value of an objective, percent."""
    return sum(metrics[name] for name in OBJECTIVES[metric]) / len(OBJECTIVES[metric])


def with_settings(start: TrackerConfig, settings: Settings) -> TrackerConfig:
    """Returns a config with some settings changed."""
    return validate_section(TrackerConfig, {**start.model_dump(), **settings}, "the search")


class Objective:
    """Tracks sequences with given settings and evaluates the tracks; recent results are cached.

    Attributes:
        names: Names of the sequences.
    """

    def __init__(self, sequences_by_rate: Sequence[Sequence[MotSequence]], start: TrackerConfig) -> None:
        """Takes the arguments of `tune`.

        Raises:
            InputError: A sequence has no ground-truth box.
        """
        self.names = tuple(sequence.name for sequence in sequences_by_rate[0])
        self._sequences_by_rate = [
            {sequence.name: sequence for sequence in sequences} for sequences in sequences_by_rate
        ]
        self._start = start
        self._cached_results = lru_cache(_CACHE_SIZE)(self._evaluate_sequence)
        for sequences in sequences_by_rate:
            for sequence in sequences:
                if not (sequence.gt[:, 6] != 0).any():
                    raise InputError(f"the ground truth of {sequence.name} holds no box: leave the sequence out")

    def initial_settings(self, names: Iterable[str]) -> Settings:
        """Returns the values of some settings in the initial config."""
        return {name: getattr(self._start, name) for name in names}

    def metrics(self, settings: dict[str, Settings]) -> Metrics:
        """Returns the combined metrics of sequences, each tracked with its own settings; means over the rates."""
        by_rate = []
        for rate in range(len(self._sequences_by_rate)):
            results = {name: self._cached_results(name, *values.items())[rate] for name, values in settings.items()}
            by_rate.append(combine_sequences(results))
        return {name: sum(metrics[name] for metrics in by_rate) / len(by_rate) for name in by_rate[0]}

    def _evaluate_sequence(self, name: str, *settings: tuple[str, Value]) -> list[SequenceResult]:
        """Returns the results of a sequence at each rate."""
        config = with_settings(self._start, dict(settings))
        sequences = [rate[name] for rate in self._sequences_by_rate]
        return [evaluate_sequence(run_tracker(sequence, config), sequence.gt, name) for sequence in sequences]


class Study:
    """A search for the best settings on some sequences.

    Attributes:
        start: The initial settings.
        best: The best settings so far.
        value: Value of the objective with them.
        trials: Number of trials so far.
    """

    def __init__(
        self, objective: Objective, names: tuple[str, ...], space: SearchSpace, metric: str, seed: int
    ) -> None:
        """Takes the sequences by name; no other sequences are used."""
        self.start = self.best = objective.initial_settings(space)
        self.trials = 0
        self._objective, self._names, self._metric = objective, names, metric
        self._distributions = _optuna_distributions(space)
        self._study = _study(seed)
        if all(_contains(space[name], value) for name, value in self.start.items()):
            self._study.enqueue_trial(self.start)
        self.value = self._evaluate(self.start)

    def run_trial(self) -> None:
        """Evaluates the next settings that the sampler suggests."""
        trial = self._study.ask(self._distributions)
        settings = {name: _round(value) for name, value in trial.params.items()}
        value = self._evaluate(settings)
        self._study.tell(trial, value)
        self.trials += 1
        if value > self.value:
            self.best, self.value = settings, value

    def _evaluate(self, settings: Settings) -> float:
        return objective_value(self._objective.metrics(dict.fromkeys(self._names, settings)), self._metric)


def _study(seed: int) -> Any:
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # otherwise it logs each new study
    try:
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP_TRIALS)
        return optuna.create_study(direction="maximize", sampler=sampler)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _optuna_distributions(space: SearchSpace) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    distributions: dict[str, Any] = {}
    for name, values in space.items():
        if isinstance(values, FloatRange):
            distributions[name] = FloatDistribution(values.low, values.high, log=values.log)
        elif isinstance(values, IntRange):
            distributions[name] = IntDistribution(values.low, values.high)
        else:
            distributions[name] = CategoricalDistribution(values.values)
    return distributions


def _contains(values: FloatRange | IntRange | Categorical, value: Value) -> bool:
    if isinstance(values, Categorical):
        return value in values.values
    return not isinstance(value, str) and values.low <= value <= values.high


def _round(value: Value) -> Value:
    """Rounds to three digits, so that the written settings are those that were evaluated."""
    return float(f"{value:.3g}") if isinstance(value, float) else value
