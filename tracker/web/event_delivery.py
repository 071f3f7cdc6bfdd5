"""The thread that sends the events of live sources to a target, however slow it is."""

import logging
import threading
from collections.abc import Sequence
from typing import Self

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_delay,
    stop_when_event_set,
    wait_random_exponential,
)

from tracker.video.live_status import LiveEvent
from tracker.web.event_targets import EventTarget, RefusedError, UnreachableError
from tracker.web.live_camera import LiveCamera

logger = logging.getLogger(__name__)

PATIENCE = 600.0
"""Seconds for which an event is tried again."""
LONGEST_PAUSE = 30.0
"""Seconds between two tries at most."""
_POLL = 0.1


class EventDelivery:
    """Sends all events of some sources to a target, in order, from entering the `with` block to leaving it.

    The sources' own logs are the queue: a target that is so slow that an event is no longer among the latest of its
    source does not get it. At the end, what waits is sent, up to the first event that does not arrive.

    Attributes:
        name: Address of the target, without a password.
        delivered: Events that arrived.
        undelivered: Events that did not.
    """

    def __init__(self, target: EventTarget, cameras: Sequence[LiveCamera]) -> None:
        """Takes the target, which is closed at the end, and the sources."""
        self.name = target.name
        self.delivered = self.undelivered = 0
        self._target, self._cameras = target, cameras
        self._last = dict.fromkeys((camera.name for camera in cameras), 0)
        self._fails = False  # the latest event did not arrive
        self._closing = threading.Event()
        self._retrying = Retrying(
            retry=retry_if_exception_type(UnreachableError),
            wait=wait_random_exponential(multiplier=0.5, max=LONGEST_PAUSE),
            stop=stop_after_delay(PATIENCE) | stop_when_event_set(self._closing),
            sleep=sleep_using_event(self._closing),
            before_sleep=self._tell_failure,
            reraise=True,
        )
        self._thread = threading.Thread(target=self._run, name="events")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()
        if self.undelivered:
            total = self.delivered + self.undelivered
            logger.warning("%d of %d events could not be delivered to %s", self.undelivered, total, self.name)

    def _run(self) -> None:
        try:
            while not self._closing.wait(_POLL):
                self._send_new()
            self._send_new()
        finally:
            self._target.close()

    def _send_new(self) -> None:
        for camera in self._cameras:
            for event in camera.events(self._last[camera.name]):
                self.undelivered += event.number - self._last[camera.name] - 1  # they were pushed out of the log
                self._last[camera.name] = event.number
                self._send(camera, event)

    def _send(self, camera: LiveCamera, event: LiveEvent) -> None:
        if self._closing.is_set() and self._fails:
            self.undelivered += 1
            return
        try:
            self._retrying(self._target.send, camera.event_json(event))
        except (UnreachableError, RefusedError) as error:
            self.undelivered += 1
            self._tell(error)
        else:
            self.delivered += 1
            if self._fails:
                self._fails = False
                logger.info("events are delivered to %s again", self.name)

    def _tell_failure(self, state: RetryCallState) -> None:
        if state.outcome is not None and (error := state.outcome.exception()) is not None:
            self._tell(error)

    def _tell(self, error: BaseException) -> None:
        if not self._fails:
            self._fails = True
            logger.warning("an event could not be delivered to %s: %s", self.name, error)
