"""The analysis of one frame: its detections, and what the networks say about them."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tracker.pipeline.class_voting import ClassProbabilities
from tracker.structures.types import Detections, Frame
from tracker.tracking import Rescorer, no_rescoring

T = TypeVar("T")
Embeddings = NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class FrameAnalysis:
    """The detections of one frame and what the networks say about them.

    Attributes:
        frame: The frame.
        detections: Its N detections.
        embeddings: float32 (N, D), appearance embeddings; D is 0 without an embedder.
        class_probs: float (N, C), probabilities of the fine classes; C is 0 without a classifier.
        rescore: Scores boxes of this frame again with the detector's RoI head; `no_rescoring` where that is off.
        detector_ran: False if the frame was skipped; it then has no detections, whatever it shows.
    """

    frame: Frame
    detections: Detections
    embeddings: Embeddings
    class_probs: ClassProbabilities
    rescore: Rescorer = no_rescoring
    detector_ran: bool = True

    def skipped(self, frame: Frame) -> "FrameAnalysis":
        """Returns the analysis of a skipped frame: arrays of the same kind as here, without rows."""
        return FrameAnalysis(frame, self.detections[:0], self.embeddings[:0], self.class_probs[:0], detector_ran=False)


def analyze_batches(
    selected: Iterable[tuple[Frame, bool]], analyze: Callable[[list[Frame]], list[FrameAnalysis]], batch_size: int
) -> Generator[list[FrameAnalysis]]:
    """Yields the analyses of frames, batch by batch.

    Args:
        selected: Frames, each with True if the detector runs on it; it runs on the first one.
        analyze: Analyzes some frames.
        batch_size: Frames in a batch, skipped ones included.
    """
    template: FrameAnalysis | None = None  # the kind of arrays of this source, for frames that are skipped
    for batch in _batches(selected, batch_size):
        wanted = [frame for frame, selected_ in batch if selected_]
        analyses = analyze(wanted) if wanted else []
        if analyses:
            template = analyses[0].skipped(analyses[0].frame)
        assert template is not None
        rows = iter(analyses)
        yield [next(rows) if selected_ else template.skipped(frame) for frame, selected_ in batch]


def _batches(items: Iterable[T], size: int) -> Generator[list[T]]:
    """Yields lists of `size` items, the last one shorter; an error is raised after the items before it."""
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
