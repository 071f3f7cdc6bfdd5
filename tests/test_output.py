"""Results on the disk: whole rows, true times, sound in step, and files that survive what happens to a run."""

import contextlib
import json
import resource
import signal
import struct
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import tracker.output
from tracker.config import OutputConfig
from tracker.errors import InputError
from tracker.output import AnnotatedVideoWriter, Annotator, VideoInfo, open_writer
from tracker.types import Frame, Tracks

pytestmark = pytest.mark.filterwarnings("error")

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


# --- tables


def write_csv(path):
    with open_writer(path, info(), ["person", 'car, "old"'], CONFIG) as writer:
        writer.write(
            frame(0),
            tracks([3, 7], [[-5.5, 1.234, 20, 30], [10, 10, 30, 47.999]], [0.98766, 0.5], [0, 1], [True, False]),
        )
        writer.write(frame(1), tracks())
        writer.write(frame(2, time=1 / 3), tracks([3, 4], [[70, 0, 90, 20], [-0.0, 0, 64, 48]]))
    return path


def test_csv_states_each_track_of_each_frame(tmp_path):
    assert write_csv(tmp_path / "a.csv").read_text() == (
        "frame,time_s,track_id,class,score,x1,y1,x2,y2,observed\n"
        "0,0.000000,3,person,0.9877,0.00,1.23,20.00,30.00,1\n"
        '0,0.000000,7,"car, ""old""",0.5000,10.00,10.00,30.00,48.00,0\n'
        "2,0.333333,4,person,0.9000,0.00,0.00,64.00,48.00,1\n"
    )


def test_csv_opens_in_pandas_and_is_the_same_every_time(tmp_path):
    pandas = pytest.importorskip("pandas")
    path = write_csv(tmp_path / "a.csv")
    table = pandas.read_csv(path)
    assert list(table["class"]) == ["person", 'car, "old"', "person"]
    assert table["track_id"].dtype == np.int64
    assert path.read_bytes() == write_csv(tmp_path / "b.csv").read_bytes()


def test_csv_rows_are_on_the_disk_after_each_frame(tmp_path):
    with open_writer(tmp_path / "a.csv", info(), ["person"], CONFIG) as writer:
        writer.write(frame(0), tracks([1], [[1, 1, 9, 9]]))
        assert writer.path.read_text().count("\n") == 2


def test_a_full_disk_keeps_whole_rows_and_says_so(tmp_path):
    path = tmp_path / "a.csv"
    writer = open_writer(path, info(), ["person"], CONFIG)
    with file_limit(1000), pytest.raises(InputError, match="what was written so far is kept") as caught:
        for index in range(100):
            writer.write(frame(index), tracks([1, 2], [[1, 1, 9, 9], [2, 2, 8, 8]]))
    writer.close()
    assert str(path) in str(caught.value)
    text = path.read_text()
    assert text.endswith("\n") and len(text) < 1000
    rows = text.splitlines()[1:]
    assert len(rows) % 2 == 0 and len(rows) > 10 and all(row.count(",") == 9 for row in rows)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_disk_that_is_full_from_the_start(tmp_path):
    (tmp_path / "a.csv").symlink_to("/dev/full")
    with pytest.raises(InputError, match="No space left"):
        open_writer(tmp_path / "a.csv", info(), ["person"], CONFIG)


def test_mot_counts_frames_from_one_and_gives_width_and_height(tmp_path):
    with open_writer(tmp_path / "a.txt", info(), ["person"], CONFIG) as writer:
        writer.write(frame(0), tracks([5], [[10, 12, 30, 42]], [0.75]))
        writer.write(frame(4), tracks([5, 6], [[-10, 12, 30, 42], [64, 0, 80, 9]], [0.75, 0.5]))
    rows = np.loadtxt(tmp_path / "a.txt", delimiter=",")
    np.testing.assert_allclose(
        rows, [[1, 5, 10, 12, 20, 30, 0.75, -1, -1, -1], [5, 5, 0, 12, 30, 30, 0.75, -1, -1, -1]]
    )


