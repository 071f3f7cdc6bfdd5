"""The state of a live source, and the events and counts that tell what happened to it."""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import av

from tracker.errors import InputError, mask_passwords
from tracker.structures.dates import format_utc

logger = logging.getLogger(__name__)

MOST_EVENTS = 1000
"""Latest events that are kept."""
_DROP_INTERVAL = 10.0
"""Seconds between two events about dropped frames, which are summed up."""


class LiveState(StrEnum):
    """What a live source is doing."""

    CONNECTING = "connecting"
    """It is being opened for the first time."""
    RUNNING = "running"
    """Frames arrive."""
    STALLED = "stalled"
    """It is connected, but no frame has come for longer than is usual."""
    RECONNECTING = "reconnecting"
    """The connection is lost, and is tried again."""
    ENDED = "ended"
    """The stream came to its end, or was to be read no further."""
    FAILED = "failed"
    """The connection is lost, and is given up."""


class LiveError(StrEnum):
    """What was wrong with a connection."""

    AUTH = "auth"
    """User name or password are missing, wrong, or not sufficient."""
    NOT_FOUND = "not found"
    """The server or the system knows no such stream or camera."""
    TIMEOUT = "timeout"
    """Nothing came for `SourceConfig.timeout` seconds."""
    CODEC = "codec"
    """What came is no video that can be decoded."""
    NETWORK = "network"
    """The server cannot be reached, or the connection broke off."""

    @classmethod
    def of(cls, error: BaseException, timed_out: bool = False) -> "LiveError":
        """Returns the kind of an error that ended a connection.

        Example:
            >>> LiveError.of(av.error.HTTPUnauthorizedError(1, "401 Unauthorized")).value
            'auth'
        """
        cause = error.__cause__ if isinstance(error, InputError) and error.__cause__ else error
        if timed_out or isinstance(cause, av.error.ExitError | TimeoutError):
            return cls.TIMEOUT
        if isinstance(cause, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError | PermissionError):
            return cls.AUTH
        if isinstance(cause, av.error.HTTPNotFoundError | FileNotFoundError):
            return cls.NOT_FOUND
        if isinstance(cause, InputError | av.error.InvalidDataError | av.error.DecoderNotFoundError):
            return cls.CODEC
        return cls.NETWORK


class DropReason(StrEnum):
    """The reason for which a frame that arrived was not processed."""

    LATE = "late"
    """A newer one was there, and the machine is slower than the source."""
    OVERFLOW = "overflow"
    """The buffer was full."""
    CORRUPT = "corrupt"
    """It could not be decoded, or the frames that it depends on were missing."""
    UNREAD = "unread"
    """It waited when reading was stopped."""


