"""Prepares trackers for a benchmark: ours, and those of other packages that are installed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.synthetic import Stream, make_stream
from tracker.config import TrackerConfig
from tracker.tracking import DeepSort

FrameTracks = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Ids (M,) and xyxy boxes (M, 4), in pixels, of the tracks of a frame."""


@dataclass(frozen=True, eq=False)
class TrackerUnderTest:
    """A new tracker, and all its inputs in its own types.

    Attributes:
        update: Processes one frame; only this is timed.
        inputs: Arguments of `update` for each frame.
        read: Converts the result of `update` to ids and boxes.
    """

    update: Callable[..., Any]
    inputs: list[tuple[Any, ...]]
    read: Callable[[Any], FrameTracks]


MakeTracker = Callable[[Stream], TrackerUnderTest]


@dataclass(frozen=True)
class Entry:
    """A tracker: its name, its package, and a function that prepares it for a stream."""

    name: str
    package: str
    make: MakeTracker


def _make_ours(with_embeddings: bool) -> MakeTracker:
    def make(stream: Stream) -> TrackerUnderTest:
        tracker = DeepSort(TrackerConfig(), reid_class_ids=(0,) if with_embeddings else ())
        frames = enumerate(zip(stream.detections, stream.embeddings, strict=True))
        inputs = [
            (detections, embeddings if with_embeddings else embeddings[:, :0], stream.time(index))
            for index, (detections, embeddings) in frames
        ]
        return TrackerUnderTest(tracker.update, inputs, lambda tracks: (tracks.ids, tracks.boxes.astype(np.float64)))

    return make


def _make_deep_sort_realtime(stream: Stream) -> TrackerUnderTest:
    """Prepares deep-sort-realtime with embeddings, and galleries as large as ours (unbounded by default)."""
    module = import_module("deep_sort_realtime.deepsort_tracker")
    tracker = module.DeepSort(embedder=None, nn_budget=TrackerConfig().gallery_size)

    def read(tracks: Any) -> FrameTracks:
        confirmed = [track for track in tracks if track.is_confirmed() and track.time_since_update == 0]
        ids = np.array([int(track.track_id) for track in confirmed], np.int64)
        return ids, np.array([track.to_ltrb() for track in confirmed], np.float64).reshape(-1, 4)

    inputs = []
    for detections, embeddings in zip(stream.detections, stream.embeddings, strict=True):
        xywh = np.concatenate([detections.boxes[:, :2], detections.boxes[:, 2:] - detections.boxes[:, :2]], axis=-1)
        raw_detections = [
            (box, score, "0") for box, score in zip(xywh.tolist(), detections.scores.tolist(), strict=True)
        ]
        inputs.append((raw_detections, list(embeddings)))
    return TrackerUnderTest(tracker.update_tracks, inputs, read)


def _make_supervision(module: str, class_name: str, method: str) -> MakeTracker:
    """Prepares a tracker that takes and returns supervision's Detections, with its own defaults."""

    def make(stream: Stream) -> TrackerUnderTest:
        detections_class = import_module("supervision").Detections
        instance = getattr(import_module(module), class_name)()

        def read(tracked: Any) -> FrameTracks:
            confirmed = tracked.tracker_id >= 0
            return tracked.tracker_id[confirmed].astype(np.int64), tracked.xyxy[confirmed].astype(np.float64)

        inputs = [
            (detections_class(xyxy=d.boxes.copy(), confidence=d.scores.copy(), class_id=d.labels.copy()),)
            for d in stream.detections
        ]
        return TrackerUnderTest(getattr(instance, method), inputs, read)

    return make


OURS = Entry("tracker", "tracker", _make_ours(with_embeddings=True))
"""The tracker that all others are compared with."""

ENTRIES = (
    OURS,
    Entry("tracker, motion alone", "tracker", _make_ours(with_embeddings=False)),
    Entry("deep-sort-realtime", "deep-sort-realtime", _make_deep_sort_realtime),
    Entry("trackers ByteTrack", "trackers", _make_supervision("trackers", "ByteTrackTracker", "update")),
    Entry("trackers SORT", "trackers", _make_supervision("trackers", "SORTTracker", "update")),
    Entry("trackers OC-SORT", "trackers", _make_supervision("trackers", "OCSORTTracker", "update")),
    Entry(
        "supervision ByteTrack", "supervision", _make_supervision("supervision", "ByteTrack", "update_with_detections")
    ),
)


def available() -> tuple[list[Entry], Mapping[str, str]]:
    """Returns the trackers that work here, and for each of the others the reason why it does not."""
    stream = make_stream(objects=2, frames=3)
    working: list[Entry] = []
    missing: dict[str, str] = {}
    for entry in ENTRIES:
        try:
            _run_once(entry.make(stream))
        except ModuleNotFoundError as error:
            missing[entry.name] = f"no package {error.name}: pip install 'video-tracker[benchmark]'"
        except Exception as error:  # other versions of other packages may raise anything
            if entry.package == "tracker":
                raise
            missing[entry.name] = f"{type(error).__name__}: {error}"
        else:
            working.append(entry)
    return working, missing


def _run_once(tracker: TrackerUnderTest) -> None:
    for arguments in tracker.inputs:
        tracker.read(tracker.update(*arguments))