def test_coco_loads_in_pycocotools(tmp_path, capsys):
    coco = pytest.importorskip("pycocotools.coco")
    with open_writer(tmp_path / "a.json", info(), ["person", "car"], CONFIG) as writer:
        writer.write(frame(0), tracks([5, 6], [[10, 12, 30, 42], [64, 0, 80, 9]], [0.75, 0.5], [1, 0]))
        writer.write(frame(1), tracks())
        writer.write(frame(2), tracks([5], [[11, 12, 31, 42]], [0.5], [1], [False]))
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    data = coco.COCO(str(tmp_path / "a.json"))
    assert [data.imgs[i]["frame_index"] for i in sorted(data.imgs)] == [0, 1, 2]
    assert data.imgs[3]["time_s"] == pytest.approx(0.08)
    assert data.cats[2]["name"] == "car"
    first, second = data.loadAnns([1, 2])
    assert first["bbox"] == [10, 12, 20, 30] and first["area"] == 600 and first["category_id"] == 2
    assert (first["track_id"], second["track_id"], second["image_id"], second["observed"]) == (5, 5, 3, False)


def test_coco_without_any_frame_is_valid(tmp_path):
    open_writer(tmp_path / "a.json", info(), ["person"], CONFIG).close()
    assert json.loads((tmp_path / "a.json").read_text())["images"] == []


def test_coco_leaves_nothing_behind_on_a_full_disk(tmp_path):
    writer = open_writer(tmp_path / "a.json", info(), ["person"], CONFIG)
    with file_limit(20_000), pytest.raises(InputError, match=r"a\.json"), writer:
        for index in range(1000):
            writer.write(frame(index), tracks([1], [[1, 1, 9, 9]]))
    assert list(tmp_path.iterdir()) == []


# --- opening


def test_an_unknown_suffix_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"\.mp4.*\.csv.*\.json"):
        open_writer(tmp_path / "a.avi", info(), ["person"], CONFIG)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".csv", ".txt", ".json"])
