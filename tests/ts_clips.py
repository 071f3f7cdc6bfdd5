"""MPEG-TS files whose timestamps are changed, for tests."""

from collections.abc import Iterator, Mapping
from pathlib import Path

TICKS = 90000
"""Units of a second."""
_PACKET = 188
_VIDEO_PID = 0x100  # that FFmpeg gives the first stream


def restamp(path: Path, changes: Mapping[int, int], target: Path) -> Path:
    """Writes a copy of a file in which frames have other times; returns its path.

    Args:
        path: A file of one video.
        changes: New timestamps by old ones, in ticks. The decoding time of such a frame becomes the same.
        target: The copy.
    """
    data = bytearray(path.read_bytes())
    for offset in _video_headers(data):
        pts = _read(data, offset + 9)
        if pts in changes:
            _write(data, offset + 9, changes[pts])
            if data[offset + 7] & 0x40:
                _write(data, offset + 14, changes[pts])
    target.write_bytes(data)
    return target


def stated_pts(path: Path) -> list[int]:
    """Returns the presentation times of the frames of a file, in the order of decoding."""
    data = bytearray(path.read_bytes())
    return [_read(data, offset + 9) for offset in _video_headers(data)]


def _video_headers(data: bytearray) -> Iterator[int]:
    """Yields the places of the headers with times. Source: ISO/IEC 13818-1, 2.4.3.2 and 2.4.3.6."""
    for start in range(0, len(data), _PACKET):
        pid = (data[start + 1] & 0x1F) << 8 | data[start + 2]
        if pid != _VIDEO_PID or not data[start + 1] & 0x40:
            continue
        payload = start + 4 + (1 + data[start + 4] if data[start + 3] & 0x20 else 0)
        if data[payload : payload + 3] == b"\0\0\1" and data[payload + 7] & 0x80:
            yield payload


def _read(data: bytearray, offset: int) -> int:
    a, b, c, d, e = data[offset : offset + 5]
    return (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1


def _write(data: bytearray, offset: int, pts: int) -> None:
    marker = data[offset] & 0xF0
    data[offset : offset + 5] = bytes(
        [
            marker | (pts >> 30 & 7) << 1 | 1,
            pts >> 22 & 0xFF,
            (pts >> 15 & 0x7F) << 1 | 1,
            pts >> 7 & 0xFF,
            (pts & 0x7F) << 1 | 1,
        ]
    )
