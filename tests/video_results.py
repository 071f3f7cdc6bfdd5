"""What tests of results write, and how they read it back."""

import contextlib
import resource
import signal
from fractions import Fraction

import av
import numpy as np

from tracker.config import OutputConfig
from tracker.output import VideoInfo, open_writer
from tracker.structures.types import Frame, Tracks

CONFIG = OutputConfig(preset="ultrafast")
NTSC = Fraction(1, 30000)
MILLISECOND = Fraction(1, 1000)
SOUND_RATE = 48000


def tracks(ids=(), boxes=(), scores=None, labels=None, observed=None):
    n = len(ids)
    return Tracks(
        np.array(ids, np.int64),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([0.9] * n if scores is None else scores, np.float32),
        np.array([0] * n if labels is None else labels, np.int64),
        np.zeros((n, 2), np.float32),
        np.ones(n, np.float32),
        np.array([True] * n if observed is None else observed, np.bool_),
        np.arange(n),
    )


def frame(index, width=64, height=48, colour=(90, 90, 90), time=None, pts=None):
    image = np.full((height, width, 3), colour, np.uint8)
    return Frame(index, index / 25 if time is None else time, index if pts is None else pts, image)


def info(width=64, height=48, **changes):
    values = {"name": "clip.mp4", "time_base": Fraction(1, 25), "frame_rate": Fraction(25)}
    return VideoInfo(width=width, height=height, **(values | changes))


def make_source(path, pts, time_base, sound="", sound_at=0.0, sound_seconds=2.0, click_at=None):
    """A clip of dark frames, white from `click_at` seconds on, when also the silence turns into a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30, time_base=time_base, width=64, height=48, pix_fmt="yuv420p")
        audio = container.add_stream(sound, rate=SOUND_RATE, layout="mono") if sound else None
        packets = []
        for value in pts:
            white = click_at is not None and value * time_base >= click_at
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 255 if white else 16, np.uint8), format="rgb24")
            picture.pts, picture.time_base = value, time_base
            packets += video.encode(picture)
        packets += video.encode(None)
        if audio is not None:
            for at in range(0, round(sound_seconds * SOUND_RATE), 1024):
                seconds = sound_at + (at + np.arange(1024)) / SOUND_RATE
                wave = np.sin(2 * np.pi * 1000 * seconds) * 0.5 * (seconds >= (click_at or 0))
                kind = audio.codec_context.format.name
                samples = (wave * 32767).astype(np.int16) if kind == "s16" else wave.astype(np.float32)
                piece = av.AudioFrame.from_ndarray(samples[None], format=kind, layout="mono")
                piece.pts, piece.sample_rate = round(sound_at * SOUND_RATE) + at, SOUND_RATE
                piece.time_base = Fraction(1, SOUND_RATE)
                packets += audio.encode(piece)
            packets += audio.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def annotate(source, target, start=0.0, end=float("inf"), stop_after=None, last_duration=Fraction(0)):
    """What the pipeline does with a video, without the tracking."""
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        known = VideoInfo(
            name=source.name,
            width=stream.width,
            height=stream.height,
            time_base=stream.time_base,
            frame_rate=stream.average_rate,
            audio_from=str(source),
            start=start,
            end=end,
        )
        with open_writer(target, known, ["person"], CONFIG) as writer:
            first, written = None, 0
            for index, picture in enumerate(container.decode(stream)):
                first = picture.pts if first is None else first
                time = float((picture.pts - first) * stream.time_base)
                if time >= end or written == stop_after:
                    break
                if time >= start:
                    image = picture.to_ndarray(format="rgb24")
                    writer.write(Frame(index, time, picture.pts, image), tracks())
                    written += 1
            writer.last_duration = last_duration
    return target


def packets(path, kind="video"):
    """Times (start and duration, exact seconds) of a stream's packets in order of presentation."""
    with av.open(str(path)) as container:
        found = [p for p in container.demux(*container.streams.get({kind: 0})) if p.pts is not None]
        return sorted((p.pts * p.time_base, (p.duration or 0) * p.time_base) for p in found)


def times(path, kind="video"):
    return [start for start, _ in packets(path, kind)]


def duration(path):
    with av.open(str(path)) as container:
        return container.duration / av.time_base


def decoded(path):
    with av.open(str(path)) as container:
        return [picture.to_ndarray(format="rgb24") for picture in container.decode(video=0)]


def decodable(path):
    """How many frames a player shows before the end or the first error."""
    count = 0
    with av.open(str(path)) as container, contextlib.suppress(av.error.InvalidDataError):
        for _ in container.decode(video=0):
            count += 1
    return count


def click_times(path):
    """When the picture turns white and when the tone begins, in seconds of the file."""
    with av.open(str(path)) as container:
        seen = next(p.time for p in container.decode(video=0) if p.to_ndarray(format="rgb24").mean() > 128)
    with av.open(str(path)) as container:
        for piece in container.decode(audio=0):
            samples = piece.to_ndarray().astype(np.float64)[0]
            if piece.format.name.startswith("s16"):
                samples /= 32768
            if (loud := np.abs(samples) > 0.2).any():
                return float(seen), float(piece.pts * piece.time_base) + int(loud.argmax()) / piece.sample_rate
    raise AssertionError("no tone")


@contextlib.contextmanager
def file_limit(size):
    """Makes the system refuse to let any file grow beyond a size, as a full disk would; the test's own report too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
