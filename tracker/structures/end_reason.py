"""The reasons for which a run over a source ends."""

from enum import StrEnum


class EndReason(StrEnum):
    """The reason for which a run over a source ended.

    Example:
        >>> EndReason.STOPPED.is_success, EndReason.BROKE_OFF.is_success
        (True, False)
    """

    COMPLETE = "complete"
    """The source was processed to its end, or to the time at which the run was to end."""
    STOPPED = "stopped"
    """The user asked for it: a signal, the window, or a monitor."""
    TRUNCATED = "truncated"
    """The file ends before its stated end; it was processed as far as it goes."""
    BROKE_OFF = "broke off"
    """The connection of a live source ended with an error."""
    STALLED = "stalled"
    """No frame came from a live source for the timeout."""
    FAILED = "failed"
    """An error ended the run, also one of the disk."""

    @property
    def is_success(self) -> bool:
        """True if all came that was asked for: the source is complete, or was stopped as asked."""
        return self in (EndReason.COMPLETE, EndReason.STOPPED)