@dataclass(frozen=True)
class LiveEvent:
    """Something that happened to a live source, or was seen in it.

    Attributes:
        number: Counted from 1 over all events of a log.
        time: Seconds since 1970 (UTC).
        kind: The state that was entered, or "reconnected", "dropped", "format" or "clock"; of what was seen
            "track_began", "track_ended" or "line_crossed".
        text: A sentence about it.
        error: What was wrong, if something was.
        details: Further values by name, such as the track.
    """

    number: int
    time: float
    kind: str
    text: str
    error: LiveError | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns the event as JSON can hold it; its time is in ISO 8601."""
        event = {"n": self.number, "datetime": format_utc(self.time), "event": self.kind, "text": self.text}
        return event | ({"error": self.error.value} if self.error else {}) | dict(self.details)


class EventLog:
    """The latest `MOST_EVENTS` events; may be read and added to by any thread.

    Example:
        >>> log = EventLog()
        >>> log.add("running", "connected")
        >>> [event.text for event in log.after(0)], log.after(1)
        (['connected'], [])
    """

    def __init__(self) -> None:
        self._events: deque[LiveEvent] = deque(maxlen=MOST_EVENTS)
        self._count = 0
        self._lock = threading.Lock()

    def add(
        self,
        kind: str,
        text: str,
        error: LiveError | None = None,
        moment: float | None = None,
        details: Mapping[str, Any] = {},
    ) -> None:
        """Adds an event, of now if no moment (seconds since 1970) is given; see `LiveEvent`."""
        with self._lock:
            self._count += 1
            moment = time.time() if moment is None else moment
            self._events.append(LiveEvent(self._count, moment, kind, mask_passwords(text), error, details))

    def after(self, number: int) -> list[LiveEvent]:
        """Returns the events after a number, of those that are kept."""
        with self._lock:
            if number >= self._count:
                return []
            return [event for event in self._events if event.number > number]


class LiveStatus:
    """State, events and counts of one live source; may be read and changed by any thread.

    `captured` is always the sum of `processed`, of the dropped ones, and of those that wait.

    Attributes:
        uri: The source, without a password.
        state: What it is doing.
        captured: Frames that arrived.
        processed: Frames that were passed on to be tracked.
        dropped: Frames that were not, by reason.
        repeated: Frames that a reconnected playlist sent once more; they count nowhere else.
        reconnects: How often the connection was restored.
        delay: Seconds from the arrival of the latest processed frame to its being passed on.
        drift: Seconds by which the stream's clock went slower than this machine's since they were last aligned.
        error: What was wrong last; None if nothing was.
    """

    def __init__(self, uri: str) -> None:
        """Starts without frames, in the state connecting."""
        self.uri = uri
        self.state = LiveState.CONNECTING
        self.captured = self.processed = self.repeated = self.reconnects = 0
        self.dropped: Counter[DropReason] = Counter()
        self.delay = self.drift = 0.0
        self.error: LiveError | None = None
        self._lock = threading.Lock()
        self._events = EventLog()
        self._undisclosed: Counter[DropReason] = Counter()  # dropped since the latest event about it
        self._last_drop_event = -_DROP_INTERVAL

    def enter(self, state: LiveState, text: str, error: LiveError | None = None) -> None:
        """Changes the state, and tells of it; a state that it is in already is not told again."""
        with self._lock:
            if state is self.state:
                return
            restored = state is LiveState.RUNNING and self.state is LiveState.RECONNECTING
            self.state = state
            self.reconnects += restored
            self.error = error or self.error
        self.tell("reconnected" if restored else state.value, text, error)

    def tell(self, kind: str, text: str, error: LiveError | None = None) -> None:
        """Adds an event and logs it; `text` has no password."""
        self._events.add(kind, text, error)
        calm = kind in (LiveState.RUNNING, LiveState.ENDED, "clock")
        logger.log(logging.INFO if calm else logging.WARNING, "%s: %s", self.uri, text)

    def capture(self) -> None:
        """Counts a frame that arrived."""
        with self._lock:
            self.captured += 1

    def process(self, delay: float) -> None:
        """Counts a frame that is passed on, so many seconds after it arrived."""
        with self._lock:
            self.processed += 1
            self.delay = delay

    def repeat(self) -> None:
        """Counts a frame that came once before; it no longer counts as captured."""
        with self._lock:
            self.captured -= 1
            self.repeated += 1

    def drop(self, reason: DropReason, count: int = 1) -> None:
        """Counts frames that are dropped, and tells of them now and then."""
        with self._lock:
            self.dropped[reason] += count
            self._undisclosed[reason] += count
            if time.monotonic() - self._last_drop_event < _DROP_INTERVAL:
                return
        self.tell_drops()

    def tell_drops(self) -> None:
        """Tells of the frames that were dropped since this was last told."""
        with self._lock:
            dropped, self._undisclosed = self._undisclosed, Counter()
            self._last_drop_event = time.monotonic()
        if dropped:
            parts = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
            self.tell("dropped", f"{dropped.total()} frames were dropped ({parts})")

    def events(self, after: int = 0) -> list[LiveEvent]:
        """Returns the events after number `after`, of the latest `MOST_EVENTS`."""
        return self._events.after(after)

    def to_json(self) -> dict[str, Any]:
        """Returns state and counts as JSON can hold them, without the events."""
        with self._lock:
            return {
                "state": self.state.value,
                "error": self.error and self.error.value,
                "captured": self.captured,
                "processed": self.processed,
                "dropped": {reason.value: self.dropped[reason] for reason in DropReason},
                "repeated": self.repeated,
                "reconnects": self.reconnects,
                "delay_s": round(self.delay, 3),
                "drift_s": round(self.drift, 4),
            }
