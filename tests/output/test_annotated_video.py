"""Annotated videos on the disk: true times, sound in step, and files that survive what happens to a run."""

import signal
import struct
import subprocess
import sys
import textwrap
from fractions import Fraction

import av
import numpy as np
import pytest

from paths import REPOSITORY
from tracker.config import OutputConfig
from tracker.errors import InputError
from tracker.output import open_writer
from tracker.structures.types import Frame
from video_results import (
    CONFIG,
    MILLISECOND,
    NTSC,
    annotate,
    click_times,
    decodable,
    decoded,
    duration,
    file_limit,
    frame,
    info,
    make_source,
    packets,
    times,
    tracks,
)

pytestmark = pytest.mark.filterwarnings("error")


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
    """x264's own choice of instructions does not, on a CPU with AVX-512: most of these files would differ."""
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
    from tracker.structures.types import Frame, Tracks

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
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY, text=True)
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
