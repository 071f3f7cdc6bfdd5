"""What the page of a live source shows: its newest picture, tracks, state and counts."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

import cv2

from tracker.config import Config, ZonesConfig
from tracker.output.drawing import Annotator, Image
from tracker.pipeline.monitor import RunMonitor
from tracker.pipeline.stage_timer import StageTimer
from tracker.structures.dates import format_utc
from tracker.structures.types import Frame, Tracks
from tracker.video import Source
from tracker.video.live_status import EventLog, LiveEvent, LiveState, LiveStatus
from tracker.web.live_video import LiveVideo
from tracker.web.track_events import TrackEvent, TrackEvents

PICTURE_SIDE = 1280
"""Longest side of the pictures, pixels."""
_QUALITY = 80
INFERENCE = ("detect", "embed")
"""Stages of a run in which networks compute."""
_RATE_FRAMES = 50
"""Frames over which the rate is averaged."""
_HOUR = 3600.0


class LiveCamera(RunMonitor):
    """Follows the run over one source, whose thread calls it, and is asked by the threads of the server.

    A picture is drawn and encoded once for all viewers, and only while there are any.

    Attributes:
        name: Of the source, as in the addresses of the page.
        uri: The source, without a password.
        error: The sentence that ended its run; empty as long as it runs.
        video: Its pictures as H.264.
        video_viewers: Open connections to the video.
        jpeg_viewers: Open connections to the pictures as JPEG.
    """

    def __init__(
        self, name: str, uri: str, settings: Config, stop: Callable[[], bool], zones: ZonesConfig | None = None
    ) -> None:
        """Takes name, source, settings of its run, the function that tells to stop, and lines whose crossings count."""
        self.name, self.uri, self.error = name, uri, ""
        self.video = LiveVideo()
        self.video_viewers = self.jpeg_viewers = 0
        self.tracks: dict[str, Any] = {"frame": None, "datetime": None, "tracks": []}
        self.width = self.height = 0
        self._settings, self._stop, self._zones = settings, stop, zones
        self._status: LiveStatus | None = None
        self._timer = StageTimer()
        self._log = EventLog()
        self._logged = 0  # number of the latest event of the status that is in the log
        self._track_events: TrackEvents | None = None
        self._annotator: Annotator | None = None
        self._picture: tuple[int, bytes] = 0, b""
        self._times: deque[float] = deque(maxlen=_RATE_FRAMES)
        self._arrivals: deque[tuple[float, str]] = deque()  # time and class of the tracks that began in the last hour
        self._highest_id = 0
        self._lag = 0.0
        self._lock = threading.Lock()

    def on_start(self, source: Source, timer: StageTimer) -> None:
        with self._lock:
            self._status, self._timer = source.status, timer
            self.width, self.height = source.width, source.height
            longest_absence, size = self._settings.tracker.longest_absence, (self.width, self.height)
            self._track_events = TrackEvents(longest_absence, self._zones, size)

    def on_frame(self, source: Source, frame: Frame, tracks: Tracks) -> None:
        now = time.time()
        with self._lock:
            self._log_status()
            if self._track_events is not None:
                self._log_tracks(self._track_events.update(frame, tracks, frame.unix_time or now))
            self._times.append(time.monotonic())
            self._lag = now - frame.unix_time if frame.unix_time else 0.0
            self._count(tracks, now)
            self.tracks = self._rows(frame, tracks)
        if self.viewers:
            self._show(self._draw(source, frame, tracks), frame.time)
        if not self.video_viewers:
            self.video.close()

    def stop_requested(self) -> bool:
        return self._stop()

    def picture(self) -> tuple[int, bytes]:
        """Returns the newest picture as JPEG, and its number from 1; 0 as long as there is none."""
        return self._picture

    def events(self, after: int) -> list[LiveEvent]:
        """Returns the events after number `after`, of the source and of its tracks."""
        with self._lock:
            self._log_status()
        return self._log.after(after)

    def event_json(self, event: LiveEvent) -> dict[str, Any]:
        """Returns one of the events as the page, and other programs, get it."""
        return {"camera": self.name, **event.to_json()}

    def finish(self, error: str, has_failed: bool) -> None:
        """Tells that the run has ended, and why."""
        self.video.close()
        with self._lock:
            self.error = error
            if self._track_events is not None:
                self._log_tracks(self._track_events.finish())
            self._log_status()
            if has_failed and self._status is None:
                self._log.add(LiveState.FAILED, error)

    @property
    def viewers(self) -> int:
        """Open connections to its pictures."""
        return self.video_viewers + self.jpeg_viewers

    @property
    def is_ready(self) -> bool:
        """True while frames arrive."""
        return not self.error and self._status is not None and self._status.state.value == "running"

    def to_json(self) -> dict[str, Any]:
        """Returns state, counts and rates as JSON can hold them."""
        with self._lock:
            status = self._status.to_json() if self._status else {"state": "connecting"}
            if self.error:
                status["state"] = "failed"
            since = time.monotonic() - self._times[-1] if self._times else None
            counts = Counter(name for _, name in self._arrivals)
            return {
                "name": self.name,
                "uri": self.uri,
                "width": self.width,
                "height": self.height,
                **status,
                "message": self.error,
                "frames_per_s": round(self._rate(), 1),
                "lag_s": round(self._lag, 3),
                "latest_s": None if since is None else round(since, 1),
                "inference_s": round(sum(self._timer.seconds.get(stage, 0.0) for stage in INFERENCE), 3),
                "tracks_live": len(self.tracks["tracks"]),
                "last_hour": dict(counts),
                "viewers": self.viewers,
            }

    def _log_status(self) -> None:
        for event in self._status.events(self._logged) if self._status else ():
            self._logged = event.number
            self._log.add(event.kind, event.text, event.error, event.time)

    def _log_tracks(self, events: Iterable[TrackEvent]) -> None:
        for event in events:
            self._log.add(event.kind, event.text, moment=event.time, details=event.details)

    def _rate(self) -> float:
        if len(self._times) < 2 or time.monotonic() - self._times[-1] > 2:
            return 0.0
        return (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-6)

    def _count(self, tracks: Tracks, now: float) -> None:
        for track_id, label in zip(tracks.ids.tolist(), tracks.labels.tolist(), strict=True):
            if track_id > self._highest_id:
                self._highest_id = track_id
                self._arrivals.append((now, tracks.categories[label]))
        while self._arrivals and self._arrivals[0][0] < now - _HOUR:
            self._arrivals.popleft()

    def _rows(self, frame: Frame, tracks: Tracks) -> dict[str, Any]:
        rows = [
            {
                "id": int(tracks.ids[row]),
                "class": tracks.categories[tracks.labels[row]],
                "score": round(float(tracks.scores[row]), 4),
                "box": [round(float(value), 1) for value in tracks.boxes[row]],
                "observed": bool(tracks.observed[row]),
            }
            for row in range(len(tracks))
        ]
        date = None if frame.unix_time is None else format_utc(frame.unix_time)
        return {"frame": frame.index, "datetime": date, "tracks": rows}

    def _draw(self, source: Source, frame: Frame, tracks: Tracks) -> Image:
        if self._annotator is None:
            self._annotator = Annotator(tracks.categories, source.width, source.height, self._settings.output)
        image = self._annotator.annotate(frame, tracks)
        height, width = image.shape[:2]
        scale = PICTURE_SIDE / max(height, width)
        if scale < 1:
            size = round(width * scale), round(height * scale)
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(image.dtype)
        return image

    def _show(self, image: Image, time: float) -> None:
        if self.video_viewers:
            self.video.add(image, time)
        if self.jpeg_viewers:
            _, jpeg = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
            self._picture = self._picture[0] + 1, jpeg.tobytes()
