"""From frames to tracks: what all ways of tracking share, wherever the detections come from."""

import time
import zlib
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from tracker.config import Config, TrackerConfig
from tracker.errors import InputError, did_you_mean
from tracker.tracking import DeepSort, Rescorer
from tracker.tracking.camera import CameraMotion
from tracker.types import Detections, Frame, MaskedDetections, MaskedTracks, Tracks
from tracker.video import Source, blank_image
from tracker.voting import Ballot, Opinions

if TYPE_CHECKING:
    from tracker.appearance import Classifier, Embedder
    from tracker.tracking.offline import SecondLook

Boxes = NDArray[np.float32]
Embeddings = NDArray[np.float32]
Perceived = tuple[list[Detections], list[Embeddings], list[Rescorer], list[Opinions]]
"""Of some frames: detections, embeddings, (N, D) or, without an embedder, (N, 0), what looks at boxes again, and what a
classifier says of each detection, (N, C) or, without one, (N, 0)."""

Observer = Callable[[Frame, Detections], bool]
"""Is shown the detections of each frame before they are tracked. False ends the first of two looks there."""


class Stages(ABC):
    """Finds the objects in frames and tracks them; each run over a source has a tracker of its own.

    Attributes:
        config: All settings; what they leave to the embedder's file is filled in.
        embedders: One embedder, or none.
        classifiers: One classifier of crops, or none.
        fine_labels: Labels of the classes of which it tells finer ones.
        seconds: Time spent in each stage so far, by the stage's name.
        left_out: Stored detections that are not tracked, because of their score, class or place.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.embedders: list[Embedder] = []
        self.classifiers: list[Classifier] = []
        self.fine_labels: list[int] = []
        self.seconds = dict.fromkeys(("decode", "detect", "embed", "associate", "write"), 0.0)
        self.left_out = 0

    @property
    @abstractmethod
    def categories(self) -> tuple[str, ...]:
        """Class names, by label."""

    @property
    def embedded_labels(self) -> list[int]:
        """Labels of the classes whose individuals the embedder was trained to tell apart."""
        known = {name for embedder in self.embedders for name in embedder.info.categories}
        return [n for n, name in enumerate(self.categories) if name in known]

    def embed_with(self, embedder: "Embedder") -> None:
        """Takes an embedder; what its file says fills the settings that are left to it."""
        self.embedders.append(embedder)
        self.measured_for(embedder.info.max_distance)

    def measured_for(self, distance: float) -> None:
        """Takes the neutral distance of what embeds, unless the config sets one; 0 is none."""
        settings = self.config.tracker.measured_for(distance)
        self.config = self.config.model_copy(update={"tracker": settings})

    def classify_with(self, classifier: "Classifier") -> None:
        """Lets a classifier judge the crops of the classes that the config names.

        Raises:
            InputError: One of these is unknown.
        """
        wanted = self.config.appearance.classify_of or self.categories
        for name in wanted:
            if name not in self.categories:
                raise InputError(f"--classify-of: unknown class {name!r}{did_you_mean(name, list(self.categories))}")
        self.classifiers.append(classifier)
        self.fine_labels = [n for n, name in enumerate(self.categories) if name in wanted]
        self.seconds["classify"] = 0.0

    @abstractmethod
    def perceive(self, frames: list[Frame]) -> Perceived:
        """What is found in some frames."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What a run's record says of the stages: device, weights."""

    @abstractmethod
    def close(self) -> None:
        """Ends the networks' threads."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(
        self, source: Source, observe: Observer = lambda *_: True, pictures: bool = True
    ) -> Generator[tuple[Frame, Tracks]]:
        """Tracks the frames of an open source; frames without any track come too.

        With `offline` the source is first read to its end, and what comes are the final tracks.

        Args:
            source: Read once; with `offline` and `pictures` it is opened again for the frames that come.
            observe: See `Observer`.
            pictures: Whether the frames that come need their pictures.

        Raises:
            InputError: The config asks for what the source cannot give (see `check_source`).
        """
        check_source(self.config, source)
        if self.config.tracker.offline:
            return self._run_offline(source, observe, pictures and source.has_pictures)
        return self._run_online(source, observe)

    def embedded(self, images: list[Any], boxes: list[Boxes]) -> list[Embeddings]:
        """What the embedder says of boxes (N, 4) of pictures that were uploaded; without one, (N, 0)."""
        for embedder in self.embedders:
            return embedder.embed(images, boxes)
        return [np.zeros((len(rows), 0), np.float32) for rows in boxes]

    def judged(self, images: list[Any], boxes: list[Boxes], found: list[Detections]) -> list[Opinions]:
        """What the classifier says of detections, whose boxes (N, 4) in pictures that were uploaded are given."""
        for classifier in self.classifiers:
            with self.timed("classify"):
                asked = [np.isin(detections.labels, self.fine_labels) for detections in found]
                judged = classifier.classify(images, [rows[mask] for rows, mask in zip(boxes, asked, strict=True)])
                return [_spread(rows, mask) for rows, mask in zip(judged, asked, strict=True)]
        return [np.zeros((len(rows), 0), np.float32) for rows in boxes]

    def _ballot(self) -> Ballot:
        names = [classifier.info.categories for classifier in self.classifiers]
        return Ballot(names[0] if names else (), self.fine_labels)

    def _run_online(self, source: Source, observe: Observer) -> Generator[tuple[Frame, Tracks]]:
        tracker = DeepSort(self.config.tracker, self.embedded_labels, _size(source))
        camera = CameraMotion(self.config.tracker.camera_motion)
        ballot = self._ballot()
        for frame, detections, embeddings, rescore, opinions in self._perceived(source):
            observe(frame, detections)
            with self.timed("associate"):
                motion = camera.update(frame.image, detections.boxes)
                tracks = tracker.update(detections, embeddings, frame.time, motion, rescore)
            if isinstance(detections, MaskedDetections):
                tracks = MaskedTracks.of(tracks, detections.boxes, detections.masks)
            ballot.count(tracks, opinions)
            ballot.keep(tracker.table.ids.tolist())
            yield frame, ballot.named(tracks)

    def _run_offline(self, source: Source, observe: Observer, pictures: bool) -> Generator[tuple[Frame, Tracks]]:
        tracker = second_look(self.config.tracker, self.embedded_labels, _size(source))
        camera = CameraMotion(self.config.tracker.camera_motion)
        moments, masks, votes = _Moments(), _Masks(), _Votes(self._ballot())
        for frame, detections, embeddings, rescore, opinions in self._perceived(source):
            moments.add(frame)
            masks.add(detections)
            votes.add(opinions)
            with self.timed("associate"):
                motion = camera.update(frame.image, detections.boxes)
                tracker.update(detections, embeddings, frame.time, motion, rescore)
            if not observe(frame, detections):
                break
        final = votes.counted(tracker.finish())
        with closing(self._frames_again(source, moments) if pictures else moments.blank(source)) as frames:
            for number, frame in enumerate(frames):
                with self.timed("associate"):
                    tracks = next(final)
                yield frame, votes.ballot.named(masks.put_on(tracks, number))

    def _frames_again(self, source: Source, moments: "_Moments") -> Generator[Frame]:
        """The frames that were read before, from the source opened anew."""
        with source.again() as again:
            frames = iter(again)
            for index, moment, _ in moments:
                with self.timed("decode"):
                    frame = next(frames, None)
                if frame is None or (frame.index, frame.time) != (index, moment):
                    raise InputError(f"{source.spec} held other frames when it was read again: run again on a copy")
                yield frame

    def _perceived(self, source: Source) -> Iterator[tuple[Frame, Detections, Embeddings, Rescorer, Opinions]]:
        size = 1 if source.live else self.config.detector.batch_size
        frames = iter(source)
        while batch := self._read(frames, size):
            yield from zip(batch, *self.perceive(batch), strict=True)

    def _read(self, frames: Iterator[Frame], size: int) -> list[Frame]:
        with self.timed("decode"):
            return list(islice(frames, size))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time inside to a stage's."""
        start = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - start