def test_a_folder_that_cannot_be_written_is_told_when_opening(tmp_path, suffix):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(InputError, match="cannot write to"):
            open_writer(folder / f"a{suffix}", info(), ["person"], CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("suffix", [".MP4", ".mkv", ".csv", ".txt", ".json"])
def test_closing_twice_is_harmless(tmp_path, suffix):
    writer = open_writer(tmp_path / f"a{suffix}", info(), ["person"], CONFIG)
    for index in range(3):
        writer.write(frame(index), tracks([1], [[1, 1, 9, 9]]))
    writer.close()
    content = writer.path.read_bytes()
    writer.close()
    assert writer.path.read_bytes() == content


def test_public_names():
    assert sorted(tracker.output.__all__) == [
        "AnnotatedVideoWriter",
        "Annotator",
        "DetectionWriter",
        "ResultWriter",
        "VideoInfo",
        "choose_places",
        "numbered",
        "open_writer",
        "remove_if_empty",
        "results_folder",
    ]


# --- video: time

CLIPS = {
    "29.97": ([i * 1001 for i in range(60)], NTSC),
    "variable": ([0, 3000, 7001, 20000, 23303, 90007, 140000], Fraction(1, 90000)),
    "milliseconds": ([0, 33, 67, 100, 500, 501, 1700], MILLISECOND),
    "late start": ([300300 + i * 1001 for i in range(30)], NTSC),
}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("clip", CLIPS)
def test_timestamps_are_the_sources(tmp_path, clip, suffix):
    pts, time_base = CLIPS[clip]
    source = make_source(tmp_path / "source.mp4", pts, time_base)
    result = annotate(source, tmp_path / f"result{suffix}")
    wanted = [(value - pts[0]) * time_base for value in pts]
    if suffix == ".mkv":  # the container counts milliseconds
        np.testing.assert_allclose(np.array(times(result), float), np.array(wanted, float), atol=0.000501)
    else:
        assert times(result) == wanted


def test_duration_is_the_sources(tmp_path):
    pts, time_base = CLIPS["variable"]
    source = make_source(tmp_path / "source.mp4", pts, time_base)
    last = Fraction(1, 20)
    for suffix in (".mp4", ".mkv"):
        result = annotate(source, tmp_path / f"result{suffix}", last_duration=last)
        assert duration(result) == pytest.approx(float(pts[-1] * time_base + last), abs=0.001)
    even = annotate(make_source(tmp_path / "even.mp4", *CLIPS["29.97"]), tmp_path / "even_result.mp4")
    assert packets(even)[-1][1] == Fraction(1001, 30000)
    assert duration(even) == pytest.approx(60 * 1001 / 30000, abs=1e-5)


def test_a_cut_begins_at_zero(tmp_path):
    pts, time_base = CLIPS["29.97"]
    source = make_source(tmp_path / "source.mp4", pts, time_base, sound="aac")
    result = annotate(source, tmp_path / "result.mp4", start=0.5, end=1.5)
    assert times(result) == [i * Fraction(1001, 30000) for i in range(30)]
    assert duration(result) == pytest.approx(30 * 1001 / 30000, abs=0.001)


def test_one_frame_is_a_video(tmp_path):
    source = make_source(tmp_path / "source.mp4", [0], NTSC)
    assert len(decoded(annotate(source, tmp_path / "result.mp4"))) == 1


def test_a_frame_out_of_order_is_refused(tmp_path):
    with open_writer(tmp_path / "a.mp4", info(), ["person"], CONFIG) as writer:
        writer.write(frame(5), tracks())
        with pytest.raises(ValueError, match="not after"):
            writer.write(frame(5), tracks())


# --- video: sound


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_audio_is_copied_and_keeps_its_length(tmp_path, suffix):
    pts, time_base = CLIPS["29.97"]
    source = make_source(tmp_path / "source.mp4", pts, time_base, sound="aac", sound_seconds=2.4)
    result = annotate(source, tmp_path / f"result{suffix}")
    with av.open(str(result)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    lost = 1 if suffix == ".mkv" else 0  # the encoder's own delay, which lies before 0
    assert len(times(result, "audio")) == len(times(source, "audio")) - lost
    assert duration(result) == pytest.approx(duration(source), abs=0.001 if suffix != ".mkv" else 0.002)


@pytest.mark.parametrize(
    ("name", "sound", "video_at", "sound_at", "start", "suffix"),
    [
        ("plain.mp4", "aac", 0, 0.0, 0.0, ".mp4"),
        ("cut.mp4", "aac", 0, 0.0, 0.5, ".mp4"),
        ("cut.mp4", "aac", 0, 0.0, 0.5, ".mkv"),
        ("sound_first.mp4", "aac", 15015, 0.0, 0.0, ".mp4"),
        ("sound_first.mp4", "aac", 15015, 0.0, 0.0, ".mkv"),
        ("sound_later.mp4", "aac", 0, 0.3, 0.0, ".mp4"),
        ("both_late.mp4", "aac", 300300, 10.01, 0.3, ".mp4"),
        ("transport.ts", "aac", 0, 0.0, 0.0, ".mp4"),
        ("pcm.mkv", "pcm_s16le", 0, 0.0, 0.0, ".mp4"),
        ("pcm_cut.mkv", "pcm_s16le", 0, 0.0, 0.5, ".mp4"),
        ("pcm.mkv", "pcm_s16le", 0, 0.0, 0.0, ".mkv"),
    ],
)
def test_sound_stays_in_step_with_the_picture(tmp_path, name, sound, video_at, sound_at, start, suffix):
    pts = [video_at + i * 1001 for i in range(60)]
    click = pts[40] * NTSC
    source = make_source(tmp_path / name, pts, NTSC, sound, sound_at, 2.0 + float(video_at * NTSC) - sound_at, click)
    before = np.subtract(*click_times(source))
    seen, heard = click_times(annotate(source, tmp_path / f"result{suffix}", start=start))
    assert seen - heard == pytest.approx(before, abs=0.003)
    assert abs(seen - heard) < 0.04


def test_sound_that_the_container_does_not_take_becomes_aac(tmp_path, caplog):
    source = make_source(tmp_path / "source.mkv", *CLIPS["29.97"], sound="pcm_s16le")
    with caplog.at_level("INFO"):
        result = annotate(source, tmp_path / "result.mp4")
    assert "becomes AAC" in caplog.text
    with av.open(str(result)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    assert duration(result) == pytest.approx(duration(source), abs=0.05)


def test_sound_ends_with_the_pictures_of_a_run_that_is_stopped(tmp_path):
    source = make_source(tmp_path / "source.mp4", *CLIPS["29.97"], sound="aac")
    result = annotate(source, tmp_path / "result.mp4", stop_after=15)
    assert duration(result) == pytest.approx(15 * 1001 / 30000, abs=0.002)


def test_a_truncated_source_gives_what_it_has(tmp_path):
    whole = make_source(tmp_path / "whole.mkv", *CLIPS["29.97"], sound="aac")
    source = tmp_path / "truncated.mkv"
    source.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    result = annotate(source, tmp_path / "result.mp4")
    assert 10 < len(times(result)) < 60
    assert 10 < len(times(result, "audio")) <= len(times(source, "audio"))


def test_audio_that_cannot_be_read_leaves_the_pictures(tmp_path):
    writer = open_writer(tmp_path / "a.mp4", info(audio_from=str(tmp_path / "gone.mp4")), ["person"], CONFIG)
    for index in range(10):
        writer.write(frame(index), tracks())
    with pytest.raises(InputError, match=r"gone\.mp4"):
        writer.close()
    assert len(decoded(tmp_path / "a.mp4")) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


# --- video: the file


def top_level_boxes(path):
    data, at, kinds = path.read_bytes(), 0, []
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        kinds.append(kind.decode())
        at += size
    return kinds


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_the_index_comes_first_and_any_browser_decodes_it(tmp_path, suffix):
    source = make_source(tmp_path / "source.mp4", *CLIPS["29.97"], sound="aac")
    result = annotate(source, tmp_path / f"result{suffix}")
    boxes = top_level_boxes(result)
    assert boxes.index("moov") < boxes.index("mdat") and "moof" not in boxes
    with av.open(str(result)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.has_b_frames) == ("h264", "yuv420p", False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"result{suffix}", "source.mp4"]


@pytest.mark.parametrize("height", [48, 720])
def test_colours_survive(tmp_path, height):
    patches = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40)]
    with open_writer(tmp_path / "a.mp4", info(64, height), ["person"], CONFIG) as writer:
        for index, colour in enumerate(patches):
            writer.write(frame(index, 64, height, colour), tracks())
    for colour, picture in zip(patches, decoded(tmp_path / "a.mp4"), strict=True):
        assert np.abs(picture.reshape(-1, 3).mean(0) - colour).max() < 4
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (1, 1)  # BT.709, limited


def test_odd_sizes_are_padded_with_the_edge(tmp_path):
    with open_writer(tmp_path / "a.mp4", info(63, 47), ["person"], CONFIG) as writer:
        writer.write(frame(0, 63, 47, (200, 120, 40)), tracks())
    (picture,) = decoded(tmp_path / "a.mp4")
    assert picture.shape == (48, 64, 3)
    assert np.abs(picture[-1, -1].astype(int) - (200, 120, 40)).max() < 6


def test_no_frame_no_file(tmp_path):
    open_writer(tmp_path / "a.mp4", info(), ["person"], CONFIG).close()
    assert list(tmp_path.iterdir()) == []


def test_the_same_frames_give_the_same_bytes(tmp_path):
    source = make_source(tmp_path / "source.mp4", *CLIPS["29.97"], sound="aac")
    first, second = (annotate(source, tmp_path / name).read_bytes() for name in ("a.mp4", "b.mp4"))
    assert first == second


def test_encoding_repeats_itself_to_the_byte_at_the_default_preset(tmp_path):
    """x264's own choice of instructions does not, on a CPU with AVX-512: a few per cent of the files differ."""
    blocks = np.random.default_rng(0).integers(0, 256, (19, 25, 3), np.uint8).repeat(8, 0).repeat(8, 1)[:150]
    versions = set()
    for _ in range(60):
        with open_writer(tmp_path / "a.mp4", info(200, 150), ["person"], OutputConfig()) as writer:
            for index in range(20):
                writer.write(Frame(index, index / 25, index, np.roll(blocks, 3 * index, 1)), tracks())
        versions.add((tmp_path / "a.mp4").read_bytes())
    assert len(versions) == 1


def noisy(index):
    image = np.random.default_rng(index).integers(0, 256, (120, 160, 3), np.uint8)
    return Frame(index, index / 25, index, image)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_full_disk_keeps_a_video_that_plays(tmp_path, suffix):
    writer = open_writer(tmp_path / f"a{suffix}", info(160, 120), ["person"], CONFIG)
    with file_limit(1_000_000), pytest.raises(InputError, match="what was written so far is kept"), writer:
        for index in range(400):
            writer.write(noisy(index), tracks())
    assert len(decoded(writer.path)) >= 20
    assert len(list(tmp_path.iterdir())) == 1


def test_a_disk_that_fills_up_while_finishing(tmp_path):
    """The growing file fits, but not with the sound."""
    source = make_source(tmp_path / "source.mkv", *CLIPS["29.97"], sound="pcm_s16le")
    with file_limit(100_000), pytest.raises(InputError, match=r"result\.mkv"):
        annotate(source, tmp_path / "result.mkv")
    assert len(decoded(tmp_path / "result.mkv")) == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.mkv", "source.mkv"]


KILLED = """
    import sys, time
    from fractions import Fraction
    from pathlib import Path
    import numpy as np
    from tracker.config import OutputConfig
    from tracker.output import VideoInfo, open_writer
    from tracker.types import Frame, Tracks

    info = VideoInfo("clip", 160, 120, Fraction(1, 25), Fraction(25))
    writers = [open_writer(Path(p), info, ["person"], OutputConfig(preset="ultrafast")) for p in sys.argv[1:]]
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    one = Tracks(np.array([1]), np.array([[5, 5, 50, 90]], np.float32), np.ones(1, np.float32), np.array([0]),
                 np.zeros((1, 2), np.float32), np.ones(1, np.float32), np.array([True]), np.array([0]))
    for index in range(10**6):
        for writer in writers:
            writer.write(Frame(index, index / 25, index, np.roll(image, index, 1)), one)
        print(index, flush=True)
"""


def test_a_killed_process_leaves_video_that_plays_and_whole_rows(tmp_path):
    paths = [tmp_path / name for name in ("a.mp4", "a.mkv", "a.mov", "a.csv")]
    command = [sys.executable, "-c", textwrap.dedent(KILLED), *map(str, paths)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1], text=True)
    assert process.stdout is not None
    with process, process.stdout:
        for line in process.stdout:
            if int(line) == 120:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    for path in paths[:3]:
        shown = times(path)
        assert len(shown) >= 70, path.name  # of 121: x264 and the last fragment hold back the rest
        assert shown == [i * Fraction(1, 25) for i in range(len(shown))]
        assert decodable(path) >= len(shown) - 1, path.name  # the kill may have come within a write
    rows = paths[3].read_text()
    assert rows.endswith("\n") and rows.count("\n") >= 122
    assert all(row.count(",") == 9 for row in rows.splitlines())


