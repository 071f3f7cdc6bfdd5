"""Wall-clock time of the stages of a run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

STAGES = ("decode", "detect", "embed", "associate", "write")


class StageTimer:
    """Adds up the wall-clock time that is spent in each stage.

    Stages that work at the same time, in threads of their own, each add their own time.

    Attributes:
        seconds: Time spent so far, by the stage's name.
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Adds the time inside the `with` block to a stage."""
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
