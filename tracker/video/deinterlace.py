"""Deinterlacing: a frame that holds two fields of different times becomes one picture of its first field's time."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from fractions import Fraction
from typing import TypeVar

import av
from av import VideoFrame
from av.filter import Graph

T = TypeVar("T")

_FILTER = {"mode": "send_frame", "parity": "auto", "deint": "interlaced"}
"""One picture for each frame; those that are not flagged as interlaced are passed on as they are."""


def deinterlaced(
    frames: Iterable[tuple[VideoFrame, T]], on_interlaced: Callable[[], None]
) -> Generator[tuple[VideoFrame, T]]:
    """Yields decoded frames, progressive, each with what belongs to it.

    Nothing changes before the first frame that is flagged as interlaced. From it on each frame comes after the next one
    was decoded, because FFmpeg's bwdif compares the fields of three frames. No frame is added or lost.

    Args:
        frames: Frames in order, each with anything, such as its time.
        on_interlaced: Called once, before the first interlaced frame is yielded.
    """
    bwdif: _Bwdif | None = None
    waiting: deque[T] = deque()
    was_told = False
    for frame, item in frames:
        if bwdif is not None and not bwdif.takes(frame):
            yield from zip(bwdif.finish(), waiting, strict=True)
            waiting.clear()
            bwdif = None
        if bwdif is None and not frame.interlaced_frame:
            yield frame, item
            continue
        if not was_told:
            was_told = True
            on_interlaced()
        bwdif = bwdif or _Bwdif(frame)
        waiting.append(item)
        for picture in bwdif.filter(frame):
            yield picture, waiting.popleft()
    if bwdif is not None:
        yield from zip(bwdif.finish(), waiting, strict=True)


class _Bwdif:
    """FFmpeg's filter for frames of one size and format."""

    def __init__(self, frame: VideoFrame) -> None:
        self._kind = _kind(frame)
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
        )
        nodes = source, self._graph.add("bwdif", **_FILTER), self._graph.add("buffersink")
        self._graph.link_nodes(*nodes).configure()

    def takes(self, frame: VideoFrame) -> bool:
        return _kind(frame) == self._kind

    def filter(self, frame: VideoFrame) -> Generator[VideoFrame]:
        """Yields the pictures that are complete with a frame: none after the first frame, then one."""
        self._graph.vpush(frame)
        yield from self._pull()

    def finish(self) -> Generator[VideoFrame]:
        """Yields the picture of the last frame."""
        self._graph.vpush(None)
        yield from self._pull()

    def _pull(self) -> Generator[VideoFrame]:
        try:
            while True:
                yield self._graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def _kind(frame: VideoFrame) -> tuple[str, int, int]:
    return frame.format.name, frame.width, frame.height
