"""A source that reads a video file, on disk, from a URL or from a pipe."""

from collections.abc import Generator
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from av import VideoFrame
from av.container import InputContainer
from numpy.typing import NDArray

from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.structures.end_reason import EndReason
from tracker.structures.rational import to_fraction
from tracker.video.clock import recording_clock
from tracker.video.damage import find_damage
from tracker.video.decoder import VideoDecoder
from tracker.video.deinterlace import deinterlaced
from tracker.video.frame_times import CountedTimestamps, FrameTimestamps, StatedTimestamps
from tracker.video.header import Header
from tracker.video.recording import Recording
from tracker.video.rgb import RGBConverter
from tracker.video.source import CorruptFrame, LazyFrame, Source, start_error
from tracker.video.streams import average_rate, has_timestamps, select_video_stream, stated_rate
from tracker.video.timestamps import MonotonicTimestamps

_MPEG_WRAP = 2**33  # of the clock of MPEG-TS and MPEG-PS: 26.5 hours. Source: ISO/IEC 13818-1, 2.4.3.7


class VideoFile(Source):
    """Reads a file from its beginning to its end.

    Frames before `config.start` are decoded too, not skipped by seeking: only so their number, and thus `Frame.index`,
    is known for every format. Packets that do not decode are skipped. Frames whose errors the decoder could conceal
    are used. What is skipped, missing or mended is logged when the reading ends.

    Args:
        container: The opened file; the source closes it.
        uri: See `Source`.
        name: See `Source`.
        config: The part to read, the number of the stream, and the frame rate of one without times.
        threads: See `RGBConverter`.
        media_path: Path of the file on disk; None for a URL or a pipe.
        recording: What is read from a pipe; the source closes it.
        quiet: True for a file that was read before: nothing is logged again.

    Raises:
        InputError: There is no video, none of its frames can be decoded, or `config.start` is beyond its end.
    """

    def __init__(
        self,
        container: InputContainer,
        uri: str,
        name: str,
        config: SourceConfig,
        threads: int,
        media_path: Path | None = None,
        recording: Recording | None = None,
        quiet: bool = False,
    ) -> None:
        super().__init__(uri, name, config, quiet)
        self._container = container
        self._recording = recording
        self._keeps_media = False
        self._corruption = self._damage = ""
        if recording is not None:
            self._resources.callback(recording.close)
        self._resources.callback(container.close)
        try:
            self.media_path = media_path
            self.files = (media_path,) if media_path else ()
            self.start_time = self.start_time or recording_clock(media_path or "", container)
            self._stream = select_video_stream(container, uri, config.stream, self._warn)
            by_dts = container.format.name == "avi"
            self._decoder = VideoDecoder(container, self._stream, by_dts, self._count_corrupt)
            self._decoded_frames = self._decoder.frames()
            self._resources.callback(self._decoded_frames.close)  # before the container: reading a closed one crashes
            self._to_rgb = RGBConverter(threads, self._tell_hdr)
            self._resources.callback(self._to_rgb.close)
            self._probe(by_dts)
        except BaseException:
            self.close()
            raise

    def keep_media(self, for_frames: bool = False) -> None:
        self._keeps_media |= for_frames or bool(self._container.streams.audio)

    def _probe(self, by_dts: bool) -> None:
        first = next(self._decoded_frames, None)
        if first is None:
            raise InputError(f"no frame of {self.uri} can be decoded: the file is corrupt or uses an unknown codec")
        try:
            self.height, self.width, _ = self._to_rgb(first).shape
        except av.FFmpegError as error:
            raise InputError(f"the images of {self.uri} cannot be converted to RGB: {error.strerror}") from error
        self._stored_size = first.width, first.height
        self.sample_aspect_ratio = self._to_rgb.upright_aspect(first, self._stream.sample_aspect_ratio)
        self.frame_rate = self._choose_rate()
        self._header = Header(self._container, self._stream, self.frame_rate)
        self._times = self._choose_times(by_dts)
        self.time_base = self._times.time_base
        self._next_frame: tuple[VideoFrame, int | None] | None = first, self._times.next_pts(first)
        self._first_pts = self._times.first_pts
        self.clock_offsets = self._times.clock_offsets
        duration = self._header.duration
        if self._header.ends_before(self._config.start):
            raise start_error(self.uri, self._config.start, duration)
        frame_count = max(self._header.frames, round(duration * self.frame_rate))
        self.expected_frames = self._estimate_frames(frame_count, duration)

    def _choose_times(self, by_dts: bool) -> FrameTimestamps:
        if not has_timestamps(self._container):
            states_fields = stated_rate(self._stream) is not None and not self._config.has_fps
            unit = self._stream.time_base if states_fields else None
            return CountedTimestamps(self.frame_rate, to_fraction(unit) if unit else None)
        time_base = to_fraction(self._stream.time_base or 1 / self.frame_rate)
        wrap = _MPEG_WRAP if self._container.format.name in ("mpegts", "mpeg") else 0
        times = MonotonicTimestamps(time_base, wrap, self._header.independent_duration)
        return StatedTimestamps(self._decoder, time_base, self.frame_rate, times, by_dts)

    def _choose_rate(self) -> Fraction:
        if has_timestamps(self._container):
            return average_rate(self._stream)
        stated = stated_rate(self._stream)
        if stated is None and not self._config.has_fps:
            rate = f"{float(self._config.fps):g}"
            self._warn("%s states no frame rate, and %s frames per second are taken: give --fps", self.uri, rate)
        return self._config.fps if stated is None or self._config.has_fps else stated

    def _lazy_frames(self) -> Generator[LazyFrame]:
        if self._recording is not None and not self._keeps_media:
            self._recording.forget()
        try:
            frames = deinterlaced(self._timed_frames(), self._tell_interlaced)
            for index, (frame, (pts, duration, aspect)) in enumerate(frames):
                if pts is not None:
                    yield LazyFrame(index, pts, duration, partial(self._convert, frame), aspect)
            self._finish()
        finally:
            self._report()

    def _timed_frames(self) -> Generator[tuple[VideoFrame, tuple[int | None, Fraction, Fraction | None]]]:
        """Yields decoded frames, each with timestamp, duration, and pixel aspect if its size is not the first one's."""
        item, self._next_frame = self._next_frame, None
        while item is not None:
            frame, pts = item
            aspect = None
            if (frame.width, frame.height) != self._stored_size:
                aspect = self._to_rgb.upright_aspect(frame, self._stream.codec_context.sample_aspect_ratio)
            yield frame, (pts, self._times.duration(frame), aspect)
            item = self._read_next()

    def _read_next(self) -> tuple[VideoFrame, int | None] | None:
        frame = next(self._decoded_frames, None)
        return None if frame is None else (frame, self._times.next_pts(frame))

    def _convert(self, frame: VideoFrame) -> NDArray[np.uint8]:
        try:
            return self._to_rgb(frame)
        except av.FFmpegError as error:
            raise CorruptFrame(error.strerror) from error

    def _count_corrupt(self, error: Exception) -> None:
        self.corrupt_packets += 1  # told at the end
        # Not the error's own text, which may hold the address with its password.
        self._corruption = self._corruption or getattr(error, "strerror", None) or str(error)

    def _finish(self) -> None:
        """Compares what was read with what the header states."""
        truncation = self._header.truncation(self._decoder.counts)
        end_pts = self._header.end_pts()
        if truncation:
            self.end_reason = EndReason.TRUNCATED
            self._warn("%s %s", self.uri, truncation)
        elif end_pts is not None and not self._times.were_mended:
            self._end_time = (end_pts - self._first_pts) * self.time_base
        if self.media_path is not None:
            with suppress(OSError):
                self._damage = find_damage(self.media_path, self._container.format.name)

    def _report(self) -> None:
        """Logs what was skipped, missing or mended."""
        counts = self._decoder.counts
        sentences = self._times.report() + self._header.losses(counts, self.corrupt_packets, self._corruption)
        if counts.complete and not self.truncated:
            sentences += self._header.missing(counts)
        for sentence in filter(None, [*sentences, self._damage]):
            self._warn("%s: %s", self.uri, sentence)
