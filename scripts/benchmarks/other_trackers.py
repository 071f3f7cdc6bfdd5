"""Trackers made ready to be timed: ours, and those of other packages that are installed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.synthetic import Stream, make_stream
from tracker.config import TrackerConfig
from tracker.tracking import DeepSort

Found = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Ids (M,) and xyxy boxes (M, 4), in pixels, of the tracks that a frame shows."""


@dataclass(frozen=True, eq=False)
class TrackerUnderTest:
    """A tracker that has seen nothing yet, and all that it will be given, in its own types.

    Attributes:
        update: Takes one frame; this alone is timed.
        inputs: The arguments of `update` for each frame.
        read: What `update` returned, as ids and boxes.
    """

    update: Callable[..., Any]
    inputs: list[tuple[Any, ...]]
    read: Callable[[Any], Found]


Maker = Callable[[Stream], TrackerUnderTest]


@dataclass(frozen=True)
class Entry:
    """How one tracker is called, which package it is of, and how it is made ready for a stream."""

    name: str
    package: str
    make: Maker


def _ours(embedded: bool) -> Maker:
    def make(stream: Stream) -> TrackerUnderTest:
        tracker = DeepSort(TrackerConfig(), reid_class_ids=(0,) if embedded else ())
        rows = enumerate(zip(stream.detections, stream.embeddings, strict=True))
        inputs = [(found, views if embedded else views[:, :0], stream.time(n)) for n, (found, views) in rows]
        return TrackerUnderTest(tracker.update, inputs, lambda tracks: (tracks.ids, tracks.boxes.astype(np.float64)))

    return make


def _deep_sort_realtime(stream: Stream) -> TrackerUnderTest:
    """With embeddings, and galleries as large as ours by default: without a bound they would grow for ever."""
    module = import_module("deep_sort_realtime.deepsort_tracker")
    tracker = module.DeepSort(embedder=None, nn_budget=TrackerConfig().gallery_size)

    def read(tracks: Any) -> Found:
        seen = [track for track in tracks if track.is_confirmed() and track.time_since_update == 0]
        ids = np.array([int(track.track_id) for track in seen], np.int64)
        return ids, np.array([track.to_ltrb() for track in seen], np.float64).reshape(-1, 4)

    inputs = []
    for found, views in zip(stream.detections, stream.embeddings, strict=True):
        xywh = np.concatenate([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]], axis=-1)
        rows = [(box, score, "0") for box, score in zip(xywh.tolist(), found.scores.tolist(), strict=True)]
        inputs.append((rows, list(views)))
    return TrackerUnderTest(tracker.update_tracks, inputs, read)


def _supervised(module: str, tracker: str, update: str) -> Maker:
    """A tracker that takes and gives supervision's Detections, with its own defaults."""

    def make(stream: Stream) -> TrackerUnderTest:
        detections = import_module("supervision").Detections
        made = getattr(import_module(module), tracker)()

        def read(seen: Any) -> Found:
            known = seen.tracker_id >= 0
            return seen.tracker_id[known].astype(np.int64), seen.xyxy[known].astype(np.float64)

        inputs = [
            (detections(xyxy=found.boxes.copy(), confidence=found.scores.copy(), class_id=found.labels.copy()),)
            for found in stream.detections
        ]
        return TrackerUnderTest(getattr(made, update), inputs, read)

    return make


OURS = Entry("tracker", "tracker", _ours(embedded=True))
"""What all others are compared with."""

ENTRIES = (
    OURS,
    Entry("tracker, motion alone", "tracker", _ours(embedded=False)),
    Entry("deep-sort-realtime", "deep-sort-realtime", _deep_sort_realtime),
    Entry("trackers ByteTrack", "trackers", _supervised("trackers", "ByteTrackTracker", "update")),
    Entry("trackers SORT", "trackers", _supervised("trackers", "SORTTracker", "update")),
    Entry("trackers OC-SORT", "trackers", _supervised("trackers", "OCSORTTracker", "update")),
    Entry("supervision ByteTrack", "supervision", _supervised("supervision", "ByteTrack", "update_with_detections")),
)


def available() -> tuple[list[Entry], Mapping[str, str]]:
    """The trackers that work here, and for each of the others why it does not."""
    stream = make_stream(objects=2, frames=3)
    working: list[Entry] = []
    missing: dict[str, str] = {}
    for entry in ENTRIES:
        try:
            _try(entry.make(stream))
        except ModuleNotFoundError as error:
            missing[entry.name] = f"no package {error.name}: pip install 'tracker[benchmark]'"
        except Exception as error:  # whatever another version of another package may raise
            if entry.package == "tracker":
                raise
            missing[entry.name] = f"{type(error).__name__}: {error}"
        else:
            working.append(entry)
    return working, missing


def _try(contestant: TrackerUnderTest) -> None:
    for arguments in contestant.inputs:
        contestant.read(contestant.update(*arguments))
