"""A program that reads damaged copies of small videos, each in a process of its own, and reports what became of them.

    python tests/mutated_videos.py --count 1000 --seed 0

prints a line for each copy that ended badly or lost frames without a word, and the sums. It imports no PyTorch, so that
the memory of a process is that of reading.
"""

import argparse
import json
import logging
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.video import open_source
from video_clips import write_clip

FRAMES = 30
TIME_LIMIT = 30
"""Seconds for one copy; an undamaged one takes a hundredth of one."""
MEMORY_LIMIT = 3 * 2**30
"""Bytes of address space of a process; more is an error in it."""

CLIPS: dict[str, dict[str, object]] = {
    "h264.mp4": {"audio": 3.0},
    "faststart.mp4": {"container_options": {"movflags": "faststart"}},
    "fragmented.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "10"}},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "png.mov": {"codec": "png", "pix_fmt": "rgb24"},
    "h264.mov": {},
    "h264.mkv": {"options": {"g": "10"}},
    "sound.mkv": {"audio": 3.0},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "h264.ts": {"options": {"g": "10"}},
    "sound.ts": {"audio": 3.0},
    "mpeg2.ts": {"codec": "mpeg2video", "rate": 25},
    "h264.avi": {},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "h264.flv": {},
    "gif.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "vp8.ogv": {"codec": "libvpx"},
    "mpeg2.mpg": {"codec": "mpeg2video", "rate": 25},
    "mpeg4.asf": {"codec": "mpeg4"},
    "h264.nut": {},
    "raw.h264": {},
    "raw.m2v": {"codec": "mpeg2video", "rate": 25},
}


@dataclass
class Outcome:
    """The result of reading one copy.

    Attributes:
        kind: read, refused (with an InputError), error (any other), killed or hung.
        message: Of the error.
        times: Of the frames, seconds.
        warnings: What was logged.
        memory: Largest resident memory of the process, bytes.
        seconds: Duration.
    """

    kind: str
    message: str = ""
    times: list[float] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    memory: int = 0
    seconds: float = 0.0


def make_clips(folder: Path) -> dict[str, bytes]:
    """Returns the undamaged videos."""
    clips = {}
    for name, settings in CLIPS.items():
        clips[name] = write_clip(folder / name, FRAMES, **{"rate": 10, **settings}).read_bytes()  # type: ignore[arg-type]
    return clips


def mutate(data: bytes, random_: random.Random) -> tuple[str, bytes]:
    """Returns the kind of a random damage, and the damaged data."""
    kind = random_.choice(list(MUTATIONS))
    damaged = bytearray(data)
    MUTATIONS[kind](damaged, random_)
    return kind, bytes(damaged)


def _flip(data: bytearray, random_: random.Random) -> None:
    for _ in range(random_.choice((1, 3, 20))):
        data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)


def _flip_header(data: bytearray, random_: random.Random) -> None:
    for _ in range(random_.choice((1, 3))):
        data[random_.randrange(min(len(data), 1000))] ^= 1 << random_.randrange(8)


def _flip_trailer(data: bytearray, random_: random.Random) -> None:
    for _ in range(random_.choice((1, 3))):
        data[-1 - random_.randrange(min(len(data), 1500))] ^= 1 << random_.randrange(8)


def _overwrite_number(data: bytearray, random_: random.Random) -> None:
    values = (0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, random_.getrandbits(32))
    for _ in range(random_.choice((1, 2))):
        size = random_.choice((1, 2, 4))
        offset = random_.randrange(len(data) - size)
        data[offset : offset + size] = (random_.choice(values) & ((1 << 8 * size) - 1)).to_bytes(size, "big")


def _truncate(data: bytearray, random_: random.Random) -> None:
    del data[random_.randrange(len(data)) :]


def _block(data: bytearray, random_: random.Random) -> slice:
    size = random_.choice((1, 4, 16, 188, 1000))
    start = random_.randrange(max(1, len(data) - size))
    return slice(start, start + size)


def _remove(data: bytearray, random_: random.Random) -> None:
    del data[_block(data, random_)]


def _zero(data: bytearray, random_: random.Random) -> None:
    block = _block(data, random_)
    data[block] = bytes(len(data[block]))


def _repeat(data: bytearray, random_: random.Random) -> None:
    block = _block(data, random_)
    data[block.start : block.start] = data[block]


