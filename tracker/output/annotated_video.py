"""The annotated video, with the source's own timestamps and audio."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from av.error import FFmpegError

from tracker.config import OutputConfig
from tracker.data.files import remove_file
from tracker.output.base import EncoderError, ResultWriter, VideoInfo, open_error, write_error
from tracker.output.blurring import Blurrer
from tracker.output.drawing import Annotator
from tracker.output.encoder import FragmentedMp4Writer
from tracker.output.remux import TimeRange, remux
from tracker.structures.types import Frame, Tracks


class AnnotatedVideoWriter(ResultWriter):
    """Writes the annotated frames to an .mp4, .mov or .mkv: H.264, yuv420p. `open_writer` has an example.

    Timestamps are the source's: `Frame.pts` in `VideoInfo.time_base`, never counted from a frame rate. Matroska
    itself rounds them to milliseconds. `remux` documents which time of the source is the file's 0. Images of odd
    width or height get one more column or row, a copy of the last, because 4:2:0 chroma needs even sizes.

    While frames arrive, `path` holds the video stream alone and is always playable. Closing adds the audio, and an
    index at the front, see `remux`.

    Attributes:
        last_duration: Display duration of the last frame, seconds; 0 repeats the interval before it.
    """

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        categories: Sequence[str],
        config: OutputConfig,
        overwrite: bool = True,
        annotator: Annotator | Blurrer | None = None,
    ) -> None:
        """Creates the file, or replaces it.

        Args:
            path: The file.
            info: Properties of the source.
            categories: Class names by label.
            config: Quality, and what is drawn.
            overwrite: False to refuse what exists.
            annotator: Draws into the frames; None for boxes, labels and trails.

        Raises:
            InputError: It cannot be created, or exists and may not be replaced.
        """
        self.path = path
        self.last_duration = Fraction(0)
        self._info = info
        self._annotator = annotator or Annotator(categories, info.width, info.height, config)
        self._first_pts: int | None = None
        self._source_start = Fraction(0)
        self._last_pts = 0
        self._interval = max(1, round(1 / (info.frame_rate or 25) / info.time_base))  # where there is one frame
        try:
            self._encoder: FragmentedMp4Writer | None = FragmentedMp4Writer(path, info, config, overwrite)
        except (OSError, FFmpegError, EncoderError) as error:
            raise open_error(path, error) from None

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Draws the tracks into the frame and encodes it.

        Raises:
            InputError: The file cannot be written any further; what was written plays.
            ValueError: The frame is not later than the previous one, or the writer is closed.
        """
        if self._encoder is None:
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
            self._encoder.write_frame(self._annotator.annotate(frame, tracks), frame.pts - self._first_pts)
        except (OSError, FFmpegError, EncoderError) as error:
            self._encoder.abort()
            self._encoder = None
            raise write_error(self.path, error) from None

    def close(self) -> None:
        """Completes the file, or removes it when it has no frame.

        Raises:
            InputError: The file cannot be written any further or is gone, or the source's audio cannot be read.
        """
        if self._encoder is None:
            return
        encoder, self._encoder = self._encoder, None
        if self._first_pts is None:
            encoder.abort()
            remove_file(self.path)
            return
        unit = self._info.time_base
        last_duration = round(self.last_duration / unit) or self._interval
        end = (self._last_pts + last_duration) * unit
        try:
            encoder.finalize(last_duration)
            processed = TimeRange(self._first_pts * unit, end, last_duration * unit, self._source_start)
            remux(self.path, self._info, processed, encoder.intervals)
        except (OSError, FFmpegError, EncoderError) as error:
            encoder.abort()
            raise write_error(self.path, error) from None
