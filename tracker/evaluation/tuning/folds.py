"""Searches settings of the tracker on sequences with truth, and tells by how much they are better on other ones.

Each fold of the sequences is held out of a search of its own, whose settings are then scored on it; one more search
sees all sequences, and its settings are the result. What the searches are worth on what they did not see tells what
may be expected of that result on sequences that nobody has seen. Source: Stone 1974, Cross-validatory choice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tracker.config import TrackerConfig
from tracker.errors import InputError
from tracker.evaluation.mot.metrics import Figures
from tracker.evaluation.mot.sequences import MotSequence
from tracker.evaluation.tuning.search import Objective, Settings, Study, value_of
from tracker.evaluation.tuning.space import Space


@dataclass(frozen=True)
class Progress:
    """How far the searches are.

    Attributes:
        done: Trials so far, of all searches.
        total: Trials in the end.
        before: What is maximised, with the settings of the start, on all sequences.
        best: The same with the best settings so far.
    """

    done: int
    total: int
    before: float
    best: float


Watcher = Callable[[Progress], bool]
"""Is called after each trial; False ends the searches, and the best settings so far are the result."""


@dataclass(frozen=True, eq=False)
class FoldResult:
    """A fold.

    Attributes:
        names: Of the sequences that were held out.
        settings: Found on all others.
        before: Figures of the start on the sequences held out.
        after: Those of `settings`.
    """

    names: tuple[str, ...]
    settings: Settings
    before: Figures
    after: Figures


@dataclass(frozen=True, eq=False)
class Tuning:
    """What a search found, and what it is worth.

    Attributes:
        metric: One of `METRICS`.
        names: Of all sequences.
        trials: Of each search, the start among them.
        settings: Found on all sequences.
        before: Figures of the start on all sequences.
        seen: Figures of `settings` on the same sequences.
        unseen: Figures of all sequences, each with the settings that were found without it.
        folds: The folds that these come from.
    """

    metric: str
    names: tuple[str, ...]
    trials: int
    settings: Settings
    before: Figures
    seen: Figures
    unseen: Figures
    folds: tuple[FoldResult, ...]

    @property
    def train_gain(self) -> float:
        """By how much the result is better where it was searched, in points of the metric."""
        return value_of(self.seen, self.metric) - value_of(self.before, self.metric)

    @property
    def test_gain(self) -> float:
        """By how much the searches' results are better on what they did not see, in points of the metric."""
        return value_of(self.unseen, self.metric) - value_of(self.before, self.metric)


def tune(
    rates: Sequence[Sequence[MotSequence]],
    start: TrackerConfig,
    space: Space,
    metric: str = "mean",
    trials: int = 100,
    folds: int = 0,
    seed: int = 0,
    watch: Watcher = lambda _: True,
) -> Tuning:
    """Searches settings; the same arguments give the same result.

    Args:
        rates: The same sequences, once for each frame rate at which they are to be tracked; figures are means over
            the rates.
        start: The settings of the first trial, from which those outside `space` are kept.
        space: What is searched.
        metric: One of `METRICS`.
        trials: Of each search.
        folds: Into how many parts the sequences are dealt; 0 for one part each.
        seed: Of the sampler.
        watch: See `Watcher`.

    Raises:
        InputError: There are too few sequences, or one without a true box.
        ModuleNotFoundError: A package of the extra [tune] is missing.
    """
    judge = Objective(rates, start)
    parts = split_folds(rates[0], folds)
    full_search = Study(judge, judge.names, space, metric, seed)
    others = [
        Study(judge, tuple(name for name in judge.names if name not in part), space, metric, seed) for part in parts
    ]
    _round_robin([full_search, *others], trials, watch)
    held = [_held(judge, part, search.best) for part, search in zip(parts, others, strict=True)]
    chosen = {name: search.best for part, search in zip(parts, others, strict=True) for name in part}
    return Tuning(
        metric=metric,
        names=judge.names,
        trials=full_search.trials,
        settings=full_search.best,
        before=judge.figures(dict.fromkeys(judge.names, full_search.start)),
        seen=judge.figures(dict.fromkeys(judge.names, full_search.best)),
        unseen=judge.figures({name: chosen[name] for name in judge.names}),
        folds=tuple(held),
    )


def split_folds(sequences: Sequence[MotSequence], folds: int) -> list[tuple[str, ...]]:
    """Names of the sequences, in parts of about as many frames each.

    Raises:
        InputError: There are fewer sequences than parts, or fewer than two parts.
    """
    count = folds or len(sequences)
    if len(sequences) < 2:
        raise InputError(f"there is only the sequence {sequences[0].name}: give two or more, to hold one out")
    if not 2 <= count <= len(sequences):
        raise InputError(f"{len(sequences)} sequences can be dealt into 2 to {len(sequences)} folds, not {count}")
    parts: list[list[MotSequence]] = [[] for _ in range(count)]
    for sequence in sorted(sequences, key=lambda one: (-len(one.frames), one.name)):
        min(parts, key=lambda part: (sum(len(one.frames) for one in part), len(part))).append(sequence)
    return sorted(tuple(sorted(one.name for one in part)) for part in parts)


def _round_robin(searches: list[Study], trials: int, watch: Watcher) -> None:
    """One trial of each search after the other, so that all are equally far when they are stopped."""
    full_search = searches[0]
    before = full_search.value
    for done in range(trials * len(searches)):
        searches[done % len(searches)].step()
        if not watch(Progress(done + 1, trials * len(searches), before, full_search.value)):
            return


def _held(judge: Objective, part: tuple[str, ...], settings: Settings) -> FoldResult:
    before = judge.figures(dict.fromkeys(part, judge.start_settings(settings)))
    return FoldResult(part, settings, before, judge.figures(dict.fromkeys(part, settings)))
