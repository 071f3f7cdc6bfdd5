"""The events of tracks: began, crossed, ended."""

import numpy as np
import pytest

from analytics_tracks import as_tracks
from tracker.config import ZonesConfig
from tracker.structures.types import Frame

pytest.importorskip("fastapi")

from tracker.web.track_events import TrackEvent, TrackEvents

IMAGE = np.zeros((1, 1, 3), np.uint8)
GATE = ZonesConfig.model_validate({"lines": {"gate": {"points": [[0.5, 0], [0.5, 1]], "left": "in", "right": "out"}}})
START = 1_700_000_000.0


def update(events: TrackEvents, time: float, **boxes: tuple[int, int, int, int]) -> list[TrackEvent]:
    tracks = as_tracks({int(name[1:]): np.array(box) for name, box in boxes.items()})
    return list(events.update(Frame(round(10 * time), time, round(10 * time), IMAGE), tracks, START + time))


def test_a_track_begins_crosses_and_ends_once() -> None:
    events = TrackEvents(1.0, GATE, (200, 100))
    (began,) = update(events, 0.0, t7=(40, 20, 60, 60))
    assert (began.kind, began.text) == ("track_began", "track 7 (person) began")
    assert began.details == {"track": 7, "class": "person", "box": [40, 20, 60, 60]}
    assert not update(events, 0.5, t7=(80, 20, 100, 60))
    (crossed,) = update(events, 1.0, t7=(120, 20, 140, 60))
    assert crossed.text == "track 7 (person) crossed gate (in)" and crossed.details["line"] == "gate"
    assert START + 0.5 < crossed.time < START + 1 and crossed.details["x"] == pytest.approx(100)
    assert not update(events, 1.5) and not update(events, 2.0)
    (ended,) = update(events, 2.1)
    assert (ended.kind, ended.time) == ("track_ended", START + 1) and ended.details["seconds"] == 1
    assert ended.details["began"] == "2023-11-14T22:13:20.000000Z"
    assert not update(events, 9.0) and not list(events.finish())


def test_tracks_that_are_there_end_with_the_run() -> None:
    events = TrackEvents(1.0, None, (200, 100))
    update(events, 0.0, t1=(40, 20, 60, 60), t2=(80, 20, 90, 60))
    assert [event.details["track"] for event in events.finish()] == [1, 2]
