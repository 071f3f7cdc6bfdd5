"""H.264 encoding into a file that is always playable up to its last second while it is written."""

import os
import struct
from contextlib import suppress
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import BinaryIO

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream

from tracker.config import OutputConfig
from tracker.data.files import is_still_at, open_new_file, remove_file
from tracker.output.base import EncoderError, VideoInfo
from tracker.output.drawing import Image
from tracker.output.gaps import MOST_TICKS, FrameIntervals
from tracker.output.mp4_index import make_room
from tracker.output.packets import Packet, start_time, time_base

# Options that keep an unfinished file playable, but for its last second. MP4 and MOV are written as short fragments,
# each with its own header; Matroska's clusters have one anyway. The encoder holds back some more (`_frames_ahead`).
_FRAGMENTS = {"movflags": "empty_moov+default_base_moof", "frag_duration": "250000", "flush_packets": "1"}
_CLUSTERS = {"cluster_time_limit": "250", "flush_packets": "1"}
_KEYFRAME_SECONDS = 2  # accuracy of seeking, which costs a few percent of the size
_MOST_THREADS, _MOST_LOOKAHEAD = 4, 10  # fixed, because the encoded bytes depend on them
_MOST_DELAY = Fraction(1, 2)  # seconds of video that the encoder holds back
_BT709_MATRIX = 1  # AVCOL_SPC_BT709
_LEAST_ROOM, _ROOM_OF_FRAME, _ROOM_OF_SECOND = 2**13, 16, 300
"""Bytes left for the final index, which has about 5 for a frame, and 4 for each of 50 packets of sound a second."""


class FragmentedMp4Writer:
    """Writes one H.264 stream to a fragmented .mp4, .mov or .mkv: yuv420p, BT.709, limited range, no B-frames.

    A sample of MP4 and MOV lasts at most `MOST_TICKS` units of its track. A longer interval between two images is
    shortened to that in this file; `intervals` knows the true ones.

    Attributes:
        intervals: The intervals between the images.

    Raises:
        OSError, FFmpegError: The file cannot be created, written or completed.
        EncoderError: The encoder does not take the images.
    """

    def __init__(self, path: Path, info: VideoInfo, config: OutputConfig, overwrite: bool = True) -> None:
        """Creates the file and writes the container's header; after an error the file is removed.

        Raises:
            FileExistsError: There is something at `path`, and it is not to be replaced.
        """
        # The system's own error if it fails, before anything is allocated.
        self._claimed = open_new_file(path, overwrite)
        self._path = path
        self._time_base = info.time_base
        self._keyframe_pts = 0
        self._pending: Packet | None = None
        self._reformatter = VideoReformatter()
        self._is_fragmented = path.suffix.lower() != ".mkv"
        room = _room(info)
        options = {**_FRAGMENTS, "moov_size": str(room)} if self._is_fragmented else _CLUSTERS
        try:
            # "file:", since FFmpeg would take what stands before a colon for a protocol.
            self._container = av.open(f"file:{path}", "w", container_options=options)
        except BaseException:
            self._claimed.close()
            remove_file(path)
            raise
        try:
            self._stream: VideoStream = self._add_stream(info, config)
            self._container.start_encoding()
            if self._is_fragmented:
                make_room(self._claimed, room)
            unit = self._stream.time_base or info.time_base  # of the container, known once the header is written
            self.intervals = FrameIntervals(int(MOST_TICKS * unit / info.time_base) if self._is_fragmented else None)
        except BaseException:
            self.abort()
            remove_file(path)
            raise

    def write_frame(self, image: Image, pts: int) -> None:
        """Encodes an image, uint8 (H, W, 3) RGB.

        The pts are the time since the first image, in units of the source's time base, and strictly increase.
        """
        frame = to_yuv420p(image, self._reformatter)
        frame.pts = self.intervals.add(pts)
        frame.time_base = self._time_base
        frame.pict_type = PictureType.NONE
        if pts >= self._keyframe_pts:  # by time, because the frame rate may vary
            frame.pict_type = PictureType.I
            self._keyframe_pts = pts + round(_KEYFRAME_SECONDS / self._time_base)
        self._mux(self._encode(frame))

    def finalize(self, last_duration: int) -> None:
        """Completes the file; `last_duration` is that of the last image, in units of the source's time base."""
        self._mux(self._encode(None))
        if self._pending is not None:
            self._pending.duration = self.intervals.shorten(last_duration)
            self._container.mux_one(self._pending)
        self._container.close()
        with self._claimed as file:
            if not is_still_at(self._path, os.fstat(file.fileno())):
                raise FileNotFoundError

    def abort(self) -> None:
        """Closes the file after an error, and raises none of its own; its complete fragments remain."""
        with suppress(OSError, FFmpegError):  # the first error is the one to report
            self._container.close()
        if self._claimed.closed:  # it is complete
            return
        # Not by its name, which another run may have taken.
        with self._claimed as file, suppress(OSError):
            if self._is_fragmented:
                _truncate_to_complete_fragments(file)

    def _add_stream(self, info: VideoInfo, config: OutputConfig) -> VideoStream:
        stream = self._container.add_stream(
            "libx264",
            rate=info.frame_rate or 25,
            options={
                "preset": config.preset,
                "crf": str(config.crf),
                "forced-idr": "1",
                "g": "600",  # keyframes are requested by time; this is only a limit
                "bf": "0",  # no reordering: packets are muxed in the order of presentation
                **_frames_ahead(info.frame_rate or Fraction(25)),
                # The same bytes on every CPU; with AVX-512, x264 otherwise uses uninitialized memory.
                "x264-params": "cpu-independent=1",
            },
            width=info.width + info.width % 2,
            height=info.height + info.height % 2,
            pix_fmt="yuv420p",
            time_base=info.time_base,
        )
        context = stream.codec_context
        context.thread_type = "FRAME"  # PyAV's own choice, slices, takes longer and makes larger files
        set_bt709(context)
        if info.sample_aspect_ratio != 1:
            context.sample_aspect_ratio = info.sample_aspect_ratio
        try:
            context.open()
        except FFmpegError as error:
            size = f"{info.width}x{info.height} pixels"
            raise EncoderError(f"the H.264 encoder takes no images of {size} ({error.strerror})") from None
        return stream

    def _encode(self, frame: av.VideoFrame | None) -> list[Packet]:
        try:
            return self._stream.encode(frame)
        except FFmpegError as error:
            raise EncoderError(f"the H.264 encoder failed ({error.strerror})") from None

    def _mux(self, packets: list[Packet]) -> None:
        """Writes each packet once the next one gives its duration."""
        for packet in packets:
            if self._pending is not None:
                self._pending.duration = round((start_time(packet) - start_time(self._pending)) / time_base(packet))
                self._container.mux_one(self._pending)
            self._pending = packet


