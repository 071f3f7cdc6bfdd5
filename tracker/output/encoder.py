"""H.264 into a file that plays up to its last second at any moment while it grows."""

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
from tracker.output.packets import Packet, start, time_base

# How a container is written while it grows. MP4 and MOV become fragments of a second, each described by its own
# header; Matroska's clusters are like that by nature.
_FRAGMENTS = {"movflags": "empty_moov+default_base_moof", "frag_duration": "1000000", "flush_packets": "1"}
_CONTAINER_OPTIONS = {
    ".mp4": _FRAGMENTS,
    ".mov": _FRAGMENTS,
    ".mkv": {"cluster_time_limit": "1000", "flush_packets": "1"},
}
_KEYFRAME_SECONDS = 2  # how exactly a player can seek, against a few per cent of size
_THREADS = 4  # fixed, because the encoded bytes depend on it
_BT709_MATRIX = 1  # AVCOL_SPC_BT709


class FragmentedMp4Writer:
    """One H.264 stream in a growing .mp4, .mov or .mkv: yuv420p, BT.709, limited range, no B-frames."""

    def __init__(self, path: Path, info: VideoInfo, config: OutputConfig) -> None:
        """Creates the file and writes the container's header.

        Raises:
            OSError, FFmpegError: The file cannot be written; nothing is left of it.
        """
        path.open("wb").close()  # the system's own reason when it cannot be, before anything is allocated
        self._path = path
        self._time_base = info.time_base
        self._keyframe_pts = 0
        self._held: Packet | None = None
        self._reformatter = VideoReformatter()
        self._container = av.open(str(path), "w", container_options=_CONTAINER_OPTIONS[path.suffix.lower()])
        try:
            self._stream: VideoStream = self._add_stream(info, config)
            self._container.start_encoding()
        except BaseException:
            self.abandon()
            path.unlink(missing_ok=True)
            raise

    def add(self, image: Image, pts: int) -> None:
        """Encodes a picture.

        Args:
            image: uint8 (H, W, 3), RGB.
            pts: Units of the source's time base from the first picture, which has 0; increasing.

        Raises:
            OSError, FFmpegError: The file cannot be written.
        """
        height, width = image.shape[:2]
        if height % 2 or width % 2:
            image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE).astype(image.dtype)
        picture = self._reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="rgb24"),  # a view: no copy
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        picture.pts = pts
        picture.time_base = self._time_base
        picture.pict_type = PictureType.NONE
        if pts >= self._keyframe_pts:  # counted in time, because the frame rate may vary
            picture.pict_type = PictureType.I
            self._keyframe_pts = pts + round(_KEYFRAME_SECONDS / self._time_base)
        self._mux(self._stream.encode(picture))

    def finish(self, last_duration: int) -> None:
        """Completes the file; the last picture lasts that many units of the source's time base.

        Raises:
            OSError, FFmpegError: The file cannot be written.
        """
        self._mux(self._stream.encode(None))
        if self._held is not None:
            self._held.duration = last_duration
            self._container.mux_one(self._held)
        self._container.close()

    def abandon(self) -> None:
        """Closes the file after an error; what is whole in it remains."""
        with contextlib.suppress(OSError, FFmpegError):  # the first error is the one to tell
            self._container.close()
        if _CONTAINER_OPTIONS[self._path.suffix.lower()] is _FRAGMENTS:
            _cut_to_whole_fragments(self._path)

    def _add_stream(self, info: VideoInfo, config: OutputConfig) -> VideoStream:
        stream = self._container.add_stream(
            "libx264",
            rate=info.frame_rate or 25,
            options={
                "preset": config.preset,
                "crf": str(config.crf),
                "forced-idr": "1",
                "g": "600",  # keyframes are asked for by time; this only bounds them
                "bf": "0",  # no reordering: what is muxed first is shown first, at its own pts
                "threads": str(_THREADS),
                # The same bytes on every CPU; with AVX-512, x264 otherwise uses memory that it never wrote.
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
        """Writes each packet once its successor tells how long it lasts."""
        for packet in packets:
            if self._held is not None:
                self._held.duration = round((start(packet) - start(self._held)) / time_base(packet))
                self._container.mux_one(self._held)
            self._held = packet


def _cut_to_whole_fragments(path: Path) -> None:
    """Removes a last fragment whose data did not fit on the disk, at which a player might stop with an error.

    Source: ISO/IEC 14496-12, 4.2: a box is its size (4 bytes, big endian), its kind (4 letters) and its content.
    """
    with path.open("r+b") as file:
        length = file.seek(0, os.SEEK_END)
        at = whole = 0
        while at + 8 <= length:
            file.seek(at)
            size, kind = struct.unpack(">I4s", file.read(8))
            if size < 8 or at + size > length:
                break
            at += size
            if kind != b"moof":  # a fragment's header is of use together with its data
                whole = at
        file.truncate(whole)
