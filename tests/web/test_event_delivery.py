"""Events that are sent to other programs: real HTTP servers, and a real MQTT broker."""

import json
import logging
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from live_streams import QuietHandler, serve
from tracker.config import EventsConfig
from tracker.errors import InputError
from tracker.video.live_status import EventLog, LiveEvent

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("paho.mqtt")
pytest.importorskip("tenacity")

from tracker.web.event_delivery import EventDelivery
from tracker.web.event_targets import open_targets


class LoggingCamera:
    """A stand-in for `LiveCamera`: a name and events."""

    def __init__(self) -> None:
        self.name = "gate"
        self.log = EventLog()
        self.events = self.log.after

    def event_json(self, event: LiveEvent) -> dict[str, Any]:
        return {"camera": self.name, **event.to_json()}


@contextmanager
def webhook(answers: Callable[[int], int]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yields the address of a server that answers its n-th request with a status code, and what was accepted."""
    accepted: list[dict[str, Any]] = []
    count = 0

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            nonlocal count
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = answers(count)
            count += 1
            if status == 200:
                accepted.append(event)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with serve(Handler) as url:
        yield f"{url}/hook", accepted


@contextmanager
def delivery(camera: LoggingCamera, **settings: str) -> Iterator[EventDelivery]:
    (target,) = open_targets(EventsConfig(**settings))
    with EventDelivery(target, [camera]) as running:  # type: ignore[list-item]
        yield running


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_events_arrive_once_and_in_order_though_the_server_fails_twice(caplog: pytest.LogCaptureFixture) -> None:
    camera = LoggingCamera()
    camera.log.add("running", "connected")
    with caplog.at_level(logging.INFO), webhook(lambda number: 503 if number in (1, 2) else 200) as (url, accepted):
        with delivery(camera, webhook=url) as sending:
            wait_until(lambda: sending.delivered == 1)
            camera.log.add("track_began", "track 3 (person) began", details={"track": 3})
            camera.log.add("track_ended", "track 3 (person) ended", details={"track": 3})
            wait_until(lambda: sending.delivered == 3)
        assert sending.undelivered == 0
    assert [event["event"] for event in accepted] == ["running", "track_began", "track_ended"]
    assert accepted[1]["camera"] == "gate" and accepted[1]["track"] == 3 and accepted[1]["n"] == 2
    assert "could not be delivered" in caplog.text and "again" in caplog.text


def test_what_is_refused_or_too_late_is_counted_and_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.video.live_status.MOST_EVENTS", 20)
    camera = LoggingCamera()
    for _ in range(25):  # five are pushed out of the log
        camera.log.add("running", "connected")
    with (
        webhook(lambda number: 404 if number == 0 else 200) as (url, accepted),
        delivery(camera, webhook=url) as sending,
    ):
        wait_until(lambda: sending.delivered == 19)
    assert sending.undelivered == 6 and [event["n"] for event in accepted] == list(range(7, 26))
    assert f"6 of 25 events could not be delivered to {url}" in caplog.text


def test_a_server_that_is_away_does_not_keep_the_run_from_ending(caplog: pytest.LogCaptureFixture) -> None:
    camera = LoggingCamera()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://me:secret@127.0.0.1:{taken.getsockname()[1]}/"
        start = time.monotonic()
        with delivery(camera, webhook=url) as sending:
            for _ in range(200):
                camera.log.add("running", "connected")
            time.sleep(0.3)
        assert time.monotonic() - start < 5 and sending.undelivered == 200
    assert "200 of 200 events" in caplog.text and "secret" not in caplog.text
    assert not [thread for thread in threading.enumerate() if thread.name == "events"]


def test_wrong_addresses() -> None:
    for settings, reason in [
        ({"webhook": "host/path"}, "--webhook host/path must be"),
        ({"webhook": "http://host:port/"}, "must be an address"),
        ({"mqtt": "mqtt://host"}, "must name one topic"),
        ({"mqtt": "mqtt://host/a/#"}, "must name one topic"),
        ({"mqtt": "http://host/a"}, "mqtt://HOST"),
        ({"webhook": "http://host/{NO_SUCH_VARIABLE}"}, "NO_SUCH_VARIABLE"),
    ]:
        with pytest.raises(InputError, match=reason):
            open_targets(EventsConfig(**settings))


@contextmanager
def broker(port: int, folder: Path) -> Iterator[None]:
    """Runs Mosquitto with a user and a password."""
    subprocess.run(["mosquitto_passwd", "-b", "-c", folder / "users", "me", "a/b"], check=True, capture_output=True)
    text = f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {folder / 'users'}\nuser root\n"
    (folder / "mosquitto.conf").write_text(text)
    command = [mosquitto(), "-c", str(folder / "mosquitto.conf")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port))
        yield
    finally:
        process.terminate()
        process.wait(10)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def mosquitto() -> str:
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin") or ""


@pytest.mark.slow
@pytest.mark.skipif(not mosquitto(), reason="no MQTT broker: needs Debian's mosquitto")
def test_events_reach_a_broker_also_after_it_was_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    monkeypatch.setenv("BROKER_PASSWORD", "a/b")
    camera = LoggingCamera()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    received: list[dict[str, Any]] = []
    client = Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set("me", "a/b")
    client.on_connect = lambda *_: client.subscribe("site/events", qos=1)
    client.on_message = lambda _client, _data, message: received.append(json.loads(message.payload))
    client.reconnect_delay_set(1, 1)
    try:
        with delivery(camera, mqtt=f"mqtt://me:{{BROKER_PASSWORD}}@127.0.0.1:{port}/site/events") as sending:
            camera.log.add("running", "connected")
            with broker(port, tmp_path):
                client.connect("127.0.0.1", port)
                client.loop_start()
                wait_until(lambda: sending.delivered == 1)
            camera.log.add("stalled", "no frame has come for 2 s")
            with broker(port, tmp_path):
                wait_until(lambda: sending.delivered == 2 and client.is_connected())
                camera.log.add("line_crossed", "track 1 (person) crossed gate (in)", details={"line": "gate"})
                wait_until(lambda: bool(received) and received[-1]["event"] == "line_crossed")
        assert sending.undelivered == 0 and received[-1]["line"] == "gate" and received[-1]["camera"] == "gate"
    finally:
        client.disconnect()
        client.loop_stop()
    assert "secret" not in sending.name
