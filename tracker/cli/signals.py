"""Handling of the signals that ask a command to stop."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class SignalState:
    """A signal handler that lets a command finish properly; a second signal ends it at once.

    Attributes:
        signal: Number of the signal that came, 0 for none.
        graceful: True once there is something to finish; until then a signal ends the command at once.
    """

    def __init__(self) -> None:
        self.signal = 0
        self.graceful = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.signal or not self.graceful:
            sys.exit(128 + number)
        self.signal = number

    @property
    def exit_code(self) -> int:
        """128 plus the signal's number; 0 without a signal."""
        return 128 + self.signal if self.signal else 0


@contextmanager
def stop_signals() -> Iterator[SignalState]:
    """Handles SIGINT and SIGTERM by a `SignalState` inside the `with` block."""
    state = SignalState()
    previous = {number: signal.signal(number, state) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield state
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
