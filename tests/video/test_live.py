"""Cameras and streams."""

import itertools
import logging
import threading
import time
from collections.abc import Iterator

import av
import numpy as np
import pytest

from live_streams import MotionJpegHandler, serve
from tracker.video.connection import Connection
from tracker.video.live import _Pace
from video_clips import open_uri, read_number


def no_reader_thread_left() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name.startswith("read ")]


def test_stream_times_follow_the_clock_and_a_stall_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    handler = type("StallingHandler", (MotionJpegHandler,), {"hang": True, "frames": 90, "sent": []})
    MotionJpegHandler.released.clear()
    with serve(handler) as url, caplog.at_level(logging.WARNING):
        source = open_uri(f"{url}/camera", timeout=1, reconnect=0)
        assert source.live and source.expected_frames == 0 and source.media_path is None
        assert (source.width, source.height, source.name) == (64, 48, "127.0.0.1")
        with source:
            frames = [(frame, time.monotonic()) for frame in source]
            stall = time.monotonic() - frames[-1][1]
    times = np.array([frame.time for frame, _ in frames])
    sent = np.array(handler.sent)[[read_number(frame.image) for frame, _ in frames]]
    assert times[0] == 0 and (np.diff(times) > 0).all()
    assert np.ptp((times - sent)[times > 0.5]) < 0.2  # the first ones waited while the stream was opened
    assert read_number(frames[-1][0].image) == 89 and 0.5 < stall < 3
    assert "no frame for 1 s" in caplog.text or "broke off" in caplog.text
    assert no_reader_thread_left()


def test_slow_consumer_gets_current_frames() -> None:
    handler = type("LongHandler", (MotionJpegHandler,), {"frames": 120})
    with serve(handler) as url, open_uri(f"{url}/camera", timeout=1, reconnect=0) as source:
        frames = []
        for frame in source:
            frames.append(frame)
            time.sleep(0.2)
    gaps = np.diff([frame.index for frame in frames])
    assert gaps[:-1].max() >= 5  # 0.2 s at 50 frames per second
    numbers = np.array([read_number(frame.image) - read_number(frames[0].image) for frame in frames])
    assert (numbers == [frame.index for frame in frames]).all()


def test_frames_wait_only_where_there_is_time_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer that is hardly faster than the source would otherwise stay behind it for as long as it runs."""
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for busy, seconds in [(0.02, 0.075), (0.09, 2.7), (0.11, np.inf), (0.3, np.inf)]:
        pace = _Pace()
        for number in range(20):
            pace.arrived(number / 10)
            now += 1.0 if number == 18 else busy  # a single pause does not count
            pace.taken()
        assert pace.seconds_to_process(3) == pytest.approx(seconds)


def test_stopping_early_leaves_no_thread() -> None:
    with serve(MotionJpegHandler) as url:
        with open_uri(f"{url}/camera", timeout=2, end=0.2) as source:
            frames = list(source)
        assert 0 < len(frames) < 40 and frames[-1].time < 0.2
        assert no_reader_thread_left()


def test_bug_in_the_reader_thread_is_raised_in_the_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Connection) -> Iterator[av.Packet]:
        raise KeyError("a bug")

    monkeypatch.setattr(Connection, "packets", fail)
    with serve(MotionJpegHandler) as url, pytest.raises(KeyError, match="a bug"):
        open_uri(f"{url}/camera", timeout=2)
    assert no_reader_thread_left()


def test_camera_is_read_without_buffering(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Replaces the camera's driver by FFmpeg's own test source."""
    open_container = av.open

    def open_test_source(target: str, *args: object, **kwargs: object) -> object:
        assert target.endswith("3") and kwargs["format"] in ("v4l2", "avfoundation")
        options = kwargs["options"]
        return open_container("testsrc=size=64x48:rate=50:duration=1,realtime", format="lavfi", options=options)

    monkeypatch.setattr(av, "open", open_test_source)
    with caplog.at_level(logging.WARNING), open_uri(3, timeout=2, reconnect=0) as source:
        assert source.live and source.name == "camera3"
        frames = list(source)
    assert frames[-1].time == pytest.approx(frames[-1].index / 50, abs=0.2)
    assert "the stream ended" in caplog.text and no_reader_thread_left()


def test_driver_that_never_returns_does_not_block_closing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    open_container = av.open

    def open_test_source(target: str, *args: object, **kwargs: object) -> object:
        return open_container("testsrc=size=64x48:rate=50:duration=1", format="lavfi")

    def demux_and_stall(container: av.container.InputContainer) -> Iterator[av.Packet]:
        yield from itertools.islice(container.demux(), 3)
        release.wait(30)

    monkeypatch.setattr(av, "open", open_test_source)
    monkeypatch.setattr("tracker.video.connection.demux", demux_and_stall)
    monkeypatch.setattr("tracker.video.live.JOIN_MARGIN", 0.1)
    try:
        with caplog.at_level(logging.WARNING), open_uri(3, timeout=0.3, reconnect=0) as source:
            assert 1 <= len(list(source)) <= 3
        assert "no frame for 0.3 s" in caplog.text
        assert "does not answer" in caplog.text
    finally:
        release.set()
    deadline = time.monotonic() + 5
    while not no_reader_thread_left() and time.monotonic() < deadline:
        time.sleep(0.01)
