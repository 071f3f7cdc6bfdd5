"""H.264 encoding into a file that is always playable up to its last second while it is written."""

import contextlib
import os
import struct
from pathlib import Path

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.video.frame import PictureType
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream

from tracker.config import OutputConfig
from tracker.output.base import VideoInfo
from tracker.output.drawing import Image
from tracker.output.packets import Packet, start_time, time_base

# Options that keep an unfinished file playable. MP4 and MOV are written as fragments of a second, each with its own
# header; Matroska's clusters have one anyway.
_FRAGMENTS = {"movflags": "empty_moov+default_base_moof", "frag_duration": "1000000", "flush_packets": "1"}
_CLUSTERS = {"cluster_time_limit": "1000", "flush_packets": "1"}
_CONTAINER_OPTIONS = {".mp4": _FRAGMENTS, ".mov": _FRAGMENTS, ".mkv": _CLUSTERS}
_KEYFRAME_SECONDS = 2  # accuracy of seeking, which costs a few percent of the size
_THREADS = 4  # fixed, because the encoded bytes depend on it
_BT709_MATRIX = 1  # AVCOL_SPC_BT709


class FragmentedMp4Writer:
    """Writes one H.264 stream to a fragmented .mp4, .mov or .mkv: yuv420p, BT.709, limited range, no B-frames.

    Raises:
        OSError, FFmpegError: The file cannot be created, written or completed.
    """

    def __init__(self, path: Path, info: VideoInfo, config: OutputConfig) -> None:
        """Creates the file and writes the container's header; after an error the file is removed."""
        path.open("wb").close()  # the system's own error if it fails, before anything is allocated
        self._path = path
        self._time_base = info.time_base
        self._keyframe_pts = 0
        self._pending: Packet | None = None
        self._reformatter = VideoReformatter()
        self._container = av.open(str(path), "w", container_options=_CONTAINER_OPTIONS[path.suffix.lower()])
        try:
            self._stream: VideoStream = self._add_stream(info, config)
            self._container.start_encoding()
        except BaseException:
            self.abort()
            path.unlink(missing_ok=True)
            raise

    def write_frame(self, image: Image, pts: int) -> None:
        """Encodes an image, uint8 (H, W, 3) RGB.

        The pts are the time since the first image, in units of the source's time base, and strictly increase.
        """
        height, width = image.shape[:2]
        if height % 2 or width % 2:
            image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE).astype(image.dtype)
        frame = self._reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="rgb24"),  # a view: no copy
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        frame.pts = pts
        frame.time_base = self._time_base
        frame.pict_type = PictureType.NONE
        if pts >= self._keyframe_pts:  # by time, because the frame rate may vary
            frame.pict_type = PictureType.I
            self._keyframe_pts = pts + round(_KEYFRAME_SECONDS / self._time_base)
        self._mux(self._stream.encode(frame))

    def finalize(self, last_duration: int) -> None:
        """Completes the file; `last_duration` is that of the last image, in units of the source's time base."""
        self._mux(self._stream.encode(None))
        if self._pending is not None:
            self._pending.duration = last_duration
            self._container.mux_one(self._pending)
        self._container.close()

    def abort(self) -> None:
        """Closes the file after an error; its complete fragments remain."""
        with contextlib.suppress(OSError, FFmpegError):  # the first error is the one to report
            self._container.close()
        if _CONTAINER_OPTIONS[self._path.suffix.lower()] is _FRAGMENTS:
            _truncate_to_complete_fragments(self._path)

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
                "threads": str(_THREADS),
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
        context.colorspace = _BT709_MATRIX
        context.color_range = ColorRange.MPEG
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        return stream

    def _mux(self, packets: list[Packet]) -> None:
        """Writes each packet once the next one gives its duration."""
        for packet in packets:
            if self._pending is not None:
                self._pending.duration = round((start_time(packet) - start_time(self._pending)) / time_base(packet))
                self._container.mux_one(self._pending)
            self._pending = packet


def _truncate_to_complete_fragments(path: Path) -> None:
    """Removes an incomplete last fragment, at which a player might stop with an error.

    Source: ISO/IEC 14496-12, 4.2: a box is its size (4 bytes, big endian), its type (4 letters) and its content.
    """
    with path.open("r+b") as file:
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
