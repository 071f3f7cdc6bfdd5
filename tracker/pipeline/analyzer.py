"""From frames to tracks: what all ways of tracking share, wherever the detections come from."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from tracker.config import Config, TrackerConfig
from tracker.errors import InputError, did_you_mean
from tracker.pipeline.class_voting import ClassProbabilities, ClassVoter
from tracker.pipeline.frame_sampler import Embeddings, FrameSampler, Perceived, Sight, sights
from tracker.pipeline.offline_buffer import FrameTimes, MaskBuffer, VoteBuffer
from tracker.pipeline.prefetch import Fills, prefetch
from tracker.structures.types import Detections, Frame, MaskedDetections, MaskedTracks, Tracks
from tracker.tracking import DeepSort
from tracker.tracking.camera_motion import CameraMotion
from tracker.video import Source, check_span

if TYPE_CHECKING:
    from tracker.models.reid import Classifier, Embedder
    from tracker.tracking.offline import OfflineTracker

Boxes = NDArray[np.float32]

Observer = Callable[[Sight], bool]
"""Is shown what was seen in each frame before it is tracked. False ends the first of two looks there."""

_READ_AHEAD = 16
"""Frames that may wait while the detector is at work, where each is to be shown in its turn and at its own pace."""


class Stages(ABC):
    """Finds the objects in frames and tracks them; each run over a source has a tracker of its own.

    Attributes:
        config: All settings; what they leave to the embedder's file is filled in.
        embedders: One embedder, or none.
        classifiers: One classifier of crops, or none.
        fine_labels: Labels of the classes of which it tells finer ones.
        seconds: Time spent in each stage so far, by the stage's name; stages that work at the same time each count it.
        overlap: Whether stages work at the same time; without, each waits for the others, and its time is its own.
        fills: How much waited between stages that work at the same time.
        predicted: Frames in which nobody looked, since `detect_every` or `realtime` left them out.
        filtered_out: Stored detections that are not tracked, because of their score, class or place.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.embedders: list[Embedder] = []
        self.classifiers: list[Classifier] = []
        self.fine_labels: list[int] = []
        self.seconds = dict.fromkeys(("decode", "detect", "embed", "associate", "write"), 0.0)
        self.overlap = True
        self.queue_stats: Fills = {}
        self.predicted = self.filtered_out = 0

    @property
    @abstractmethod
    def categories(self) -> tuple[str, ...]:
        """Class names, by label."""

    @property
    def reid_class_ids(self) -> list[int]:
        """Labels of the classes whose individuals the embedder was trained to tell apart."""
        known = {name for embedder in self.embedders for name in embedder.info.categories}
        return [n for n, name in enumerate(self.categories) if name in known]

    def set_embedder(self, embedder: "Embedder") -> None:
        """Takes an embedder; what its file says fills the settings that are left to it."""
        self.embedders.append(embedder)
        self.with_neutral_distance(embedder.info.max_distance)

    def with_neutral_distance(self, distance: float) -> None:
        """Takes the neutral distance of what embeds, unless the config sets one; 0 is none."""
        settings = self.config.tracker.with_neutral_distance(distance)
        self.config = self.config.model_copy(update={"tracker": settings})

    def set_classifier(self, classifier: "Classifier") -> None:
        """Lets a classifier judge the crops of the classes that the config names.

        Raises:
            InputError: One of these is unknown.
        """
        wanted = self.config.appearance.classify_classes or self.categories
        for name in wanted:
            if name not in self.categories:
                raise InputError(
                    f"--classify-classes: unknown class {name!r}{did_you_mean(name, list(self.categories))}"
                )
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

        Threads read the source and look for objects ahead of what is asked for; the result does not depend on it.
        The generator's end, or closing it, ends them. With `offline` the source is first read to its end, and what
        comes are the final tracks.

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

    def judged(self, images: list[Any], boxes: list[Boxes], found: list[Detections]) -> list[ClassProbabilities]:
        """What the classifier says of detections, whose boxes (N, 4) in pictures that were uploaded are given."""
        for classifier in self.classifiers:
            with self.timed("classify"):
                asked = [np.isin(detections.labels, self.fine_labels) for detections in found]
                judged = classifier.classify(images, [rows[mask] for rows, mask in zip(boxes, asked, strict=True)])
                return [_spread(rows, mask) for rows, mask in zip(judged, asked, strict=True)]
        return [np.zeros((len(rows), 0), np.float32) for rows in boxes]

    def _ballot(self) -> ClassVoter:
        names = [classifier.info.categories for classifier in self.classifiers]
        return ClassVoter(names[0] if names else (), self.fine_labels)

    def room(self, source: Source) -> int:
        """Most frames that may wait between two stages.

        So a live source's present is not kept waiting, and at most 2 x `batch_size` x (`detect_every` + 1) frames of a
        file are in memory, and one more.
        """
        if not self.overlap:
            return 0
        return 1 if source.live else self.config.detector.batch_size

    def _run_online(self, source: Source, observe: Observer) -> Generator[tuple[Frame, Tracks]]:
        tracker = DeepSort(self.config.tracker, self.reid_class_ids, _size(source))
        camera = CameraMotion(self.config.tracker.camera_motion)
        ballot = self._ballot()
        with closing(self._sights(source)) as sights:
            for sight in sights:
                observe(sight)
                with self.timed("associate"):
                    tracks = self._followed(tracker, camera, sight)
                ballot.count(tracks, sight.class_probs)
                ballot.keep(tracker.table.ids.tolist())
                yield sight.frame, ballot.named(tracks)

    def _followed(self, tracker: DeepSort, camera: CameraMotion, sight: Sight) -> Tracks:
        frame, found = sight.frame, sight.detections
        if sight.looked:
            motion = camera.update(frame.image, found.boxes)
            tracks = tracker.update(found, sight.embeddings, frame.time, motion, sight.rescore)
        else:
            tracks = tracker.predict(frame.time)
        return MaskedTracks.of(tracks, found.boxes, found.masks) if isinstance(found, MaskedDetections) else tracks

    def _run_offline(self, source: Source, observe: Observer, pictures: bool) -> Generator[tuple[Frame, Tracks]]:
        tracker = offline_tracker(self.config.tracker, self.reid_class_ids, _size(source))
        camera = CameraMotion(self.config.tracker.camera_motion)
        moments, masks, votes = FrameTimes(), MaskBuffer(), VoteBuffer(self._ballot())
        with closing(self._sights(source)) as sights:
            for sight in sights:
                moments.add(sight.frame)
                masks.add(sight.detections)
                votes.add(sight.class_probs)
                with self.timed("associate"):
                    self._noted(tracker, camera, sight)
                if not observe(sight):
                    break
        final = votes.counted(tracker.finish())
        again = prefetch(self._frames_again(source, moments), self.room(source), "read", self.queue_stats)
        with closing(again if pictures else moments.blank(source)) as frames:
            for number, frame in enumerate(frames):
                with self.timed("associate"):
                    tracks = next(final)
                yield frame, votes.ballot.named(masks.attach_masks(tracks, number))

    def _noted(self, tracker: "OfflineTracker", camera: CameraMotion, sight: Sight) -> None:
        frame, found = sight.frame, sight.detections
        if sight.looked:
            motion = camera.update(frame.image, found.boxes)
            tracker.update(found, sight.embeddings, frame.time, motion, sight.rescore)
        else:
            tracker.skip(frame.time)

    def _frames_again(self, source: Source, moments: FrameTimes) -> Generator[Frame]:
        """The frames that were read before, from the source opened anew."""
        with source.again() as again:
            frames = iter(again)
            for index, moment, _ in moments:
                with self.timed("decode"):
                    frame = next(frames, None)
                if frame is None or (frame.index, frame.time) != (index, moment):
                    raise InputError(f"{source.spec} held other frames when it was read again: run again on a copy")
                yield frame

    def _sights(self, source: Source) -> Generator[Sight]:
        """What is seen in each frame of a source; two threads are ahead of who asks, one reads and one looks."""
        choice = FrameSampler(self.config)
        frames = prefetch(choice.paced(self._decoded(source)), self._read_ahead(source), "read", self.queue_stats)
        # Without pictures there is less to do than to hand over.
        looks_ahead = int(source.has_pictures and self.overlap)
        batches = prefetch(self._seen(frames, choice, source), looks_ahead, "look", self.queue_stats)
        with closing(batches):
            try:
                for batch in batches:
                    for sight in batch:
                        self.predicted += not sight.looked
                        yield sight
            finally:
                choice.end()

    def _read_ahead(self, source: Source) -> int:
        """How many frames to read ahead: none of a live source, which reads itself, and whose newest frame counts."""
        if self.config.detector.realtime:
            return _READ_AHEAD
        return self.room(source) if source.has_pictures and not source.live else 0

    def _decoded(self, source: Source) -> Generator[Frame]:
        frames = iter(source)
        while True:
            with self.timed("decode"):
                frame = next(frames, None)
            if frame is None:
                return
            yield frame

    def _seen(self, frames: Generator[Frame], choice: FrameSampler, source: Source) -> Generator[list[Sight]]:
        detector = self.config.detector
        size = 1 if source.live or detector.realtime else detector.batch_size * detector.detect_every
        with closing(frames):
            yield from sights(choice.made(frames), self.perceive, size)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time inside to a stage's."""
        start = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - start


