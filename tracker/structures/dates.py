"""Dates as text."""

from datetime import UTC, datetime


def format_utc(seconds: float) -> str:
    """Returns seconds since 1970 as a date in ISO 8601, in UTC, to the microsecond.

    Example:
        >>> format_utc(0.25)
        '1970-01-01T00:00:00.250000Z'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
