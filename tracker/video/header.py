"""Statements of a container's header about the length of its video, and their comparison with what was read."""

from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from tracker.video.decoder import ReadCounts
from tracker.video.streams import codec_name, has_timestamps

DURATION_TOLERANCE = Fraction(1, 2)
"""Seconds by which a file may be shorter than its header states before it counts as truncated."""

_ESTIMATED_DURATION = ("mpegts", "mpeg", "mpegvideo")  # by FFmpeg, from the latest times or the bit rate
_DURATION_IS_END_TIME = ("matroska,webm", "flv", "nut")  # they state the time at which they end
_FRAMES_MISSING = Fraction(3, 4)  # at the end, from which on they are told; less is rounding
_FRAME_PER_PACKET = {"h264", "hevc", "vvc", "av1", "mpeg1video", "mpeg2video", "mjpeg", "png", "gif", "prores", "ffv1"}
"""Codecs of which each packet gives a frame; others have packets that repeat a frame, or that are not to be shown."""


class Header:
    """The length that a header states.

    Attributes:
        duration: Of the video, seconds; 0 where it is not stated.
        independent_duration: As `duration`, in units of the stream, if it does not come from the timestamps.
        frames: Number of frames; some demuxers have counted only those that they read to open the file.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, frame_rate: Fraction) -> None:
        name = container.format.name
        self._stream = stream
        self._frame_rate = frame_rate
        self._is_avi = name == "avi"
        self._is_mov = name.startswith("mov")
        self._states_end = name in _DURATION_IS_END_TIME
        self._states_duration = has_timestamps(container) and name not in _ESTIMATED_DURATION
        self._start = Fraction(container.start_time or 0, av.time_base)
        self._container_duration = Fraction(container.duration or 0, av.time_base)
        self.frames = stream.frames
        self.independent_duration = (stream.duration or 0) if self._is_mov else 0
        self.duration = self._container_duration - (self._start if self._states_end else 0)
        if stream.duration is not None and stream.time_base is not None:
            self.duration = stream.duration * stream.time_base
        if not has_timestamps(container):
            self.duration = Fraction(0)

    def ends_before(self, time: float) -> bool:
        """Returns True if it states an end at or before a time, seconds since the first frame."""
        return self._states_duration and time >= self.duration > 0

    def end_pts(self) -> int | None:
        """Returns the end of the video, in units of the stream; None where it is not stated."""
        stream = self._stream
        if not self._states_duration or stream.duration is None or stream.start_time is None:
            return None
        return stream.start_time + stream.duration

    def truncation(self, counts: ReadCounts) -> str:
        """Returns a sentence about a file that ends before its stated end, or cannot be read to it; empty otherwise."""
        stated = self._container_duration if self._states_duration else Fraction(0)
        if self._is_avi:  # FFmpeg corrects the duration of a truncated one, not the number
            stated = max(stated, self.frames / self._frame_rate)
        read = counts.end - (0 if self._states_end else self._start)
        if stated - read > DURATION_TOLERANCE:
            return f"is truncated: {float(read):.3f} of {float(stated):.3f} s could be read"
        return f"is truncated: it could not be read beyond {float(read):.3f} s" if counts.failed else ""

    def losses(self, counts: ReadCounts, corrupt_packets: int, corruption: str) -> list[str]:
        """Returns a sentence about each kind of frames that were skipped or are damaged.

        Args:
            counts: What was read.
            corrupt_packets: Packets, and other parts of the file, that could not be read or decoded.
            corruption: The first reason for that.
        """
        sentences = []
        if corrupt_packets:
            sentences.append(f"{corrupt_packets} corrupt packets were skipped ({corruption})")
        lost = counts.packets - counts.frames if counts.complete else 0
        if lost > corrupt_packets and codec_name(self._stream) in _FRAME_PER_PACKET and not counts.interlaced:
            sentences.append(f"{lost} of {counts.packets} frames could not be decoded and are left out")
        if counts.corrupt_frames:
            sentences.append(f"{counts.corrupt_frames} frames have errors, which the decoder concealed")
        return sentences

    def missing(self, counts: ReadCounts) -> list[str]:
        """Returns a sentence if a file that was read to its end has fewer frames than it states."""
        missing = self._missing_end(counts)
        if self._is_avi and counts.stored < self.frames:
            return [f"{self.frames - counts.stored} of the {self.frames} frames that it states are missing"]
        if missing * self._frame_rate > _FRAMES_MISSING:
            return [f"its video ends {float(missing):.3f} s before the end that it states"]
        return []

    def _missing_end(self, counts: ReadCounts) -> Fraction:
        """Returns the seconds between the last packet of the video and its stated end."""
        unit = self._stream.time_base
        if self._is_mov and (end := self.end_pts()) is not None and unit is not None:
            return end * unit - counts.video_end
        tag = _parse_duration(self._stream.metadata.get("DURATION", ""))  # Matroska
        return tag - counts.video_end if tag else Fraction(0)


def _parse_duration(text: str) -> Fraction | None:
    """Returns the seconds of a duration such as 00:01:02.345."""
    try:
        hours, minutes, seconds = text.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds.strip("\0 "))
    except (ValueError, ZeroDivisionError):
        return None
