"""`Tracker` tracks the detections of a program's own detector, frame by frame."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.config import Config, load_config
from tracker.data.detection_input import Boxes, split_detections, to_boxes, to_embeddings, to_labels, to_scores
from tracker.data.image_input import Picture, to_image
from tracker.data.time_input import Seconds, TimeCheck
from tracker.errors import InputError, did_you_mean
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.frame_analysis import Embeddings, FrameAnalysis
from tracker.pipeline.online import OnlineTracker
from tracker.structures.boxes import area, clip
from tracker.structures.types import Detections, Frame, Tracks
from tracker.tracking.object_limits import check_limits
from tracker.video import blank_image

logger = logging.getLogger(__name__)

_PATIENCE = 30
"""Frames with detections of which none may start a track, until a warning says so."""


class Tracker:
    """A tracker of the detections of any detector, frame by frame; `tracker.track` runs the detector too.

    The same detections give the same tracks as with `retrack`: those below `config.detector.score` and of other classes
    than `config.detector.classes` are left out, and the settings `tracker` and `appearance` apply.

    Attributes:
        config: All settings.

    Example:
        >>> with Tracker() as tracker:
        ...     for number in range(3):
        ...         tracks = tracker.update([[10 + 4 * number, 20, 50 + 4 * number, 100]], [0.9], time=number / 25)
        >>> tracks.ids.tolist(), tracks.detection_index.tolist()
        ([1], [0])
    """

    def __init__(
        self,
        config: Config | str | Path | Mapping[str, Any] | None = None,
        *,
        categories: Sequence[str] = (),
        size: tuple[int, int] | None = None,
    ) -> None:
        """Starts without tracks; networks are loaded when the first picture comes.

        Args:
            config: All settings, see `load_config`; None for the defaults.
            categories: Class names by label, for labels that are numbers.
            size: Width and height of the pictures, pixels, so that objects are known to leave where no picture is
                given.

        Raises:
            InputError: The config cannot be used, or asks for what this class cannot do.
        """
        self.config = load_config({} if config is None else config).for_given_detections()
        _check_config(self.config)
        self._analyzer = _GivenDetections(self.config, categories)
        self._size = size
        self._online: OnlineTracker | None = None
        self._check_time = TimeCheck()
        self._count = 0
        self._has_image = False
        self._dimension: int | None = None  # of the embeddings that a program gives, 0 before the first one
        self._told_outside = False
        self._frames_without_start = 0

    def update(
        self,
        boxes: Boxes,
        scores: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        *,
        time: Seconds,
        image: Picture | None = None,
        embeddings: ArrayLike | None = None,
    ) -> Tracks:
        """Tracks the next frame; to be called for every frame, also for those without detections.

        Args:
            boxes: (N, 4), x1 y1 x2 y2 in pixels: lists, arrays of any number type, tensors of PyTorch; or a whole
                `supervision.Detections` or `Detections`, without `scores` and `labels`.
            scores: (N,), from 0 to 1; None for 1.
            labels: (N,), names of classes, or their numbers from 0 on; None for 0.
            time: Seconds, of any clock that ascends.
            image: The picture, for the embedder, the classifier and the compensation of camera motion; see `to_image`.
                With every frame or with none. Without it, tracking is by motion alone.
            embeddings: (N, D), of a program's own embedder, scaled here to a length of 1. With every frame or with
                none.

        Returns:
            The confirmed tracks; `detection_index` is the row of the given boxes.

        Raises:
            InputError: Something cannot be used; the tracker is then as it was, and one sentence says what is wrong.
        """
        analyzer = self._analyzer
        given = split_detections(boxes, scores, labels)
        picture = None if image is None else to_image(image, "the image")
        self._check_same_kind(picture, embeddings)
        own_boxes = to_boxes(given[0], fractions_allowed=picture is None and self._size is None)
        count = len(own_boxes)
        own_scores, own_labels = to_scores(given[1], count), to_labels(given[2], count)
        analyzer.check_labels(own_labels)
        vectors = None if embeddings is None else self._to_embeddings(embeddings, count)
        seconds = self._check_time(time)
        detections = Detections(own_boxes, own_scores, analyzer.to_numbers(own_labels))
        online = self._start(picture, vectors)
        online.sort.add_reid_class_ids(analyzer.reid_class_ids if vectors is None else detections.labels.tolist())
        rows = self._select(detections)
        analyzer.give(detections[rows], None if vectors is None else vectors[rows])
        size = (0, 0) if self._size is None else self._size
        frame = Frame(self._count, seconds, self._count, blank_image(*size) if picture is None else picture)
        (analysis,) = analyzer.analyze([frame])
        self._count += 1
        self._warn_of_low_scores(analysis.detections)
        return _with_rows(online.update(analysis), rows)

    def predict(self, time: Seconds) -> Tracks:
        """Predicts the tracks for a frame on which the detector did not run; the tracker stays as it is.

        Raises:
            InputError: The time is not after that of the latest frame, or there was no frame yet.
        """
        if self._online is None:
            raise InputError("there is nothing to predict from: call update for a first frame")
        return self._online.predict(TimeCheck()(time))

    def close(self) -> None:
        """Ends the threads of the networks, and says where there were more objects than there can be."""
        if self._online is not None:
            self._online.sort.limits.warn()
        self._analyzer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_same_kind(self, picture: NDArray[np.uint8] | None, embeddings: object) -> None:
        """Checks that pictures and embeddings come with every frame or with none, and pictures in one size."""
        if picture is not None and self._size not in (None, picture.shape[1::-1]):
            raise InputError(
                f"the image is {picture.shape[1]}x{picture.shape[0]}, and the size that was given or that of those "
                f"before is {self._size[0]}x{self._size[1]}: resize it"
            )
        if self._online is None:
            needs_image = self.config.tracker.camera_motion in ("flow", "ecc") or self.config.appearance.classify
            if needs_image and picture is None:
                raise InputError("camera_motion and classify need the pictures: give image with every frame")
            return
        for name, came, comes in (
            ("image", self._has_image, picture is not None),
            ("embeddings", self._dimension is not None, embeddings is not None),
        ):
            if came != comes:
                text = "came with the first frame, and not now" if came else "did not come with the first frame"
                raise InputError(f"{name} {text}: give it with every frame or with none")

    def _to_embeddings(self, embeddings: ArrayLike, count: int) -> NDArray[np.float32]:
        vectors = to_embeddings(embeddings, count)
        if count and self._dimension and vectors.shape[1] != self._dimension:
            raise InputError(f"the embeddings have {vectors.shape[1]} numbers, and those before {self._dimension}")
        return vectors

    def _start(self, picture: NDArray[np.uint8] | None, vectors: NDArray[np.float32] | None) -> OnlineTracker:
        """Returns the tracker, which is made for the first frame."""
        if picture is not None:
            self._size = picture.shape[1], picture.shape[0]
        if vectors is not None:
            self._dimension = self._dimension or vectors.shape[1]
        if self._online is None:
            if picture is not None:
                self._analyzer.load_networks(with_embedder=vectors is None)
            self._has_image = picture is not None
            config = self.config.tracker.with_neutral_distance(self._analyzer.neutral_distance)
            settings = self.config.model_copy(update={"tracker": config})
            self._online = OnlineTracker(settings, self._analyzer, self._size or (np.inf, np.inf))
        return self._online

    def _select(self, detections: Detections) -> NDArray[np.int64]:
        """Returns the rows of the detections that are tracked, as `StoredDetections.filter` selects them."""
        filters = self.config.detector
        keep = detections.scores >= filters.score
        for label, name in enumerate(self._analyzer.categories if filters.class_scores else ()):
            least = filters.class_scores.get(name, filters.score)
            keep = np.where(detections.labels == label, detections.scores >= least, keep)
        if self.config.detector.classes:
            known = self._analyzer.categories
            wanted = [label for label, name in enumerate(known) if name in self.config.detector.classes]
            keep &= np.isin(detections.labels, wanted)
        if self._size is not None:
            inside = area(clip(detections.boxes, *self._size)) > 0
            outside = int((~inside & (area(detections.boxes) > 0)).sum())
            if outside and not self._told_outside:
                self._told_outside = True
                logger.warning(
                    "%d of the %d boxes of frame %d lie outside of the picture of %dx%d, and are left out, as later "
                    "ones are: boxes are in its pixels",
                    *(outside, len(detections), self._count, *self._size),
                )
            keep &= inside
        return np.flatnonzero(keep)

    def _warn_of_low_scores(self, detections: Detections) -> None:
        least = max(self.config.tracker.start_score, self.config.tracker.high_score)
        if self._frames_without_start < 0 or not len(detections):
            return
        if detections.scores.max() >= least:
            self._frames_without_start = -1
            return
        self._frames_without_start += 1
        if self._frames_without_start == _PATIENCE:
            logger.warning(
                "of the detections in %d frames none has a score of %g, from which on a track begins: lower "
                "tracker.start_score and tracker.high_score",
                _PATIENCE,
                least,
            )


class _GivenDetections(FrameAnalyzer):
    """The analyzer of detections that a program gives; networks describe them if there are pictures.

    The classes are those that were named beforehand. Without such, labels are either all numbers, which have no names,
    or all names, which get numbers as they come.
    """

    def __init__(self, config: Config, categories: Sequence[str]) -> None:
        super().__init__(config)
        if isinstance(categories, str):
            raise InputError("categories are the names of all classes, by label: give a list")
        self._names = [str(name) for name in categories]
        self._is_closed = bool(self._names)  # no further names are taken
        self._uses_names: bool | None = True if self._names else None  # None before the first label
        self._given: tuple[Detections, Embeddings | None] = (Detections.empty(), None)
        self._resources = ExitStack()
        for name in config.detector.classes if self._names else ():
            if name not in self._names:
                raise InputError(f"detector.classes: unknown class {name!r}{did_you_mean(name, self._names)}")
        if self._names:
            check_limits(config.tracker, self._names)

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(self._names)

    def load_networks(self, with_embedder: bool) -> None:
        """Loads the networks of the config that need pictures."""
        name = self.config.appearance.embedder if with_embedder else "none"
        if name != "none" and self._uses_names is False:
            logger.warning(
                "the labels are numbers without names, so that the embedder %s, made for some classes, is not used: "
                "give categories, or names as labels",
                name,
            )
            name = "none"
        self._load_crop_networks(self._resources, name)

    def check_labels(self, labels: NDArray[np.int64] | list[str]) -> None:
        """Checks that labels are of the classes that are known, and numbers or names as those before.

        Raises:
            InputError: They are not.
        """
        if not len(labels):
            return
        is_named = isinstance(labels, list)
        if self._is_closed:
            known = set(self._names) if is_named else set(range(len(self._names)))
            if wrong := [label for label in labels if label not in known]:
                raise InputError(f"the label {wrong[0]} is none of the {len(known)} classes of categories")
        elif self._uses_names not in (None, is_named):
            raise InputError("labels were numbers before and are names now, or the other way: give always the same")
        elif not is_named and self.config.detector.classes:
            raise InputError("detector.classes needs the names of the classes: give categories, or names as labels")

    def to_numbers(self, labels: NDArray[np.int64] | list[str]) -> NDArray[np.int64]:
        """Returns checked labels as numbers; new names get the next ones."""
        if len(labels) and self._uses_names is None:
            self._uses_names = isinstance(labels, list)
        if not isinstance(labels, list):
            return labels
        self._names += [name for name in dict.fromkeys(labels) if name not in self._names]
        return np.array([self._names.index(name) for name in labels], np.int64)

    def give(self, detections: Detections, embeddings: Embeddings | None) -> None:
        """Takes the detections of the next frame, and their embeddings where a program has its own."""
        self._given = detections, embeddings

    def analyze(self, frames: list[Frame]) -> list[FrameAnalysis]:
        """Returns the analysis of one frame, of the detections that were given last."""
        (frame,), (detections, embeddings) = frames, self._given
        height, width, _ = frame.image.shape
        images, boxes = self._upload([frame.image]), [clip(detections.boxes, width, height)]
        if embeddings is None:
            (embeddings,) = self._embed(images, boxes)
        (class_probs,) = self._classify(images, boxes, [detections])
        return [FrameAnalysis(frame, detections, embeddings, class_probs)]

    def describe(self) -> dict[str, Any]:
        return {"detections": "given by a program"}

    def close(self) -> None:
        self._resources.close()


def _check_config(config: Config) -> None:
    if config.tracker.offline:
        raise InputError("a Tracker goes frame by frame, and offline needs all of them: use tracker.retrack")
    if config.tracker.rescore or config.appearance.embedding_source == "roi":
        raise InputError("rescore and embedding_source 'roi' need the detector itself, which a Tracker does not have")


def _with_rows(tracks: Tracks, rows: NDArray[np.int64]) -> Tracks:
    """Returns the tracks with the rows of the given detections in place of those that were selected of them."""
    index = tracks.detection_index.copy()
    matched = index >= 0
    index[matched] = rows[index[matched]]
    return replace(tracks, detection_index=index)
