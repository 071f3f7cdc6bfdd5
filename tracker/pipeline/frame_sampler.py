"""Which frames a detector looks at, and what was seen in each frame."""

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from math import inf
from threading import Event
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tracker.config import Config
from tracker.pipeline.class_voting import ClassProbabilities
from tracker.structures.types import Detections, Frame
from tracker.tracking import Rescorer, no_rescoring

T = TypeVar("T")
Embeddings = NDArray[np.float32]
Perceived = tuple[list[Detections], list[Embeddings], list[Rescorer], list[ClassProbabilities]]
"""Of some frames: detections, embeddings, (N, D) or, without an embedder, (N, 0), what looks at boxes again, and what a
classifier says of each detection, (N, C) or, without one, (N, 0)."""


@dataclass(frozen=True, eq=False, slots=True)
class Sight:
    """What was seen in a frame.

    Attributes:
        frame: The frame.
        detections: N of them.
        embeddings: As in `Perceived`, like what follows.
        rescore: What looks at boxes again.
        opinions: What a classifier says of each detection.
        looked: Whether the frame was looked at; where it was not, nothing is seen, whatever it shows.
    """

    frame: Frame
    detections: Detections
    embeddings: Embeddings
    rescore: Rescorer
    class_probs: ClassProbabilities
    looked: bool = True

    def unseen(self, frame: Frame) -> "Sight":
        """The sight of another frame, at which nobody looked: of the same kind, with nothing in it."""
        return Sight(frame, self.detections[:0], self.embeddings[:0], no_rescoring, self.class_probs[:0], looked=False)


class FrameSampler:
    """Chooses the frames of a source to look at, as the config says, and the first one anyway.

    With `realtime` frames come no earlier than a camera would give them, and one is looked at when no later one is due
    yet. Where that would leave tracks without a look for `max_age`, after which they end, one is looked at anyway.
    """

    def __init__(self, config: Config) -> None:
        self._every = config.detector.detect_every
        self._realtime = config.detector.realtime
        self._patience = config.tracker.max_age
        self._over = Event()
        self._start = inf  # the clock's time at the source's 0, seconds
        self._latest = self._looked = -inf  # moments of the latest frame, and of the latest one looked at

    def paced(self, frames: Generator[Frame]) -> Generator[Frame]:
        """The frames, with `realtime` none before its moment; of a live source they come like that by nature."""
        with closing(frames):
            for frame in frames:
                if self._realtime:
                    now = time.monotonic()
                    self._start = now - frame.time if self._start == inf else self._start
                    self._over.wait(max(0.0, self._start + frame.time - now))
                yield frame

    def made(self, frames: Iterable[Frame]) -> Generator[tuple[Frame, bool]]:
        """The frames, and whether each is to be looked at."""
        for number, frame in enumerate(frames):
            yield frame, number % self._every == 0 and (not self._realtime or self._in_time(frame))

    def end(self) -> None:
        """Ends all waiting, from any thread."""
        self._over.set()

    def _in_time(self, frame: Frame) -> bool:
        late = time.monotonic() - self._start - frame.time
        interval, self._latest = frame.time - self._latest, frame.time
        if late < interval or frame.time - self._looked >= self._patience:
            self._looked = frame.time
            return True
        return False


def sights(
    chosen: Iterable[tuple[Frame, bool]], perceive: Callable[[list[Frame]], Perceived], size: int
) -> Generator[list[Sight]]:
    """What is seen in frames, some at a time.

    Args:
        chosen: Frames, and whether each is to be looked at; the first one is.
        perceive: What is found in some frames.
        size: Frames at a time.
    """
    nothing: list[Sight] = []  # of the kind that is seen here, once that is known
    for batch in _batches(chosen, size):
        wanted = [frame for frame, looked in batch if looked]
        seen = list(map(Sight, wanted, *perceive(wanted))) if wanted else []
        nothing = [sight.unseen(sight.frame) for sight in seen[:1]] or nothing
        rows = iter(seen)
        yield [next(rows) if looked else nothing[0].unseen(frame) for frame, looked in batch]


def _batches(items: Iterable[T], size: int) -> Generator[list[T]]:
    """Some items at a time, the rest at the end; an error comes after the items before it."""
    batch: list[T] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch
