"""The live picture as H.264 fragments: times, sizes, viewers who come late or are slow, and their WebSocket."""

import io
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import av
import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("websockets")

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tracker.config import Config, WebConfig
from tracker.web import WebServer
from tracker.web.live_app import create_live_app
from tracker.web.live_camera import LiveCamera
from tracker.web.live_video import LiveVideo

TIMES = [5.0, 5.04, 5.1, 5.35, 6.0, 6.9, 7.1, 7.2]  # the key frames are at 5 and 7.1


def picture(width: int = 64, height: int = 48, shade: int = 0) -> Any:
    return np.full((height, width, 3), shade, np.uint8)


def decode(parts: list[str | bytes]) -> list[av.VideoFrame]:
    """Returns the frames of the parts of one stream, the first of which is its media type."""
    with av.open(io.BytesIO(b"".join(part for part in parts[1:] if isinstance(part, bytes))), "r") as container:
        return list(container.decode(video=0))


def test_pictures_keep_their_times_and_come_without_delay() -> None:
    video, position = LiveVideo(), 0
    parts: list[str | bytes] = []
    for number, moment in enumerate(TIMES):
        video.add(picture(63, 47, 25 * number), moment)
        position, new = video.read(position)
        assert len(new) == (3 if number == 0 else 1)
        parts += new
    frames = decode(parts)
    assert [frame.time for frame in frames] == pytest.approx(TIMES, abs=1e-4)
    assert {(frame.width, frame.height) for frame in frames} == {(64, 48)}
    assert [round(frame.to_ndarray(format="gray").mean() / 25) for frame in frames] == list(range(8))
    assert parts[0] == 'video/mp4; codecs="avc1.42c00a"'


def test_who_comes_late_or_is_slow_goes_on_at_the_latest_key_frame() -> None:
    video = LiveVideo()
    parts: list[str | bytes] = []
    for number, moment in enumerate(TIMES):
        video.add(picture(), moment)
        if number == 1:
            position, parts = video.read(0)
    position, new = video.read(position)
    assert position == 8 and not video.read(position)[1]
    assert [frame.time for frame in decode(parts + new)] == pytest.approx([5, 5.04, 7.1, 7.2], abs=1e-4)
    assert [frame.time for frame in decode(video.read(0)[1])] == pytest.approx([7.1, 7.2], abs=1e-4)


@pytest.mark.parametrize("size, moment", [((32, 48), 5.1), ((64, 48), 4.0)])
def test_another_size_or_a_clock_that_is_set_back_begins_a_new_stream(size: tuple[int, int], moment: float) -> None:
    video = LiveVideo()
    video.add(picture(), 5.0)
    position, _ = video.read(0)
    video.add(picture(*size), moment)
    position, parts = video.read(position)
    assert isinstance(parts[0], str) and [(f.width, f.height, f.time) for f in decode(parts)] == [(*size, moment)]
    assert not video.read(position)[1]
    video.close()
    assert not video.read(0)[1]


@pytest.fixture
def camera() -> LiveCamera:
    camera = LiveCamera("gate", "rtsp://gate", Config(), lambda: False)
    for number in range(3):
        camera.video.add(picture(), number / 10)
    return camera


@pytest.fixture
def server(camera: LiveCamera) -> Iterator[WebServer]:
    with WebServer(create_live_app([camera], "secret"), WebConfig(port=0, token="secret")) as server:
        yield server


def address(server: WebServer, name: str = "gate", token: str = "") -> str:
    root = server.url.partition("?")[0].replace("http", "ws", 1)
    return f"{root}cameras/{name}/video{token}"


def wait_for_viewers(camera: LiveCamera, count: int) -> None:
    end = time.monotonic() + 10
    while camera.video_viewers != count:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_websocket_needs_what_every_request_needs(server: WebServer, camera: LiveCamera) -> None:
    bearer = {"Authorization": "Bearer secret"}
    refused = [
        (address(server), {}),
        (address(server, token="?token=wrong"), {}),
        (address(server), {**bearer, "Origin": "http://evil.example"}),
        (address(server, "other"), bearer),
        (address(server, "..%2f..%2fetc"), bearer),
    ]
    for url, headers in refused:
        with pytest.raises(InvalidStatus) as caught, connect(url, additional_headers=headers):
            pass
        assert caught.value.response.status_code in (403, 404)
    with connect(address(server), additional_headers=bearer) as socket:
        assert str(socket.recv(10)).startswith("video/mp4")
    wait_for_viewers(camera, 0)


def test_without_a_token_it_is_reached_by_this_machines_name_alone(camera: LiveCamera) -> None:
    with WebServer(create_live_app([camera]), WebConfig(port=0)) as server:
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        upgrade |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Host": "evil.example"}
        with pytest.raises(HTTPError, match="403"):
            urlopen(Request(f"{server.url}cameras/gate/video", headers=upgrade), timeout=10)
        with connect(address(server), additional_headers={"Origin": server.url.rstrip("/")}) as socket:
            assert str(socket.recv(10)).startswith("video/mp4")


