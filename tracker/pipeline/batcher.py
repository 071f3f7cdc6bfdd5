"""Networks that several runs at once share: frames of all that wait are looked at together."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tracker.config import OutputConfig
from tracker.pipeline.analyzer import Stages
from tracker.pipeline.frame_sampler import Perceived
from tracker.structures.types import Frame

Seconds = dict[str, float]


@dataclass(frozen=True, eq=False, slots=True)
class _Request:
    """Frames that a run wants looked at, and what comes of it: what is found, and the run's share of the time."""

    frames: list[Frame]
    answer: Future[tuple[Perceived, Seconds]]


class DynamicBatcher:
    """Lends the networks of a pipeline to runs that go on at the same time.

    One thread looks. What is asked for while it is busy it looks at together, next, so that a GPU gets the frames of
    N cameras as a batch of N; no run ever waits for frames of another. In memory are at most the frames for which one
    run would wait, times the number of runs.
    """

    def __init__(self, stages: Stages) -> None:
        """Takes the networks; nobody else may use them, or closes them, before this is left."""
        self.stages = stages
        self._waiting: deque[_Request] = deque()
        self._pool = ThreadPoolExecutor(1, "share")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def look(self, frames: list[Frame]) -> tuple[Perceived, Seconds]:
        """What the networks see in some frames, and this call's share of the seconds that each stage took.

        Raises:
            BaseException: What looking raised, for any of the frames that were looked at together.
        """
        request = _Request(frames, Future())
        self._waiting.append(request)
        self._pool.submit(self._look)
        return request.answer.result()

    def _look(self) -> None:
        """Answers all requests that wait; there may be none, since an earlier call has answered them."""
        requests = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not requests:
            return
        before = dict(self.stages.seconds)
        try:
            seen = self.stages.perceive([frame for request in requests for frame in request.frames])
        except BaseException as error:
            for request in requests:
                request.answer.set_exception(error)
            return
        spent = {stage: seconds - before[stage] for stage, seconds in self.stages.seconds.items()}
        first, total = 0, len(seen[0])
        for request in requests:
            last = first + len(request.frames)
            found, embeddings, rescorers, class_probs = seen
            mine = found[first:last], embeddings[first:last], rescorers[first:last], class_probs[first:last]
            share = {stage: seconds * len(request.frames) / total for stage, seconds in spent.items()}
            request.answer.set_result((mine, share))
            first = last


class BatcherClient(Stages):
    """The stages of one of the runs that share networks: its counts are its own."""

    def __init__(self, host: DynamicBatcher, output: OutputConfig) -> None:
        """Takes the networks, and where this run's results go."""
        stages = host.stages
        super().__init__(stages.config.model_copy(update={"output": output}))
        self.embedders, self.classifiers, self.fine_labels = stages.embedders, stages.classifiers, stages.fine_labels
        self.seconds = dict.fromkeys(stages.seconds, 0.0)
        self._host = host

    @property
    def categories(self) -> tuple[str, ...]:
        return self._host.stages.categories

    @property
    def reid_class_ids(self) -> list[int]:
        return self._host.stages.reid_class_ids

    def perceive(self, frames: list[Frame]) -> Perceived:
        seen, spent = self._host.look(frames)
        for stage, seconds in spent.items():
            self.seconds[stage] += seconds
        return seen

    def describe(self) -> dict[str, Any]:
        return self._host.stages.describe()

    def close(self) -> None:
        """Leaves the networks, which are the host's, open."""
