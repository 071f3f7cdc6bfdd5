"""Recordings of one camera that follow each other, as one source whose times go on from file to file."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import groupby
from pathlib import Path

from tracker.config import SourceConfig
from tracker.structures.end_reason import EndReason
from tracker.video.clock import Recording, read_recording
from tracker.video.open import open_source
from tracker.video.source import LazyFrame, Source

_CLOCK_STEP = Fraction(1)
"""Seconds in which most clocks of cameras count: what is closer to the end of the file before follows it at once."""


class JoinedFiles(Source):
    """Reads video files one after another; the time between them is that of their clocks.

    Frames count on from file to file. A file that begins less than a second before or after the end of the one before
    follows it at once, and so does one whose clock is unknown. There is no sound.

    Raises:
        InputError: A file cannot be read.
    """

    def __init__(
        self, paths: Sequence[Path], uri: str, name: str, config: SourceConfig, threads: int = 0, quiet: bool = False
    ) -> None:
        """Opens the first file.

        Args:
            paths: The files, in order.
            uri: See `Source`.
            name: See `Source`.
            config: The part to read, on the clock of all files together.
            threads: See `open_source`.
            quiet: See `Source`.
        """
        super().__init__(uri, name, config, quiet)
        whole = config.model_copy(update={"start": 0.0, "end": float("inf"), "every": 1, "start_time": ""})
        self._open_file: Callable[[Path], Source] = partial(open_source, config=whole, threads=threads, quiet=quiet)
        self._first = self._resources.enter_context(self._open_file(paths[0]))
        self.files = tuple(paths)
        self.width, self.height = self._first.width, self._first.height
        self.sample_aspect_ratio = self._first.sample_aspect_ratio
        self.time_base, self.frame_rate = self._first.time_base, self._first.frame_rate
        self._first_clock = self._first.start_time
        self.start_time = self.start_time or self._first_clock
        # About as many frames in each byte of the others.
        part = Fraction(self._first.expected_frames, max(1, paths[0].stat().st_size))
        frames = round(part * sum(path.stat().st_size for path in paths))
        self.expected_frames = self._estimate_frames(frames, frames / self.frame_rate)
        self.opener = partial(JoinedFiles, paths, uri, name, config, threads, quiet=True)

    def _lazy_frames(self) -> Generator[LazyFrame]:
        index, end, last_pts = 0, Fraction(0), -1
        for number, path in enumerate(self.files):
            with self._first if number == 0 else self._open_file(path) as file:
                start = self._start_of(file, end) if number else Fraction(0)
                last = index - 1
                with closing(file._lazy_frames()) as frames:
                    for frame in frames:
                        time = start + file._time(frame)
                        last, last_pts = index + frame.index, max(round(time / self.time_base), last_pts + 1)
                        end = time + (frame.duration or 1 / file.frame_rate)
                        aspect = frame.sample_aspect_ratio or file.sample_aspect_ratio
                        yield replace(frame, index=last, pts=last_pts, sample_aspect_ratio=aspect)
                index = last + 1
                end = max(end, start + (file._end_time or 0))
                self.corrupt_packets += file.corrupt_packets
                if file.end_reason is not EndReason.COMPLETE:
                    self.end_reason = file.end_reason
        self._end_time = end

    def _start_of(self, file: Source, end: Fraction) -> Fraction:
        """Returns the time at which a file begins, seconds since the first frame of all, no earlier than `end`."""
        if self._first_clock is None or file.start_time is None:
            return end
        try:
            start = Fraction(str((file.start_time - self._first_clock).total_seconds()))
        except TypeError:  # one of the clocks has a time zone, and the other one not
            return end
        return end if start - end < _CLOCK_STEP else start


def join_recordings(paths: Iterable[Path], gap: float) -> list[list[Path]]:
    """Returns files in groups: those of one camera that follow each other within `gap` seconds are one group.

    Files are of one camera if they are in one folder, and have the same name apart from numbers. A file without a clock
    is a group of its own. The groups are in the order of their first files in `paths`.
    """
    recordings = [read_recording(path) for path in paths]
    order = {recording.path: number for number, recording in enumerate(recordings)}
    groups = [[recording] for recording in recordings if recording.start is None]
    known = sorted((each for each in recordings if each.start is not None), key=_camera_and_time)
    for _, of_camera in groupby(known, _camera):
        before: Recording | None = None
        for recording in of_camera:
            if before is not None and -_CLOCK_STEP <= _gap(before, recording) <= gap:
                groups[-1].append(recording)
            else:
                groups.append([recording])
            before = recording
    groups.sort(key=lambda group: order[group[0].path])
    return [[recording.path for recording in group] for group in groups]


def _camera(recording: Recording) -> tuple[str, bool]:
    assert recording.start is not None
    return recording.camera, recording.start.tzinfo is None  # clocks with and without a zone cannot be compared


def _camera_and_time(recording: Recording) -> tuple[str, bool, float]:
    assert recording.start is not None
    return *_camera(recording), recording.start.timestamp()


def _gap(before: Recording, after: Recording) -> Fraction:
    assert before.start is not None and after.start is not None
    return Fraction(str((after.start - before.start).total_seconds())) - before.seconds
