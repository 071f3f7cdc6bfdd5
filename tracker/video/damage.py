"""Signs of damage in files whose demuxers pass over it: formats without a header that counts the frames."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_TS_PACKET_SIZES = (188, 192, 204)
_TS_SYNC = 0x47
_OGG_END = 4  # flag of a stream's last page. Source: RFC 3533, section 6
_GIF_IMAGE, _GIF_EXTENSION, _GIF_TRAILER = b",", b"!", b";"  # Source: GIF89a, sections 20, 23 to 27


def find_damage(path: Path, format_name: str) -> str:
    """Returns a sentence about the damage of a file; empty if none is seen.

    Only GIF, Ogg, MPEG-TS and fragmented MP4 are looked at, by the names that FFmpeg gives them.

    Raises:
        OSError: The file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "cut.ts")
        ...     _ = path.write_bytes((b"G" + bytes(187)) * 3 + b"G" + bytes(50))
        ...     find_damage(path, "mpegts")
        'it ends in the middle of a packet'
    """
    check = _CHECKS.get(format_name)
    if check is None:
        return ""
    with path.open("rb") as file:
        return check(file)


def _check_transport_stream(file: BinaryIO) -> str:
    head = file.read(5 * max(_TS_PACKET_SIZES))
    length = file.seek(0, 2)
    for size in _TS_PACKET_SIZES:
        start = size - 188 if size == 192 else 0  # in front of each packet there is a time
        if length > 3 * size and all(head[start + n * size] == _TS_SYNC for n in range(3)):
            return "it ends in the middle of a packet" if length % size else ""
    return ""


def _check_fragments(file: BinaryIO) -> str:
    """Follows the boxes of an MP4 or MOV, if they are in fragments. Source: ISO/IEC 14496-12, 4.2."""
    length = file.seek(0, 2)
    place, size, is_fragmented = 0, 8, False
    while size >= 8 and place + 8 <= length:
        file.seek(place)
        size, kind = struct.unpack(">I4s", file.read(8))
        if size == 1:
            size = int.from_bytes(file.read(8))
        elif size == 0 and kind in (b"mdat", b"free", bytes(4)):  # up to the end
            size = length - place
        place += size
        is_fragmented |= kind == b"moof"
    is_damaged = is_fragmented and (size < 8 or place > length)
    return "its fragments are damaged, and frames may be missing" if is_damaged else ""


def _check_ogg(file: BinaryIO) -> str:
    """Follows the pages: each has a checksum, those of a stream are numbered, and the last one is marked."""
    expected: dict[int, int] = {}  # number of the next page of each stream that has not ended
    damaged = False
    while len(header := file.read(27)) == 27:
        magic, flags, serial, number, checksum, segments = struct.unpack("<4sxB8xIIIB", header)
        sizes = file.read(segments)
        body = file.read(sum(sizes))
        damaged |= _ogg_checksum(header[:22] + bytes(4) + header[26:] + sizes + body) != checksum
        if magic != b"OggS" or damaged:
            return "its pages are damaged, and frames may be missing"
        damaged |= number != expected.get(serial, number)
        expected[serial] = number + 1
        if flags & _OGG_END:
            del expected[serial]
    return "it ends before its last page" if header or expected else ""


def _ogg_checksum(data: bytes) -> int:
    """Returns the CRC-32 of a page, which differs from that of zlib by the order of bits and the first value."""
    mirrored = zlib.crc32(data.translate(_MIRRORED_BYTES), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _check_gif(file: BinaryIO) -> str:
    """Follows the blocks up to the trailer."""
    screen = file.read(13)
    _skip_color_table(file, screen[10:11])
    while (introducer := file.read(1)) in (_GIF_IMAGE, _GIF_EXTENSION):
        if introducer == _GIF_IMAGE:
            _skip_color_table(file, file.read(9)[8:])
        file.read(1)  # code size of an image, label of an extension
        while (size := file.read(1)) > b"\0":
            file.seek(size[0], 1)
    if introducer == _GIF_TRAILER:
        return ""
    return "its blocks are damaged, and frames may be missing" if introducer else "it ends before its last frame"


def _skip_color_table(file: BinaryIO, flags: bytes) -> None:
    if flags and flags[0] & 0x80:
        file.seek(3 << (flags[0] & 7) + 1, 1)


_MIRRORED_BYTES = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_CHECKS: dict[str, Callable[[BinaryIO], str]] = {
    "mov,mp4,m4a,3gp,3g2,mj2": _check_fragments,
    "mpegts": _check_transport_stream,
    "ogg": _check_ogg,
    "gif": _check_gif,
}
