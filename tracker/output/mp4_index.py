"""Turning a fragmented MP4 or MOV into one with a single index, in place: its images stay where they are.

The file has a free space of some size behind its first box (`make_room`). The index is written there where it fits,
else at the end; boxes of fragments become part of the data. Until one write of 16 bytes, the file is the fragmented
one, and from then on the final one, so that it plays at any moment.

Source: ISO/IEC 14496-12, 4.2 boxes, 8.2.1 moov, 8.6 and 8.7 sample tables.
"""

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

_CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_HEADER = struct.Struct(">I4s")
_LARGE_HEADER = struct.Struct(">I4sQ")
_BLOCK = 2**20


@dataclass(frozen=True)
class Sample:
    """An encoded image: its place in the file, and its size, bytes."""

    position: int
    size: int


@dataclass(frozen=True)
class Box:
    """A box: its type, its place in the file, and the size of its header and of all of it, bytes."""

    kind: bytes
    start: int
    header: int
    size: int


def make_room(file: BinaryIO, size: int) -> None:
    """Makes the bytes that the muxer has left out behind the first box of a file a box without content."""
    os.pwrite(file.fileno(), _HEADER.pack(size, b"free"), next(boxes_of_file(file)).size)


def finish_in_place(path: Path, index: Path, samples: Sequence[Sample]) -> None:
    """Gives a fragmented file the index of another one, which holds the same images as `samples`, and its sound.

    Args:
        path: The fragmented file, with a free space behind its first box.
        index: A file with the wanted index and sound; its images are stand-ins of any size.
        samples: The images in the fragmented file, in order.

    Raises:
        OSError: It cannot be written; it is then as it was.
    """
    with path.open("r+b", buffering=0) as file, index.open("rb") as source:
        end = file.seek(0, os.SEEK_END)
        try:
            boxes = {box.kind: box for box in boxes_of_file(source)}
            data, offset = boxes[b"mdat"], end + _LARGE_HEADER.size
            moov = _read(source, boxes[b"moov"])
            has_sound = b"soun" in _handlers(moov)
            if has_sound:
                _append(source, data, file, end)
            shift = offset - data.start - data.header
            moov = _rewrite(moov, lambda stbl, kind: _sample_table(stbl, kind, samples, shift))
            _place(file, moov)
        except BaseException:
            file.truncate(end)
            raise


def _place(file: BinaryIO, moov: bytes) -> None:
    """Writes an index into the free space of a file or at its end, and makes all else its data, in one step."""
    descriptor = file.fileno()
    boxes = boxes_of_file(file)
    start, room, old = next(boxes).size, next(boxes), next(boxes)
    end = file.seek(0, os.SEEK_END)
    if room.kind == b"free" and len(moov) + _LARGE_HEADER.size <= room.size:
        after = start + len(moov)
        _write(descriptor, moov[16:] + _LARGE_HEADER.pack(1, b"mdat", end - after), start + 16)
        os.fsync(descriptor)
        os.pwrite(descriptor, moov[:16], start)
    else:
        _write(descriptor, moov, end)
        os.fsync(descriptor)
        os.pwrite(descriptor, _LARGE_HEADER.pack(1, b"mdat", end - start), start)
    with suppress(OSError):  # the file is complete
        _write(descriptor, bytes(old.size), old.start)  # the empty index, by which readers of pipes know fragments


def _append(source: BinaryIO, data: Box, file: BinaryIO, end: int) -> None:
    """Appends the content of a box to a file, as a box of its own."""
    content = data.size - data.header
    _write(file.fileno(), _LARGE_HEADER.pack(1, b"mdat", _LARGE_HEADER.size + content), end)
    source.seek(data.start + data.header)
    position = end + _LARGE_HEADER.size
    while content > 0:
        block = source.read(min(_BLOCK, content))
        _write(file.fileno(), block, position)
        position, content = position + len(block), content - len(block)


def _write(descriptor: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, position)
        view, position = view[written:], position + written


def boxes_of_file(file: BinaryIO) -> Iterator[Box]:
    """Yields the boxes of a file, those that are in no other box."""
    length, start = file.seek(0, os.SEEK_END), 0
    while start + _HEADER.size <= length:
        file.seek(start)
        box = _parse_box(file.read(_LARGE_HEADER.size), start, length)
        yield box
        start += box.size


