"""Writing and reading of result files, for tests."""

import contextlib
import resource
import signal
from fractions import Fraction

import av
import numpy as np

from tracker.config import OutputConfig
from tracker.output import VideoInfo, open_writer
from tracker.output.base import AudioSource
from tracker.structures.types import Frame, Tracks

CONFIG = OutputConfig(preset="ultrafast")
NTSC = Fraction(1, 30000)
MILLISECOND = Fraction(1, 1000)
SAMPLE_RATE = 48000


def make_tracks(ids=(), boxes=(), scores=None, labels=None, observed=None):
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


def make_frame(index, width=64, height=48, color=(90, 90, 90), time=None, pts=None):
    image = np.full((height, width, 3), color, np.uint8)
    return Frame(index, index / 25 if time is None else time, index if pts is None else pts, image)


def make_info(width=64, height=48, **changes):
    values = {"name": "clip.mp4", "time_base": Fraction(1, 25), "frame_rate": Fraction(25)}
    return VideoInfo(width=width, height=height, **(values | changes))


def write_source(path, pts, time_base, audio_codec="", audio_start=0.0, audio_seconds=2.0, flash_time=None):
    """Writes a clip of dark frames and silence; from `flash_time` seconds on, frames are white and there is a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30, time_base=time_base, width=64, height=48, pix_fmt="yuv420p")
        audio = container.add_stream(audio_codec, rate=SAMPLE_RATE, layout="mono") if audio_codec else None
        packets = []
        for value in pts:
            white = flash_time is not None and value * time_base >= flash_time
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 255 if white else 16, np.uint8), format="rgb24")
            frame.pts, frame.time_base = value, time_base
            packets += video.encode(frame)
        packets += video.encode(None)
        if audio is not None:
            for offset in range(0, round(audio_seconds * SAMPLE_RATE), 1024):
                seconds = audio_start + (offset + np.arange(1024)) / SAMPLE_RATE
                wave = np.sin(2 * np.pi * 1000 * seconds) * 0.5 * (seconds >= (flash_time or 0))
                sample_format = audio.codec_context.format.name
                samples = (wave * 32767).astype(np.int16) if sample_format == "s16" else wave.astype(np.float32)
                frame = av.AudioFrame.from_ndarray(samples[None], format=sample_format, layout="mono")
                frame.pts, frame.sample_rate = round(audio_start * SAMPLE_RATE) + offset, SAMPLE_RATE
                frame.time_base = Fraction(1, SAMPLE_RATE)
                packets += audio.encode(frame)
            packets += audio.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def write_result(source, target, start=0.0, end=float("inf"), stop_after=None, last_duration=Fraction(0)):
    """Writes a video as the pipeline does, without tracking."""
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        info = VideoInfo(
            name=source.name,
            width=stream.width,
            height=stream.height,
            time_base=stream.time_base,
            frame_rate=stream.average_rate,
            audio=AudioSource.from_file(source),
            start=start,
            end=end,
        )
        with open_writer(target, info, ["person"], CONFIG) as writer:
            first_pts, written = None, 0
            for index, frame in enumerate(container.decode(stream)):
                first_pts = frame.pts if first_pts is None else first_pts
                time = float((frame.pts - first_pts) * stream.time_base)
                if time >= end or written == stop_after:
                    break
                if time >= start:
                    image = frame.to_ndarray(format="rgb24")
                    writer.write(Frame(index, time, frame.pts, image), make_tracks())
                    written += 1
            writer.last_duration = last_duration
    return target


def packet_times(path, kind="video"):
    """Returns the start and duration, exact seconds, of a stream's packets in order of presentation."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(*container.streams.get({kind: 0})) if p.pts is not None]
        return sorted((p.pts * p.time_base, (p.duration or 0) * p.time_base) for p in packets)


def start_times(path, kind="video"):
    return [start for start, _ in packet_times(path, kind)]


def container_duration(path):
    with av.open(str(path)) as container:
        return container.duration / av.time_base


def decode_images(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def count_decodable(path):
    """Returns the number of frames before the end or the first error."""
    count = 0
    with av.open(str(path)) as container, contextlib.suppress(av.error.InvalidDataError):
        for _ in container.decode(video=0):
            count += 1
    return count


def flash_and_tone_times(path):
    """Returns the times at which the image turns white and at which the tone begins, seconds of the file."""
    with av.open(str(path)) as container:
        flash_time = next(p.time for p in container.decode(video=0) if p.to_ndarray(format="rgb24").mean() > 128)
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray().astype(np.float64)[0]
            if frame.format.name.startswith("s16"):
                samples /= 32768
            if (is_loud := np.abs(samples) > 0.2).any():
                return float(flash_time), float(frame.pts * frame.time_base) + int(is_loud.argmax()) / frame.sample_rate
    raise AssertionError("no tone")


@contextlib.contextmanager
def limit_file_size(size):
    """Lets writes beyond a file size fail, as on a full disk; also those of the test's own report."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old_handler)
