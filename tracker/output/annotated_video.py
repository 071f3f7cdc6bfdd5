"""The annotated video, at the source's own timestamps and with its audio."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from av.error import FFmpegError

from tracker.config import OutputConfig
from tracker.output.base import ResultWriter, VideoInfo, cannot_open, cannot_write
from tracker.output.drawing import Annotator
from tracker.output.encoder import FragmentedMp4Writer
from tracker.output.remux import Span, remux
from tracker.structures.types import Frame, Tracks


class AnnotatedVideoWriter(ResultWriter):
    """An .mp4, .mov or .mkv of the annotated frames: H.264, yuv420p.

    Timestamps are the source's: `Frame.pts` in `VideoInfo.time_base`, never counted from a frame rate. Matroska
    itself rounds them to milliseconds. `remux` says which moment of the source is the file's 0. Pictures of odd
    width or height get one more column or row, a copy of the last, because 4:2:0 chroma needs even sizes.

    While frames arrive, `path` holds the pictures alone and is playable at any moment. Closing copies the encoded
    packets, together with those of the audio, into the final file, whose index stands at its front.

    Attributes:
        last_duration: Seconds for which the last frame is shown; 0 repeats the interval before it.
    """

    def __init__(self, path: Path, info: VideoInfo, categories: Sequence[str], config: OutputConfig) -> None:
        """Creates the file.

        Raises:
            InputError: It cannot be created.
        """
        self.path = path
        self.last_duration = Fraction(0)
        self._info = info
        self._annotator = Annotator(categories, info.width, info.height, config.trail)
        self._first_pts: int | None = None
        self._source_start = Fraction(0)
        self._last_pts = 0
        self._interval = max(1, round(1 / (info.frame_rate or 25) / info.time_base))  # where there is one frame
        try:
            self._growing: FragmentedMp4Writer | None = FragmentedMp4Writer(path, info, config)
        except (OSError, FFmpegError) as error:
            raise cannot_open(path, error) from None

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Draws the tracks into the frame and encodes it.

        Raises:
            InputError: The file cannot be written on; what was written plays.
            ValueError: The frame is not later than the one before, or the writer is closed.
        """
        if self._growing is None:
            raise ValueError(f"{self.path} is closed")
        if self._first_pts is None:
            self._first_pts = frame.pts
            self._source_start = frame.pts * self._info.time_base - Fraction(frame.time)
        elif frame.pts <= self._last_pts:
            raise ValueError(f"frame {frame.index} has pts {frame.pts}, which is not after {self._last_pts}")
        else:
            self._interval = frame.pts - self._last_pts
        self._last_pts = frame.pts
        try:
            self._growing.add(self._annotator.draw(frame, tracks), frame.pts - self._first_pts)
        except (OSError, FFmpegError) as error:
            self._growing.abandon()
            self._growing = None
            raise cannot_write(self.path, error) from None

    def close(self) -> None:
        """Finishes the file, or removes it when it has no frame.

        Raises:
            InputError: The file cannot be written on, or the source's audio cannot be read.
        """
        if self._growing is None:
            return
        growing, self._growing = self._growing, None
        if self._first_pts is None:
            growing.abandon()
            self.path.unlink(missing_ok=True)
            return
        last = round(self.last_duration / self._info.time_base) or self._interval
        try:
            growing.finish(last)
            remux(self.path, self._info, self._span(self._first_pts, last))
        except (OSError, FFmpegError) as error:
            growing.abandon()
            raise cannot_write(self.path, error) from None

    def _span(self, first_pts: int, last_duration: int) -> Span:
        time_base = self._info.time_base
        return Span(
            begin=first_pts * time_base,
            end=(self._last_pts + last_duration) * time_base,
            last_duration=last_duration * time_base,
            source_begin=self._source_start,
        )