# --- drawing


def painted(image, background=90):
    """(H, W) bool, where something was drawn."""
    return (image != background).any(axis=2)


def test_drawing_leaves_the_frame_alone_and_keeps_an_ids_colour():
    annotator = Annotator(["person", "car"], 320, 240, 0)
    still = frame(0, 320, 240)
    still.image.flags.writeable = False
    first = annotator.draw(still, tracks([7], [[100, 100, 150, 200]]))
    assert (still.image == 90).all()
    other = Annotator(["person", "car"], 320, 240, 0).draw(frame(9, 320, 240), tracks([7], [[20, 100, 70, 200]]))
    np.testing.assert_array_equal(first[200, 120], other[200, 40])
    third = annotator.draw(frame(1, 320, 240), tracks([8], [[100, 100, 150, 200]]))
    assert np.abs(first[200, 120].astype(int) - third[200, 120]).max() > 60


def test_successive_ids_have_well_spread_colours():
    from tracker.output.drawing import colour_of

    colours = np.array([colour_of(i) for i in range(1, 11)])
    distance = np.abs(colours[:, None] - colours[None]).sum(-1) + 1000 * np.eye(10, dtype=int)
    assert distance.min() > 40


def test_a_predicted_box_is_dashed():
    annotator = Annotator(["person"], 320, 240, 0)
    box = [[100, 50, 200, 200]]
    solid = painted(annotator.draw(frame(0, 320, 240), tracks([1], box)))[200, 101:200]
    dashed = painted(annotator.draw(frame(1, 320, 240), tracks([1], box, observed=[False])))[200, 101:200]
    assert solid.all() and 0.3 < dashed.mean() < 0.7


