"""The date and time at which a recording began: by its name, by its container, or as the user says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import av

_NAME_CLOCK = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<s>[-_.]?)(?P<month>\d\d)(?P=s)(?P<day>\d\d)[-_ T.]{0,2}"
    r"(?P<hour>\d\d)[-_.:h]?(?P<minute>\d\d)[-_.:m]?(?P<second>\d\d)(?!\d)"
)
_PARTS = ("year", "month", "day", "hour", "minute", "second")


@dataclass(frozen=True)
class Recording:
    """A video file, and when it was recorded.

    Attributes:
        path: The file.
        start: Date and time of its first frame; None where nothing tells it.
        seconds: Its length; 0 where it is not stated.
        camera: What its name and its place have in common with other recordings of the same camera.
    """

    path: Path
    start: datetime | None
    seconds: Fraction
    camera: str


def name_clock(name: str) -> datetime | None:
    """Returns the date and time in the name of a file, of an unknown time zone; None without one.

    Example:
        >>> name_clock("OTCamera19_FR20_2023-05-24_08-00-10.mp4").isoformat()
        '2023-05-24T08:00:10'
        >>> name_clock("20230524T080010.mkv").isoformat(), name_clock("a.mp4")
        ('2023-05-24T08:00:10', None)
    """
    match = _NAME_CLOCK.search(name)
    if match is None:
        return None
    try:
        return datetime(*(int(match[part]) for part in _PARTS))  # type: ignore[arg-type]
    except ValueError:  # other digits
        return None


def container_clock(metadata: Mapping[str, str]) -> datetime | None:
    """Returns the `creation_time` in the metadata of a container or stream; None without one.

    Example:
        >>> container_clock({"creation_time": "2023-05-24T08:00:10.500000Z"}).isoformat()
        '2023-05-24T08:00:10.500000+00:00'
    """
    try:
        found = datetime.fromisoformat(metadata["creation_time"])
    except (KeyError, ValueError):
        return None
    return found if found.year > 1971 else None  # cameras without a clock state 1904 or 1970


def recording_clock(path: str | Path, container: "av.container.InputContainer") -> datetime | None:
    """Returns when a recording began: the clock in its name or, without one, that of its container; None if unknown."""
    metadata = [container.metadata, *(stream.metadata for stream in container.streams.video)]
    return name_clock(Path(path).name) or next(filter(None, map(container_clock, metadata)), None)


def read_recording(path: Path) -> Recording:
    """Returns what a file says about its time, without decoding it; what cannot be read has no clock."""
    camera = str(path.with_name(re.sub(r"\d+", "", _NAME_CLOCK.sub("", path.stem))))
    try:
        with av.open(f"file:{path}") as container:
            seconds = Fraction(container.duration or 0, av.time_base)
            return Recording(path, recording_clock(path, container), seconds, camera)
    except (av.FFmpegError, OSError, UnicodeDecodeError):  # it is told when the file is tracked
        return Recording(path, None, Fraction(0), camera)
