"""Data of all frames of a file that an offline run keeps between its two passes, in little memory."""

import zlib
from array import array
from collections.abc import Generator, Iterator

import numpy as np
from numpy.typing import NDArray

from tracker.pipeline.class_voting import ClassProbabilities, ClassVoter
from tracker.structures.fit import Fit
from tracker.structures.types import Detections, Frame, Tracks
from tracker.video import Source, blank_image


class FrameTimes:
    """Index, time and pts of frames, 24 bytes each, and the places of pictures of another size than the first."""

    def __init__(self) -> None:
        self._integers = array("q")
        self._times = array("d")
        self._fits: dict[int, Fit] = {}  # by the number of the frame

    def add(self, frame: Frame) -> None:
        self._integers.extend((frame.index, frame.pts))
        if frame.fit is not None:
            self._fits[len(self._times)] = frame.fit
        self._times.append(frame.time)

    def __iter__(self) -> Iterator[tuple[int, float, int]]:
        for n, time in enumerate(self._times):
            yield self._integers[2 * n], time, self._integers[2 * n + 1]

    def without_images(self, source: Source) -> Generator[Frame]:
        """Yields the frames with a blank image."""
        image = blank_image(source.width, source.height)
        for number, (index, time, pts) in enumerate(self):
            yield Frame(index, time, pts, image, self._fits.get(number))


class MaskBuffer:
    """The masks of all frames, compressed: about 300 bytes a detection; empty for a network without masks."""

    def __init__(self) -> None:
        self._frames: list[tuple[NDArray[np.float32], tuple[int, ...], bytes]] = []

    def add(self, detections: Detections) -> None:
        masks = detections.data.get("masks")
        if masks is not None:
            self._frames.append((detections.boxes, masks.shape, zlib.compress(masks.tobytes(), 1)))

    def attach_masks(self, tracks: Tracks, number: int) -> Tracks:
        """Returns the tracks of the n-th frame that was added, from 0, with their masks if there are any."""
        if not self._frames:
            return tracks
        boxes, shape, packed = self._frames[number]
        return tracks.with_masks(boxes, np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape))


class VoteBuffer:
    """The class probabilities of the detections of all frames, 2 bytes each; empty without a classifier."""

    def __init__(self, voter: ClassVoter) -> None:
        self.voter = voter
        self._frames: list[ClassProbabilities] = []

    def add(self, class_probs: ClassProbabilities) -> None:
        if class_probs.shape[1]:
            self._frames.append(class_probs.astype(np.float16))

    def count_all(self, final: Iterator[Tracks]) -> Iterator[Tracks]:
        """Yields the tracks of all frames, after the detections of all frames have voted."""
        if not self._frames:
            return final
        tracks_of_frames = list(final)
        for tracks, class_probs in zip(tracks_of_frames, self._frames, strict=True):
            self.voter.count(tracks, class_probs)
        return iter(tracks_of_frames)


class EmbeddingBuffer:
    """The embeddings of the detections of all frames, 2 bytes a number; empty if they are not wanted."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._frames: list[NDArray[np.float16]] = []

    def add(self, embeddings: NDArray[np.float32]) -> None:
        if self._wanted and embeddings.shape[1]:
            self._frames.append(embeddings.astype(np.float16))

    def attach_all(self, final: Iterator[Tracks]) -> Iterator[Tracks]:
        """Yields the tracks of all frames with the embeddings of their matched detections."""
        if not self._frames:
            yield from final
            return
        for tracks, embeddings in zip(final, self._frames, strict=True):
            yield tracks.with_embeddings(embeddings.astype(np.float32))
