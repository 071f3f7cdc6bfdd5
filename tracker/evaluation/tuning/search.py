"""One search for settings of the tracker: tries, scores, remembers the best.

Source: the tree-structured Parzen estimator, Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from tracker.config import TrackerConfig, validated
from tracker.errors import InputError
from tracker.evaluation.mot.metrics import Figures, Measured, combine, measure
from tracker.evaluation.mot.sequences import MotSequence, follow
from tracker.evaluation.tuning.space import OneOf, Range, Space, Value, Whole

METRICS = {"HOTA": ("HOTA",), "MOTA": ("MOTA",), "IDF1": ("IDF1",), "mean": ("HOTA", "MOTA", "IDF1")}
"""What a search can maximise: one figure, or the mean of some."""

RANDOM_TRIALS = 15
"""Trials before the sampler has something to go by; they are the same in all folds, and computed once."""

_REMEMBERED = 5_000
"""Sequences tracked with some settings whose measures are kept, some kB each: more than a round of all folds."""

Settings = dict[str, Value]


def value_of(figures: Figures, metric: str) -> float:
    """What a metric says of figures, percent."""
    return sum(figures[name] for name in METRICS[metric]) / len(METRICS[metric])


def with_settings(start: TrackerConfig, settings: Settings) -> TrackerConfig:
    """Some settings changed."""
    return validated(TrackerConfig, {**start.model_dump(), **settings}, "the search")


class Objective:
    """Tracks sequences with settings and scores the result; remembers what it has done lately.

    Attributes:
        names: Of the sequences.
    """

    def __init__(self, rates: Sequence[Sequence[MotSequence]], start: TrackerConfig) -> None:
        """Takes the arguments of `tune`.

        Raises:
            InputError: A sequence holds no true box.
        """
        self.names = tuple(sequence.name for sequence in rates[0])
        self._rates = [{sequence.name: sequence for sequence in sequences} for sequences in rates]
        self._start = start
        self._measured = lru_cache(_REMEMBERED)(self._measure)
        for sequences in rates:
            for sequence in sequences:
                if not (sequence.truth[:, 6] != 0).any():
                    raise InputError(f"the truth of {sequence.name} holds no box that counts: take the sequence out")

    def start_settings(self, names: Iterable[str]) -> Settings:
        """What the start says of some settings."""
        return {name: getattr(self._start, name) for name in names}

    def figures(self, settings: dict[str, Settings]) -> Figures:
        """Figures of some sequences together, each tracked with its own settings; means over the rates."""
        each = []
        for rate in range(len(self._rates)):
            each.append(
                combine({name: self._measured(name, *chosen.items())[rate] for name, chosen in settings.items()})
            )
        return {name: sum(figures[name] for figures in each) / len(each) for name in each[0]}

    def _measure(self, name: str, *settings: tuple[str, Value]) -> list[Measured]:
        """What is measured of a sequence at each rate."""
        config = with_settings(self._start, dict(settings))
        sequences = [rate[name] for rate in self._rates]
        return [measure(follow(sequence, config), sequence.truth, name) for sequence in sequences]


class Study:
    """A search for the settings that are best on some sequences.

    Attributes:
        start: The settings that it begins with.
        best: The best settings so far.
        value: What is maximised, with them.
        trials: Trials so far.
    """

    def __init__(self, judge: Objective, names: tuple[str, ...], space: Space, metric: str, seed: int) -> None:
        """Takes the sequences by name; others are never looked at."""
        self.start = self.best = judge.start_settings(space)
        self.trials = 0
        self._judge, self._names, self._metric = judge, names, metric
        self._ranges = _distributions(space)
        self._study = _study(seed)
        if all(_within(space[name], value) for name, value in self.start.items()):
            self._study.enqueue_trial(self.start)
        self.value = self._value(self.start)

    def step(self) -> None:
        """Tries further settings."""
        trial = self._study.ask(self._ranges)
        settings = {name: _rounded(value) for name, value in trial.params.items()}
        value = self._value(settings)
        self._study.tell(trial, value)
        self.trials += 1
        if value > self.value:
            self.best, self.value = settings, value

    def _value(self, settings: Settings) -> float:
        return value_of(self._judge.figures(dict.fromkeys(self._names, settings)), self._metric)


def _study(seed: int) -> Any:
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would tell everyone that a study begins
    try:
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=RANDOM_TRIALS)
        return optuna.create_study(direction="maximize", sampler=sampler)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _distributions(space: Space) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {}
    for name, choice in space.items():
        if isinstance(choice, Range):
            found[name] = FloatDistribution(choice.low, choice.high, log=choice.log)
        elif isinstance(choice, Whole):
            found[name] = IntDistribution(choice.low, choice.high)
        else:
            found[name] = CategoricalDistribution(choice.values)
    return found


def _within(choice: Range | Whole | OneOf, value: Value) -> bool:
    if isinstance(choice, OneOf):
        return value in choice.values
    return not isinstance(value, str) and choice.low <= value <= choice.high


def _rounded(value: Value) -> Value:
    """To three digits, since more of them mean nothing, and what is written is to be what was tried."""
    return float(f"{value:.3g}") if isinstance(value, float) else value
