"""The page of live sources."""

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import av
import pytest

from doc_commands import unit_command
from live_streams import HlsEncoder, QuietHandler, serve, serve_folder
from paths import STUB
from rtsp_server import missing_packages, rtsp_server
from stub_networks import moving_rectangles

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

from tracker.web.live_app import _pictures

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to send")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def service(
    folder: Path, *arguments: object, port: int, code: int = 0, stop: signal.Signals = signal.SIGINT
) -> Iterator[subprocess.Popen[str]]:
    """Runs `track live` with stub networks in a process of its own, and ends it by a signal, that of Ctrl-C."""
    command = [sys.executable, str(STUB), "0", "0", "live", *map(str, arguments), "--port", str(port)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.send_signal(stop)
        _, errors = process.communicate(timeout=90)
        assert process.returncode == code, errors


def get(url: str, token: str = "") -> Any:
    with open_url(url, token) as answer:
        return json.load(answer)


def open_url(url: str, token: str = "") -> Any:
    return urlopen(Request(url, headers={"Authorization": f"Bearer {token}"} if token else {}), timeout=10)


def wait_until(condition: Callable[[], Any], seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while True:
        try:
            if result := condition():
                return result
        except OSError:
            pass
        assert time.monotonic() < end
        time.sleep(0.1)


@contextmanager
def hls(folder: Path) -> Iterator[str]:
    folder.mkdir()
    with (
        HlsEncoder(folder, segment=0.5, draw=lambda number: moving_rectangles(number, 640, 360)),
        serve_folder(folder) as url,
    ):
        yield f"{url}/live.m3u8"


TOKEN = "secret"


@pytest.fixture(scope="module")
def posted() -> list[dict[str, Any]]:
    """Returns the events that the service has posted so far."""
    return []


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, posted: list[dict[str, Any]]) -> Iterator[str]:
    """Yields the address of a service as docs/deploy/tracker.service starts and stops it, with a token and a webhook.

    It is shared since it takes seconds to start.
    """

    class Hook(QuietHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

    folder = tmp_path_factory.mktemp("service")
    (folder / "zones.yaml").write_text("lines: {gate: [[0.1, 0], [0.1, 1]]}")
    port = free_port()
    command, _, *flags = unit_command()
    assert command == "live"
    access = "--host", "0.0.0.0", "--token", TOKEN
    with hls(folder / "shared") as url, serve(Hook) as hook:
        arguments = [url, *flags, *access, "--zones", "zones.yaml", "--webhook", f"{hook}/?token=abc"]
        with service(folder, *arguments, port=port, stop=signal.SIGTERM):
            address = f"http://127.0.0.1:{port}"
            wait_until(lambda: get(f"{address}/healthz"))
            yield address
    assert {event["event"] for event in posted} >= {"track_ended", "ended"}
    for segment in folder.glob("tracked/127.0.0.1/*Z"):
        assert json.loads((segment / "run.json").read_text())["status"] in ("finished", "stopped")


def test_a_token_guards_all_but_the_health(root: str) -> None:
    assert get(f"{root}/healthz") == {"status": "ok"}
    for path in ("", "readyz", "metrics", "api/cameras", "api/tracks", "api/events", "static/live/live.js",
                 "cameras/127.0.0.1/picture.mjpeg", "static/../../../../etc/passwd"):  # fmt: skip
        with pytest.raises(HTTPError) as caught:
            open_url(f"{root}/{path}")
        assert caught.value.code == 403
        caught.value.close()
    assert get(f"{root}/api/cameras", TOKEN)[0]["name"] == "127.0.0.1"


def test_a_source_that_cannot_be_opened_is_a_failure(tmp_path: Path) -> None:
    with service(tmp_path, "http://127.0.0.1:9/gone", port=free_port(), code=2) as process:
        process.wait(60)


def keeps_its_rate(root: str) -> bool:
    """Checks whether nearly all of the frames of 3 s at 10 a second are processed, and none is dropped."""
    before = get(f"{root}/api/cameras", TOKEN)[0]
    time.sleep(3)
    after = get(f"{root}/api/cameras", TOKEN)[0]
    return bool(after["processed"] - before["processed"] >= 21 and after["dropped"] == before["dropped"])


def test_the_service_answers_and_slow_clients_do_not_slow_it(root: str) -> None:
    wait_until(lambda: get(f"{root}/readyz", TOKEN)["ready"])
    address = "127.0.0.1", urlsplit(root).port
    clients = [socket.create_connection(address) for _ in range(200)]
    header = f"HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    requests = (
        f"GET /cameras/127.0.0.1/picture.mjpeg {header}\r\n",
        f"GET /cameras/127.0.0.1/video {header}{upgrade}\r\n",
    )
    try:
        for number, client in enumerate(clients):  # which never read
            client.sendall(requests[number % 2].encode())
        wait_until(lambda: get(f"{root}/api/cameras", TOKEN)[0]["viewers"] == 200)
        wait_until(lambda: keeps_its_rate(root), 60)  # other tests may keep the machine busy for a time
    finally:
        for client in clients:
            client.close()
    tracks = get(f"{root}/api/tracks", TOKEN)["127.0.0.1"]["tracks"]
    assert {row["class"] for row in tracks} == {"person", "car"}
    with open_url(f"{root}/metrics", TOKEN) as answer:
        metrics = answer.read().decode()
    assert 'tracker_frames_captured_total{camera="127.0.0.1"}' in metrics and "tracker_lag_seconds" in metrics
    with open_url(f"{root}/api/events", TOKEN) as answer:
        event = json.loads(answer.readline().decode().removeprefix("data: "))
    assert event["event"] == "running" and event["camera"] == "127.0.0.1"
    with pytest.raises(HTTPError) as caught:
        open_url(f"{root}/cameras/other/picture.mjpeg", TOKEN)
    assert caught.value.code == 404
    caught.value.close()


def test_other_programs_read_the_pictures(root: str) -> None:
    wait_until(lambda: get(f"{root}/readyz", TOKEN)["ready"])
    options = {"headers": f"Authorization: Bearer {TOKEN}\r\n"}
    with av.open(f"{root}/cameras/127.0.0.1/picture.mjpeg", options=options, timeout=10) as container:
        frames = container.decode(video=0)
        assert [(frame.width, frame.height) for frame, _ in zip(frames, range(3), strict=False)] == [(640, 360)] * 3


def test_a_picture_comes_with_the_header_of_the_next_one() -> None:
    """Chromium shows a picture when it has read that header: otherwise each came when the next one was there."""
    camera = SimpleNamespace(jpeg_viewers=0, picture=lambda: (camera.number, b"JPEG"), number=0)

    async def is_disconnected() -> bool:
        return False

    async def read() -> list[bytes]:
        pictures = _pictures(camera, SimpleNamespace(is_disconnected=is_disconnected))  # type: ignore[arg-type]
        parts = [await anext(pictures)]
        camera.number = 1
        parts.append(await anext(pictures))
        await pictures.aclose()  # type: ignore[attr-defined]
        return parts

    header, part = asyncio.run(read())
    assert header == b"--picture\r\nContent-Type: image/jpeg\r\n\r\n"
    assert part == b"JPEG\r\n" + header and camera.jpeg_viewers == 0


def test_events_of_tracks_are_posted_as_the_page_gets_them(root: str, posted: list[dict[str, Any]]) -> None:
    wait_until(lambda: [event for event in posted if event["event"] == "line_crossed"])
    crossed = next(event for event in posted if event["event"] == "line_crossed")
    assert crossed["line"] == "gate" and crossed["camera"] == "127.0.0.1"
    assert crossed["direction"] == {"person": "left", "car": "right"}[crossed["class"]]
    began = next(event for event in posted if event["event"] == "track_began" and event["track"] == crossed["track"])
    assert began["class"] == crossed["class"] and began["datetime"] < crossed["datetime"]
    with open_url(f"{root}/api/events", TOKEN) as answer:
        for line in answer:
            if line.startswith(b"data: ") and json.loads(line[6:])["n"] == crossed["n"]:
                assert json.loads(line[6:]) == crossed
                break
    with open_url(f"{root}/metrics", TOKEN) as answer:
        metrics = answer.read().decode()
    delivered = next(line for line in metrics.splitlines() if line.startswith("tracker_events_delivered_total{"))
    assert float(delivered.split()[-1]) >= crossed["n"] - 1 and "abc" not in delivered
    seconds = next(line for line in metrics.splitlines() if line.startswith("tracker_inference_seconds_total{"))
    assert 0 < float(seconds.split()[-1]) < 60


@pytest.mark.long
@pytest.mark.skipif(bool(missing_packages()), reason=f"no RTSP server: {missing_packages()}")
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    """Moving pictures with boxes, a stall, the end of the source's server and of the page's own, all without errors."""
    playwright = pytest.importorskip("playwright.sync_api")
    port = free_port()
    with playwright.sync_playwright() as p, rtsp_server(free_port(), rate=10) as camera:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        with service(tmp_path, camera.url, "--timeout", 20, port=port):
            wait_until(lambda: get(f"http://127.0.0.1:{port}/readyz")["ready"])
            page.goto(f"http://127.0.0.1:{port}/")
            page.wait_for_selector('.state[data-state="running"]', timeout=60000)
            image = page.locator("video")
            page.wait_for_selector("dd:text-is('H.264')")
            first = image.screenshot()
            wait_until(lambda: first != image.screenshot(), 30)
            page.screenshot(path=str(tmp_path / "running.png"))
            camera.freeze(8)
            page.wait_for_selector('.state[data-state="stalled"]', timeout=30000)
            assert "s old" in page.locator(".overlay").inner_text()
            page.screenshot(path=str(tmp_path / "stalled.png"))
            page.wait_for_selector('.state[data-state="running"]', timeout=30000)
            assert not errors
        page.wait_for_selector("#problem:not([hidden])", timeout=30000)
        errors.clear()  # Chromium itself logs that a server is gone
        with service(tmp_path, camera.url, port=port):
            page.wait_for_selector("#problem", state="hidden", timeout=60000)
            page.wait_for_selector('.state[data-state="running"]', timeout=60000)
            again = image.screenshot()
            wait_until(lambda: again != image.screenshot(), 30)
            assert not [error for error in errors if "Failed to load" not in error and "ERR_" not in error]
        browser.close()