def _swap(data: bytearray, random_: random.Random) -> None:
    first = _block(data, random_)
    size = len(data[first])
    start = random_.randrange(max(1, len(data) - size))
    second = slice(start, start + size)
    data[first], data[second] = data[second], data[first]


MUTATIONS: dict[str, Callable[[bytearray, random.Random], None]] = {
    "flip": _flip,
    "flip header": _flip_header,
    "flip trailer": _flip_trailer,
    "number": _overwrite_number,
    "truncate": _truncate,
    "remove": _remove,
    "zero": _zero,
    "repeat": _repeat,
    "swap": _swap,
}


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def read_in_this_process(path: Path) -> Outcome:
    """Reads a video to its end."""
    handler = _Warnings()
    logging.getLogger().addHandler(handler)
    times: list[float] = []
    try:
        with open_source(path, SourceConfig(), threads=1) as source:
            for frame in source:
                times.append(frame.time)
                if len(times) > 1000 * FRAMES:
                    raise RuntimeError("more frames than the file has bytes")
    except InputError as error:
        return Outcome("refused", str(error), times, handler.messages)
    except BaseException:
        return Outcome("error", traceback.format_exc(), times, handler.messages)
    return Outcome("read", "", times, handler.messages)


def read_in_child(path: Path) -> Outcome:
    """Reads a video in a process with limited memory and time."""
    reader, writer = os.pipe()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
        signal.alarm(TIME_LIMIT)  # ends the process, wherever it is
        with os.fdopen(writer, "w") as out:
            json.dump(asdict(read_in_this_process(path)), out)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as received:
        text = received.read()
    _, status, usage = os.wait4(child, 0)
    if status:
        number = os.WTERMSIG(status)
        outcome = Outcome("hung" if number == signal.SIGALRM else "killed", f"status {status}")
    else:
        outcome = Outcome(**json.loads(text))
    outcome.memory = usage.ru_maxrss * 1024
    outcome.seconds = time.monotonic() - start
    return outcome


def is_silent_loss(outcome: Outcome, original: Outcome) -> bool:
    """Returns True if frames are missing and nothing was said."""
    return outcome.kind == "read" and len(outcome.times) < len(original.times) and not outcome.warnings


def is_silent_shift(outcome: Outcome, original: Outcome) -> bool:
    """Returns True if there are as many frames, but at other times, and nothing was said."""
    same_count = outcome.kind == "read" and len(outcome.times) == len(original.times)
    return same_count and not outcome.warnings and not np.allclose(outcome.times, original.times, atol=0.002)


def run(count: int, seed: int, folder: Path, keep: Path | None = None) -> dict[str, object]:
    """Reads `count` damaged copies; returns the sums."""
    clips = make_clips(folder)
    originals = {}
    for name, data in clips.items():
        (folder / name).write_bytes(data)
        originals[name] = read_in_child(folder / name)
        assert originals[name].kind == "read" and len(originals[name].times) == FRAMES, (name, originals[name])
        assert not originals[name].warnings, (name, originals[name].warnings)
    sums: Counter[str] = Counter()
    losses: Counter[str] = Counter()
    memory = seconds = 0.0
    random_ = random.Random(seed)
    for number in range(count):
        name = random_.choice(list(clips))
        kind, data = mutate(clips[name], random_)
        path = folder / f"{number}_{name}"
        path.write_bytes(data)
        outcome = read_in_child(path)
        memory, seconds = max(memory, outcome.memory), max(seconds, outcome.seconds)
        sums[outcome.kind] += 1
        loss, shift = is_silent_loss(outcome, originals[name]), is_silent_shift(outcome, originals[name])
        fewer = outcome.kind == "read" and len(outcome.times) < FRAMES
        sums["read, with fewer frames"] += fewer
        sums["silent loss"] += loss
        sums["silent shift"] += shift
        if loss or shift or outcome.kind in ("error", "killed", "hung"):
            losses[f"{name}, {kind}"] += loss
            what = "silent loss" if loss else "silent shift" if shift else outcome.kind
            print(f"{number} {name} {kind}: {what}, {len(outcome.times)} frames {outcome.message}", flush=True)
            if keep is not None:
                (keep / path.name).write_bytes(data)
        path.unlink()
    return {**sums, "memory": int(memory), "seconds": round(seconds, 2), "copies": count, "seed": seed}


def main() -> None:
    """Prints the sums as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for copies that ended badly")
    arguments = parser.parse_args()
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(run(arguments.count, arguments.seed, Path(folder), arguments.keep)))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