@pytest.mark.parametrize("size", [(320, 240), (1280, 720), (3840, 2160)])
@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_labels_stay_inside_and_can_be_read(size, corner):
    width, height = size
    x, y = corner[0] * (width - 20), corner[1] * (height - 20)
    image = Annotator(["person"], width, height, 0).draw(
        frame(0, width, height), tracks([12], [[x, y, x + 19, y + 19]])
    )
    ys, xs = np.nonzero(painted(image))
    assert np.ptp(xs) + 1 >= 0.05 * width and np.ptp(xs) >= 50  # the whole plate, moved inwards where needed
    assert np.ptp(ys) + 1 >= 12
    plate = image[ys.min() : ys.max(), xs.min() : xs.max()].astype(float) @ [0.299, 0.587, 0.114]
    assert np.ptp(plate) > 100


def test_a_box_far_outside_draws_nothing_and_a_huge_one_is_no_trouble():
    annotator = Annotator(["person"], 64, 48, 2)
    assert not painted(annotator.draw(frame(0), tracks([1], [[500, 500, 600, 600]]))).any()
    huge = tracks([1], [[-1e9, -1e9, 1e9, 1e9]], observed=[False])
    assert annotator.draw(frame(1), huge).shape == (48, 64, 3)


def test_a_trail_follows_the_feet_and_ends_after_its_time():
    annotator = Annotator(["person"], 320, 240, 1.0)
    for index in range(50):  # two seconds: the feet go from x = 40 to 236
        x = 30 + 4 * index
        image = annotator.draw(frame(index, 320, 240), tracks([1], [[x, 100, x + 20, 200]]))
    drawn = painted(image)[200]
    assert drawn[150:236].all()  # the last second
    assert not drawn[:125].any()
    for index in range(50, 100):
        annotator.draw(frame(index, 320, 240), tracks())
    later = annotator.draw(frame(100, 320, 240), tracks([1], [[226, 100, 246, 200]]))
    assert not painted(later)[200, :220].any()


