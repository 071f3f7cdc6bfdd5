"""What a run of two looks keeps of all frames of a file, in as little space as it can."""

import zlib
from array import array
from collections.abc import Generator, Iterator

import numpy as np
from numpy.typing import NDArray

from tracker.pipeline.class_voting import ClassProbabilities, ClassVoter
from tracker.structures.types import Detections, Frame, MaskedDetections, MaskedTracks, Tracks
from tracker.video import Source, blank_image


class FrameTimes:
    """Index, time and pts of frames: 24 bytes each."""

    def __init__(self) -> None:
        self._whole = array("q")
        self._times = array("d")

    def add(self, frame: Frame) -> None:
        self._whole.extend((frame.index, frame.pts))
        self._times.append(frame.time)

    def __iter__(self) -> Iterator[tuple[int, float, int]]:
        for n, moment in enumerate(self._times):
            yield self._whole[2 * n], moment, self._whole[2 * n + 1]

    def blank(self, source: Source) -> Generator[Frame]:
        """The frames, without their pictures."""
        image = blank_image(source.width, source.height)
        for index, moment, pts in self:
            yield Frame(index, moment, pts, image)


class MaskBuffer:
    """The masks of all frames, compressed: some 300 bytes for each detection, and none of a network without masks."""

    def __init__(self) -> None:
        self._frames: list[tuple[NDArray[np.float32], tuple[int, ...], bytes]] = []

    def add(self, detections: Detections) -> None:
        if isinstance(detections, MaskedDetections):
            masks = detections.masks
            self._frames.append((detections.boxes, masks.shape, zlib.compress(masks.tobytes(), 1)))

    def attach_masks(self, tracks: Tracks, number: int) -> Tracks:
        """The tracks of the frame that was added as this one, from 0, with their masks, where there are any."""
        if not self._frames:
            return tracks
        boxes, shape, packed = self._frames[number]
        return MaskedTracks.of(tracks, boxes, np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape))


class VoteBuffer:
    """What a classifier says of the detections of all frames, 2 bytes for each class of each; nothing without one."""

    def __init__(self, ballot: ClassVoter) -> None:
        self.ballot = ballot
        self._frames: list[ClassProbabilities] = []

    def add(self, class_probs: ClassProbabilities) -> None:
        if class_probs.shape[1]:
            self._frames.append(class_probs.astype(np.float16))

    def counted(self, final: Iterator[Tracks]) -> Iterator[Tracks]:
        """The tracks of all frames, once those of all frames have voted."""
        if not self._frames:
            return final
        whole = list(final)
        for tracks, class_probs in zip(whole, self._frames, strict=True):
            self.ballot.count(tracks, class_probs)
        return iter(whole)