def _spread(rows: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Rows of the True ones among N, and 0 for the others: (N, columns)."""
    whole = np.zeros((len(mask), rows.shape[1]), np.float32)
    whole[mask] = rows
    return whole


def offline_tracker(
    config: TrackerConfig, reid_class_ids: Collection[int], size: tuple[float, float]
) -> "OfflineTracker":
    """The tracker of two looks; arguments as those of `DeepSort`."""
    # Few runs need it, and it takes time to load.
    from tracker.tracking.offline import OfflineTracker

    return OfflineTracker(config, reid_class_ids, size)


def check_config(config: Config) -> None:
    """Makes sure that settings go together.

    Raises:
        InputError: They do not.
    """
    check_span(config.source)
    if config.tracker.offline and config.detector.realtime:
        raise InputError("--offline looks at all frames before it writes, in no hurry: leave out --realtime")


def check_source(config: Config, source: Source) -> None:
    """Makes sure that a source has what a config asks for.

    Raises:
        InputError: As `check_config`; or it is live, but to be read twice; or has no pictures, but these are to be
            looked at.
    """
    check_config(config)
    if config.tracker.offline and source.live:
        raise InputError(f"{source.spec} is live, and --offline needs all of a video before it writes: leave it out")
    if config.tracker.camera_motion != "none" and not source.has_pictures:
        raise InputError("--camera-motion looks at the pictures: give --video, or leave it out")
    if config.appearance.classify and not source.has_pictures:
        raise InputError("--classify looks at the pictures: give --video, or leave it out")


def _size(source: Source) -> tuple[float, float]:
    """Width and height of the pictures, infinite where they are unknown."""
    return source.width or float("inf"), source.height or float("inf")
