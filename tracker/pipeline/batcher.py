"""Networks that several runs share: frames of all runs that wait are analyzed in one batch."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.frame_analysis import FrameAnalysis
from tracker.structures.boxes import Rectangle
from tracker.structures.types import Frame

Seconds = dict[str, float]


@dataclass(frozen=True, eq=False, slots=True)
class _Request:
    """Frames that a run wants analyzed, and the result: the analyses, and the run's part of the time they took."""

    frames: list[Frame]
    result: Future[tuple[list[FrameAnalysis], Seconds]]


class DynamicBatcher:
    """Analyzes frames for several runs at the same time, with one set of networks.

    One thread runs the networks. Requests that arrive while it is busy are analyzed together, next, so that a GPU gets
    the frames of N cameras as a batch of N; a run never waits for frames of another. Memory holds at most the frames
    for which one run would wait, times the number of runs.
    """

    def __init__(self, analyzer: FrameAnalyzer) -> None:
        """Takes the networks, which nothing else may use or close while this is open."""
        self.analyzer = analyzer
        self._waiting: deque[_Request] = deque()
        self._pool = ThreadPoolExecutor(1, "batcher")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def analyze(self, frames: list[Frame]) -> tuple[list[FrameAnalysis], Seconds]:
        """Returns the analyses of some frames, and this request's part of the seconds that each stage took.

        Raises:
            BaseException: Raised by the analysis of any of the frames that were analyzed together.
        """
        request = _Request(frames, Future())
        self._waiting.append(request)
        self._pool.submit(self._analyze_waiting)
        return request.result.result()

    def _analyze_waiting(self) -> None:
        """Completes all requests that wait; there may be none, if an earlier call completed them."""
        requests = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not requests:
            return
        before = dict(self.analyzer.timer.seconds)
        try:
            analyses = self.analyzer.analyze([frame for request in requests for frame in request.frames])
        except BaseException as error:
            for request in requests:
                request.result.set_exception(error)
            return
        spent = {stage: seconds - before.get(stage, 0.0) for stage, seconds in self.analyzer.timer.seconds.items()}
        first, total = 0, len(analyses)
        for request in requests:
            last = first + len(request.frames)
            part = {stage: seconds * len(request.frames) / total for stage, seconds in spent.items()}
            request.result.set_result((analyses[first:last], part))
            first = last


class BatcherClient(FrameAnalyzer):
    """The analyzer of one of the runs that share networks; its times are its own."""

    def __init__(self, batcher: DynamicBatcher) -> None:
        """Takes the shared networks."""
        shared = batcher.analyzer
        super().__init__(shared.config)
        self.embedder, self.classifier = shared.embedder, shared.classifier
        self.fine_class_ids = shared.fine_class_ids
        self._batcher = batcher

    @property
    def categories(self) -> tuple[str, ...]:
        return self._batcher.analyzer.categories

    @property
    def reid_class_ids(self) -> list[int]:
        return self._batcher.analyzer.reid_class_ids

    @property
    def neutral_distance(self) -> float:
        return self._batcher.analyzer.neutral_distance

    def tiles(self, height: int, width: int) -> list[Rectangle]:
        return self._batcher.analyzer.tiles(height, width)

    def analyze(self, frames: list[Frame]) -> list[FrameAnalysis]:
        analyses, spent = self._batcher.analyze(frames)
        for stage, seconds in spent.items():
            self.timer.seconds[stage] = self.timer.seconds.get(stage, 0.0) + seconds
        return analyses

    def describe(self) -> dict[str, Any]:
        return self._batcher.analyzer.describe()

    def close(self) -> None:
        """Leaves the shared networks open."""
