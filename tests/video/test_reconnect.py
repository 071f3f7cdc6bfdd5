"""Streams that break off, freeze and change: real servers of HLS and RTSP."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from live_streams import HlsEncoder, MotionJpegHandler, QuietHandler, serve, serve_folder
from rtsp_server import RtspServer, missing_packages, read_frame_number, rtsp_server
from tracker.errors import InputError
from tracker.structures.end_reason import EndReason
from tracker.video.live import LiveSource
from tracker.video.live_status import LiveError, LiveState
from video_clips import open_uri, read_number

needs_rtsp = pytest.mark.skipif(bool(missing_packages()), reason=f"no RTSP server: {missing_packages()}")


def open_live(uri: str, **settings: object) -> LiveSource:
    source = open_uri(uri, **settings)
    assert isinstance(source, LiveSource)
    return source


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server() -> Iterator[RtspServer]:
    with rtsp_server(free_port()) as running:
        yield running


def kinds(source: LiveSource) -> list[str]:
    return [event.kind for event in source.status.events()]


def check_counts(source: LiveSource) -> None:
    status = source.status
    assert status.captured == status.processed + status.dropped.total()


@pytest.mark.slow
def test_hls_loses_no_frame_and_keeps_its_times(tmp_path: Path) -> None:
    with HlsEncoder(tmp_path, frames=80) as encoder, serve_folder(tmp_path) as url:
        with open_live(f"{url}/live.m3u8", timeout=5) as source:
            frames = []
            for frame in source:
                frames.append(frame)
                time.sleep(0.02)
        assert encoder.written == 80
    assert [read_number(frame.image) for frame in frames] == list(range(80))
    assert np.abs(np.array([frame.time for frame in frames]) - np.arange(80) / 10).max() < 0.001
    dates = np.diff([frame.unix_time or 0 for frame in frames])
    assert np.median(np.abs(dates - 0.1)) < 0.001 and abs(dates.sum() - 7.9) < 0.5
    assert source.end_reason is EndReason.COMPLETE and source.status.dropped.total() == 0
    check_counts(source)


@pytest.mark.slow
def test_hls_goes_on_after_an_outage_of_its_server(tmp_path: Path) -> None:
    """The encoder goes on meanwhile; what has left the playlist when the server is back is lost, the rest is not."""
    port = free_port()
    numbers, times = [], []
    with HlsEncoder(tmp_path, frames=120, segment=0.5) as encoder:
        with serve_folder(tmp_path, port) as url:
            source = open_live(f"{url}/live.m3u8", timeout=3)
            frames = iter(source)
            for frame in frames:
                numbers.append(read_number(frame.image))
                times.append(frame.time)
                if frame.time > 2:
                    break
        time.sleep(1)
        with serve_folder(tmp_path, port), source:
            for frame in frames:
                numbers.append(read_number(frame.image))
                times.append(frame.time)
        assert encoder.written == 120
    assert numbers == sorted(set(numbers)) and numbers[-1] == 119
    assert np.abs(np.array(times) - (np.array(numbers) - numbers[0]) / 10).max() < 0.001
    assert source.end_reason is EndReason.COMPLETE
    check_counts(source)


@needs_rtsp
@pytest.mark.slow
def test_rtsp_server_that_freezes_restarts_and_changes(server: RtspServer) -> None:
    """Frozen, killed, back with another size; no frame that came is lost, and times are true."""
    done = threading.Event()

    def disturb() -> None:
        time.sleep(1.5)
        server.freeze(2.6)
        time.sleep(4)
        server.kill()
        time.sleep(1)
        server.width, server.height = 200, 152
        server.start()
        time.sleep(4)
        done.set()

    disturber = threading.Thread(target=disturb)
    frames = []
    with open_live(server.url, timeout=4) as source:
        source.stop_requested = done.is_set
        disturber.start()
        for frame in source:
            frames.append((frame, time.time()))
    disturber.join()
    seen = kinds(source)
    assert [kind for kind in seen if kind in ("stalled", "reconnected")] == ["stalled", "reconnected"]
    assert source.end_reason is EndReason.STOPPED and source.status.state is LiveState.ENDED
    assert source.status.dropped.total() <= 1 and source.status.captured >= len(server.sent) - 3
    assert {frame.fit is None for frame, _ in frames} == {True, False}
    first, last = frames[0][0], frames[-1][0]
    assert first.unix_time and last.unix_time
    assert last.time - first.time == pytest.approx(last.unix_time - first.unix_time, abs=0.1)
    assert last.unix_time == pytest.approx(frames[-1][1], abs=0.3)
    numbers = [read_frame_number(frame.image) for frame, _ in frames if frame.fit is None]
    assert numbers == list(range(len(numbers)))
    check_counts(source)


@needs_rtsp
@pytest.mark.slow
def test_rtsp_that_stays_away_is_given_up(server: RtspServer) -> None:
    with open_live(server.url, timeout=2, reconnect=1) as source:
        for frame in source:
            if frame.index == 5:
                server.kill()
        server.start()  # for the fixture to end
    assert source.end_reason is EndReason.BROKE_OFF and source.status.state is LiveState.FAILED
    assert source.status.error is LiveError.NETWORK
    check_counts(source)


@needs_rtsp
@pytest.mark.slow
def test_rtsp_errors_have_names() -> None:
    with rtsp_server(free_port(), credentials=("me", "secret")) as server:
        address = server.url.replace("//", "//{}@")
        for url, kind in [
            (address.format("me:wrong"), LiveError.AUTH),
            (address.format("me:secret").replace("stream", "nothing"), LiveError.NOT_FOUND),
        ]:
            with pytest.raises(InputError) as caught:
                open_uri(url, timeout=3)
            assert LiveError.of(caught.value) is kind and "secret" not in str(caught.value)
        with open_live(address.format("me:secret"), timeout=3) as source:
            assert next(iter(source)).index == 0
            assert source.status.captured < 20  # the connection took no longer than it needs
    assert "secret" not in source.uri


def test_error_kinds_of_http() -> None:
    for status, kind in [(401, LiveError.AUTH), (403, LiveError.AUTH), (404, LiveError.NOT_FOUND)]:

        class Failing(QuietHandler):
            code = status

            def do_GET(self) -> None:
                self.send_error(self.code)

        with serve(Failing) as url, pytest.raises(InputError) as caught:
            open_uri(f"{url}/camera", timeout=2)
        assert LiveError.of(caught.value) is kind
    with pytest.raises(InputError) as caught:
        open_uri(f"http://127.0.0.1:{free_port()}/camera", timeout=2)
    assert LiveError.of(caught.value) is LiveError.NETWORK


def test_a_stop_is_noticed_while_no_frame_comes() -> None:
    handler = type("StallingHandler", (MotionJpegHandler,), {"hang": True, "frames": 20})
    MotionJpegHandler.released.clear()
    stop = threading.Event()
    with serve(handler) as url, open_live(f"{url}/camera", timeout=20, reconnect="forever") as source:
        source.stop_requested = stop.is_set
        threading.Timer(1, stop.set).start()
        start = time.monotonic()
        assert len(list(source)) == 20
        assert time.monotonic() - start < 4
        MotionJpegHandler.released.set()
    assert source.end_reason is EndReason.STOPPED
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("read ")])


def test_slow_consumer_is_told_what_is_dropped() -> None:
    handler = type("LongHandler", (MotionJpegHandler,), {"frames": 60})
    with serve(handler) as url, open_live(f"{url}/camera", timeout=1, reconnect=0) as source:
        frames = []
        for frame in source:
            frames.append(frame)
            time.sleep(0.1)
    assert source.status.processed == len(frames) and source.status.dropped["late"] > 20
    assert source.status.captured == 60 and frames[-1].index <= 59
    check_counts(source)


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