class _Moments:
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


class _Masks:
    """The masks of all frames, compressed: some 300 bytes for each detection, and none of a network without masks."""

    def __init__(self) -> None:
        self._frames: list[tuple[NDArray[np.float32], tuple[int, ...], bytes]] = []

    def add(self, detections: Detections) -> None:
        if isinstance(detections, MaskedDetections):
            masks = detections.masks
            self._frames.append((detections.boxes, masks.shape, zlib.compress(masks.tobytes(), 1)))

    def put_on(self, tracks: Tracks, number: int) -> Tracks:
        """The tracks of the frame that was added as this one, from 0, with their masks, where there are any."""
        if not self._frames:
            return tracks
        boxes, shape, packed = self._frames[number]
        return MaskedTracks.of(tracks, boxes, np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape))


class _Votes:
    """What a classifier says of the detections of all frames, 2 bytes for each class of each; nothing without one."""

    def __init__(self, ballot: Ballot) -> None:
        self.ballot = ballot
        self._frames: list[Opinions] = []

    def add(self, opinions: Opinions) -> None:
        if opinions.shape[1]:
            self._frames.append(opinions.astype(np.float16))

    def counted(self, final: Iterator[Tracks]) -> Iterator[Tracks]:
        """The tracks of all frames, once those of all frames have voted."""
        if not self._frames:
            return final
        whole = list(final)
        for tracks, opinions in zip(whole, self._frames, strict=True):
            self.ballot.count(tracks, opinions)
        return iter(whole)


def _spread(rows: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Rows of the True ones among N, and 0 for the others: (N, columns)."""
    whole = np.zeros((len(mask), rows.shape[1]), np.float32)
    whole[mask] = rows
    return whole


def second_look(config: TrackerConfig, embedded_labels: Collection[int], size: tuple[float, float]) -> "SecondLook":
    """The tracker of two looks; arguments as those of `DeepSort`."""
    # Few runs need it, and it takes time to load.
    from tracker.tracking.offline import SecondLook

    return SecondLook(config, embedded_labels, size)


def check_source(config: Config, source: Source) -> None:
    """Makes sure that a source has what a config asks for.

    Raises:
        InputError: It is live, but to be read twice; or has no pictures, but these are to be looked at.
    """
    if config.tracker.offline and source.live:
        raise InputError(f"{source.spec} is live, and --offline needs all of a video before it writes: leave it out")
    if config.tracker.camera_motion != "none" and not source.has_pictures:
        raise InputError("--camera-motion looks at the pictures: give --video, or leave it out")
    if config.appearance.classify and not source.has_pictures:
        raise InputError("--classify looks at the pictures: give --video, or leave it out")


def _size(source: Source) -> tuple[float, float]:
    """Width and height of the pictures, infinite where they are unknown."""
    return source.width or float("inf"), source.height or float("inf")
