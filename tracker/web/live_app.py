"""The page and the interface of `track live`: pictures, state, tracks, events and metrics of each source."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tracker.web.app import create_app
from tracker.web.live_camera import LiveCamera

if TYPE_CHECKING:  # it is of another extra
    from tracker.web.event_delivery import EventDelivery

_PICTURE_POLL, _EVENT_POLL = 0.015, 0.5  # seconds
_KEEP_ALIVE = 15.0
"""Seconds after which a comment is sent where nothing happens, so that a lost client is noticed."""


def create_live_app(
    cameras: Sequence[LiveCamera], token: str = "", deliveries: Sequence["EventDelivery"] = ()
) -> FastAPI:
    """Returns the app of some sources.

    Args:
        cameras: The sources.
        token: See `create_app`.
        deliveries: What sends their events to other programs.

    Example:
        >>> app = create_live_app([])
        >>> "/healthz" in {getattr(route, "path", "") for route in app.routes}
        True
    """
    app = create_app("live", token)
    known = {camera.name: camera for camera in cameras}
    registry = CollectorRegistry()
    registry.register(_Metrics(cameras, deliveries))

    def find(name: str) -> LiveCamera:
        if name not in known:
            raise HTTPException(404, f"there is no source {name}")
        return known[name]

    @app.get("/healthz")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    def ready() -> JSONResponse:
        states = {camera.name: camera.to_json()["state"] for camera in cameras}
        is_ready = all(camera.is_ready for camera in cameras)
        return JSONResponse({"ready": is_ready, "states": states}, 200 if is_ready else 503)

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/api/cameras")
    def list_cameras() -> list[dict[str, Any]]:
        return [camera.to_json() for camera in cameras]

    @app.get("/api/tracks")
    def tracks() -> dict[str, Any]:
        return {camera.name: camera.tracks for camera in cameras}

    @app.get("/api/events")
    def events(request: Request) -> StreamingResponse:
        return StreamingResponse(_events(cameras, request), media_type="text/event-stream")

    @app.get("/cameras/{name}/picture.mjpeg")
    def pictures(name: str, request: Request) -> StreamingResponse:
        return StreamingResponse(
            _pictures(find(name), request), media_type="multipart/x-mixed-replace; boundary=picture"
        )

    @app.websocket("/cameras/{name}/video")
    async def video(socket: WebSocket, name: str) -> None:
        camera = known.get(name)
        if camera is None or not camera.video.is_available:
            await socket.close(1008, "there is no such video")
        else:
            await _send_video(camera, socket)

    return app


async def _send_video(camera: LiveCamera, socket: WebSocket) -> None:
    """Sends the media type of the video as text, then its parts; again the type where a new stream begins."""
    await socket.accept()
    leaving = asyncio.create_task(_wait_until_closed(socket))
    camera.video_viewers += 1
    position = 0
    try:
        while not leaving.done():
            position, parts = camera.video.read(position)
            for part in parts:  # which waits for a client that is slow
                await (socket.send_text(part) if isinstance(part, str) else socket.send_bytes(part))
            if not parts:
                await asyncio.sleep(_PICTURE_POLL)
    except WebSocketDisconnect:
        pass
    finally:
        camera.video_viewers -= 1
        leaving.cancel()


async def _wait_until_closed(socket: WebSocket) -> None:
    """Returns when the client is gone; what it sends is ignored."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _pictures(camera: LiveCamera, request: Request) -> AsyncIterator[bytes]:
    """Yields each new picture; a client that is slower gets the newest one when it has taken the one before.

    The header of each comes with the picture before it: Chromium shows a picture when it has the header after it.
    """
    header = b"--picture\r\nContent-Type: image/jpeg\r\n\r\n"
    camera.jpeg_viewers += 1
    try:
        number = camera.picture()[0]
        yield header
        while not await request.is_disconnected():
            newest, jpeg = camera.picture()
            if newest == number:
                await asyncio.sleep(_PICTURE_POLL)
                continue
            number = newest
            yield jpeg + b"\r\n" + header
    finally:
        camera.jpeg_viewers -= 1


async def _events(cameras: Sequence[LiveCamera], request: Request) -> AsyncIterator[str]:
    """Yields the events of all sources as server-sent events: those so far, then each one as it happens."""
    last = {camera.name: 0 for camera in cameras}
    waited = 0.0
    while not await request.is_disconnected():
        for camera in cameras:
            for event in camera.events(last[camera.name]):
                last[camera.name], waited = event.number, 0.0
                yield f"data: {json.dumps(camera.event_json(event))}\n\n"
        if waited >= _KEEP_ALIVE:
            waited = 0.0
            yield ": nothing new\n\n"
        await asyncio.sleep(_EVENT_POLL)
        waited += _EVENT_POLL


class _Metrics:
    """Gives Prometheus the counts of all sources."""

    def __init__(self, cameras: Sequence[LiveCamera], deliveries: Sequence["EventDelivery"]) -> None:
        self._cameras, self._deliveries = cameras, deliveries

    def collect(self) -> Iterator[Metric]:
        states = [camera.to_json() for camera in self._cameras]
        counters = {
            "frames_captured": ("captured", "Frames that arrived."),
            "frames_processed": ("processed", "Frames that were tracked."),
            "reconnects": ("reconnects", "How often the connection was restored."),
            "inference_seconds": ("inference_s", "Time that the networks computed."),
        }
        for name, (key, text) in counters.items():
            counter = CounterMetricFamily(f"tracker_{name}", text, labels=["camera"])
            for state in states:
                counter.add_metric([state["name"]], state.get(key, 0))
            yield counter
        dropped = CounterMetricFamily("tracker_frames_dropped", "Frames not tracked.", labels=["camera", "reason"])
        for state in states:
            for reason, count in state.get("dropped", {}).items():
                dropped.add_metric([state["name"], reason], count)
        yield dropped
        gauges = {
            "up": ("state", "1 while frames arrive."),
            "lag_seconds": ("lag_s", "Seconds from the capture of the latest frame to its tracks."),
            "frames_per_second": ("frames_per_s", "Frames tracked in a second."),
            "tracks_live": ("tracks_live", "Tracks in the latest frame."),
            "viewers": ("viewers", "Open connections to the pictures."),
        }
        for name, (key, text) in gauges.items():
            gauge = GaugeMetricFamily(f"tracker_{name}", text, labels=["camera"])
            for state in states:
                value = state[key]
                gauge.add_metric([state["name"]], float(value == "running" if key == "state" else value))
            yield gauge
        for name, text in (("delivered", "Events that arrived."), ("undelivered", "Events that did not arrive.")):
            counter = CounterMetricFamily(f"tracker_events_{name}", text, labels=["target"])
            for delivery in self._deliveries:
                counter.add_metric([delivery.name], getattr(delivery, name))
            yield counter