def _boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    while start < end:
        box = _parse_box(data[start : start + _LARGE_HEADER.size], start, end)
        yield box
        start += box.size


def _parse_box(header: bytes, start: int, end: int) -> Box:
    size, kind = _HEADER.unpack_from(header)
    if size == 1:
        return Box(kind, start, _LARGE_HEADER.size, _LARGE_HEADER.unpack_from(header)[2])
    return Box(kind, start, _HEADER.size, size or end - start)


def _read(file: BinaryIO, box: Box) -> bytes:
    file.seek(box.start)
    return file.read(box.size)


def _handlers(moov: bytes) -> list[bytes]:
    """Returns the kinds of the tracks in an index, such as vide and soun."""
    tracks = [box for box in _boxes(moov, _HEADER.size, len(moov)) if box.kind == b"trak"]
    return [_handler(moov[box.start : box.start + box.size]) for box in tracks]


def _handler(trak: bytes) -> bytes:
    media = next(box for box in _boxes(trak, _HEADER.size, len(trak)) if box.kind == b"mdia")
    inside = _boxes(trak, media.start + media.header, media.start + media.size)
    handler = next(box for box in inside if box.kind == b"hdlr")
    return trak[handler.start + handler.header + 8 :][:4]


def _rewrite(moov: bytes, rewrite_table: Callable[[bytes, bytes], bytes], kind: bytes = b"") -> bytes:
    """Returns a box with other sample tables, and with the sizes that follow from them."""
    parts = []
    for box in _boxes(moov, _HEADER.size, len(moov)):
        content = moov[box.start : box.start + box.size]
        if box.kind == b"trak":
            kind = _handler(content)
        if box.kind == b"stbl":
            content = rewrite_table(content, kind)
        elif box.kind in _CONTAINERS:
            content = _rewrite(content, rewrite_table, kind)
        parts.append(content)
    return _box(moov[4:8], *parts)


def _sample_table(stbl: bytes, kind: bytes, samples: Sequence[Sample], shift: int) -> bytes:
    """Returns a sample table with the true places: of images those of `samples`, of sound later by `shift` bytes."""
    parts = []
    for box in _boxes(stbl, _HEADER.size, len(stbl)):
        content = stbl[box.start : box.start + box.size]
        is_offsets = box.kind in (b"stco", b"co64")
        if kind == b"vide" and (is_offsets or box.kind in (b"stsz", b"stsc")):
            continue
        parts.append(_offsets([offset + shift for offset in _read_offsets(content)]) if is_offsets else content)
    return _box(b"stbl", *parts, *(_places(samples) if kind == b"vide" else ()))


def _places(samples: Sequence[Sample]) -> tuple[bytes, bytes, bytes]:
    """Returns the boxes stsz, stsc and co64 of samples; those that follow each other in the file are a chunk."""
    chunks: list[list[int]] = []  # offset, and number of samples
    end = -1
    for sample in samples:
        if sample.position == end:
            chunks[-1][1] += 1
        else:
            chunks.append([sample.position, 1])
        end = sample.position + sample.size
    runs, number = [], 1
    for count, group in groupby(count for _, count in chunks):
        runs.append(struct.pack(">III", number, count, 1))
        number += len(list(group))
    sizes = struct.pack(f">{len(samples)}I", *(sample.size for sample in samples))
    return (
        _box(b"stsz", struct.pack(">III", 0, 0, len(samples)), sizes),
        _box(b"stsc", struct.pack(">II", 0, len(runs)), *runs),
        _offsets([offset for offset, _ in chunks]),
    )


def _read_offsets(box: bytes) -> Sequence[int]:
    (count,) = struct.unpack_from(">I", box, 12)
    return struct.unpack_from(f">{count}{'Q' if box[4:8] == b'co64' else 'I'}", box, 16)


def _offsets(offsets: Sequence[int]) -> bytes:
    return _box(b"co64", struct.pack(f">II{len(offsets)}Q", 0, len(offsets), *offsets))


def _box(kind: bytes, *parts: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + sum(map(len, parts)), kind) + b"".join(parts)