def to_yuv420p(image: Image, reformatter: VideoReformatter) -> av.VideoFrame:
    """Returns an image, uint8 (H, W, 3) RGB, as yuv420p, BT.709, limited range; odd sides get another row or column."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE).astype(image.dtype)
    return reformatter.reformat(
        av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="rgb24"),  # a view: no copy
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        threads=1,
    )


def set_bt709(context: VideoCodecContext) -> None:
    """Lets the stream of an encoder say that its colors are those of `to_yuv420p`."""
    context.colorspace = _BT709_MATRIX
    context.color_range = ColorRange.MPEG
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709


def _frames_ahead(frame_rate: Fraction) -> dict[str, str]:
    """Returns the options for the frames that the encoder works on at the same time, and looks at ahead.

    It holds back one more than both together, which is at most `_MOST_DELAY`, but at least 3 frames: without looking
    ahead at all, files of the same quality are a third larger.
    """
    frames = int(_MOST_DELAY * frame_rate)
    threads = max(1, min(_MOST_THREADS, frames // 3))
    return {"threads": str(threads), "rc-lookahead": str(max(1, min(_MOST_LOOKAHEAD, frames - threads - 1)))}


def _room(info: VideoInfo) -> int:
    """Returns the bytes to leave for the final index; on disk they take no place until something is written there.

    It is a power of two, so that it hardly depends on how the number of frames is estimated.
    """
    seconds = ceil(info.expected_frames / (info.frame_rate or 25))
    room = _LEAST_ROOM + _ROOM_OF_FRAME * info.expected_frames + _ROOM_OF_SECOND * seconds
    return min(1 << (room - 1).bit_length(), 2**30)


def _truncate_to_complete_fragments(file: BinaryIO) -> None:
    """Removes an incomplete last fragment, at which a player might stop with an error.

    Source: ISO/IEC 14496-12, 4.2: a box is its size (4 bytes, big endian), its type (4 letters) and its content.
    """
    length = file.seek(0, os.SEEK_END)
    offset = complete_end = 0
    while offset + 8 <= length:
        file.seek(offset)
        size, box_type = struct.unpack(">I4s", file.read(8))
        if size < 8 or offset + size > length:
            break
        offset += size
        if box_type != b"moof":  # a fragment's header is useless without its data
            complete_end = offset
    file.truncate(complete_end)