def test_drawing_forgets_tracks_that_are_gone():
    annotator = Annotator(["person"], 64, 48, 1.0)
    for index in range(300):
        annotator.draw(frame(index), tracks([index + 1], [[5, 5, 30, 40]]))
    assert len(annotator._trails) <= 26


def test_real_frames_get_their_drawing(tmp_path):
    clip = Path(__file__).resolve().parents[2] / "shared/data/clips/one_by_one_person.mp4"
    if not clip.exists():
        pytest.skip(f"{clip} is absent")
    with av.open(str(clip)) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    height, width = picture.shape[:2]
    boxes = tracks([1], [[100, 100, 200, 300]])
    drawn = Annotator(["person"], width, height, 2).draw(Frame(0, 0.0, 0, picture), boxes)
    changed = (drawn != picture).any(axis=2)
    assert 0 < changed.mean() < 0.05
    assert cv2.boundingRect(changed.astype(np.uint8))[2] <= 110


def test_the_video_shows_the_drawing(tmp_path):
    with open_writer(tmp_path / "a.mp4", info(320, 240), ["person"], CONFIG) as writer:
        assert isinstance(writer, AnnotatedVideoWriter)
        writer.write(frame(0, 320, 240), tracks([1], [[100, 100, 200, 200]]))
    (picture,) = decoded(tmp_path / "a.mp4")
    assert np.abs(picture[200, 150].astype(int) - 90).max() > 40
    assert np.abs(picture[150, 150].astype(int) - 90).max() < 10