def test_a_client_that_reads_nothing_holds_up_nobody(camera: LiveCamera, caplog: pytest.LogCaptureFixture) -> None:
    """Not the thread that adds pictures, nor another viewer, nor the end of the server."""
    random = np.random.default_rng(0)
    with ExitStack() as stack:
        with WebServer(create_live_app([camera]), WebConfig(port=0)) as server:
            stack.enter_context(connect(address(server), max_queue=1, close_timeout=0.1))
            reader = stack.enter_context(connect(address(server), max_size=None))
            wait_for_viewers(camera, 2)
            size = 0
            for number in range(10, 30):
                camera.video.add(random.integers(0, 256, (720, 1280, 3), np.uint8), number / 10)
                while isinstance(part := reader.recv(10), str) or b"moov" in part or len(part) < 2**14:
                    pass
                size += len(part)
            assert size > 2**23  # more than the buffers between the two hold
            start = time.monotonic()
        assert time.monotonic() - start < 5 and not caplog.records


def test_viewers_get_the_same_bytes_and_none_keeps_the_server_from_ending(camera: LiveCamera) -> None:
    with ExitStack() as stack:
        with WebServer(create_live_app([camera]), WebConfig(port=0)) as server:
            sockets = [stack.enter_context(connect(address(server))) for _ in range(5)]
            sockets[0].send("what a page never sends" * 100)
            wait_for_viewers(camera, 5)
            camera.video.add(picture(), 0.3)
            first, *others = [[socket.recv(10) for _ in range(6)] for socket in sockets]
            assert all(parts == first for parts in others)
            assert [frame.time for frame in decode(first)] == pytest.approx([0, 0.1, 0.2, 0.3])
            with connect(address(server)) as rude:
                rude.send(bytes(2**20))
                with pytest.raises(ConnectionClosed):
                    while True:
                        rude.recv(10)
            start = time.monotonic()
        assert time.monotonic() - start < 5
        assert camera.video_viewers == 0


@contextmanager
def feed(camera: LiveCamera) -> Iterator[list[tuple[int, int]]]:
    """Shows a picture that moves, 20 times a second, until the end of the block, as the run's thread does.

    The size of the pictures, which it yields, may be changed.
    """
    size, ended, start = [(320, 180)], threading.Event(), time.monotonic()

    def run() -> None:
        while not ended.wait(0.05):
            moment = time.monotonic() - start
            image = picture(*size[0], 30)
            image[20:60, int(60 * moment) % 200 :][:, :40] = 230
            camera._show(image, moment)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield size
    finally:
        ended.set()
        thread.join()


def wait_for(page: Any, condition: str, seconds: float = 20) -> None:
    """Waits for a condition in JavaScript; Playwright's own function for it is not compatible with the page's CSP."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(20)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_the_page_plays_video_and_falls_back_to_motion_jpeg(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    camera = LiveCamera("gate", "rtsp://gate", Config(), lambda: False)
    errors: list[str] = []

    def open_page(without: str = "") -> Any:
        page = browser.new_page(viewport={"width": 390, "height": 700}, color_scheme="dark")
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        if without == "MediaSource":
            page.add_init_script("delete self.MediaSource; delete self.ManagedMediaSource")
        elif without:
            page.route_web_socket("**/video", lambda socket: socket.close())
        page.goto(server.url)
        return page

    with (
        WebServer(create_live_app([camera]), WebConfig(port=0)) as server,
        feed(camera) as size,
        playwright.sync_playwright() as p,
    ):
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = open_page()
        wait_for(page, "document.querySelector('video')?.currentTime > 0")
        shown = page.locator("video").screenshot()
        wait_for(page, "document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames > 20")
        assert page.locator("video").screenshot() != shown and page.locator("img").is_hidden()
        late = page.evaluate("(video => video.buffered.end(0) - video.currentTime)(document.querySelector('video'))")
        assert late < 0.3
        size[0] = 200, 150
        wait_for(page, "document.querySelector('video').videoWidth === 200")
        page.locator("video").focus()
        page.keyboard.press("Enter")
        wait_for(page, "document.fullscreenElement?.tagName === 'VIDEO'")
        page.keyboard.press("Enter")
        wait_for(page, "document.querySelector('dl').textContent.includes('pictureH.264')")
        page.screenshot(path=str(tmp_path / "video.png"))
        assert (camera.video_viewers, camera.jpeg_viewers) == (1, 0)
        for number, without in enumerate(("MediaSource", "WebSocket"), 1):
            other = open_page(without)
            wait_for(other, "document.querySelector('img')?.naturalWidth === 200")
            wait_for(other, "document.querySelector('dl').textContent.includes('Motion JPEG: ')")
            assert other.locator("video").is_hidden()
            assert camera.jpeg_viewers == number
            other.screenshot(path=str(tmp_path / f"without {without}.png"))
        browser.close()
        wait_for_viewers(camera, 0)
    assert not errors
