"""Annotated video files: timestamps, audio sync, and files of runs that are stopped, killed or out of disk space."""

import re
import signal
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
from tracker.output.base import AudioSource
from tracker.output.mp4_index import boxes_of_file
from tracker.structures.types import Frame
from video_results import (
    CONFIG,
    MILLISECOND,
    NTSC,
    container_duration,
    count_decodable,
    decode_images,
    flash_and_tone_times,
    limit_file_size,
    make_frame,
    make_info,
    make_tracks,
    packet_times,
    start_times,
    write_result,
    write_source,
)

pytestmark = pytest.mark.filterwarnings("error")


# --- timestamps

CLIPS = {
    "29.97": ([i * 1001 for i in range(60)], NTSC),
    "variable": ([0, 3000, 7001, 20000, 23303, 90007, 140000], Fraction(1, 90000)),
    "milliseconds": ([0, 33, 67, 100, 500, 501, 1700], MILLISECOND),
    "late start": ([300300 + i * 1001 for i in range(30)], NTSC),
}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.smoke
def test_timestamps_equal_those_of_the_source(tmp_path, clip, suffix):
    pts, time_base = CLIPS[clip]
    source = write_source(tmp_path / "source.mp4", pts, time_base)
    result = write_result(source, tmp_path / f"result{suffix}")
    expected = [(value - pts[0]) * time_base for value in pts]
    if suffix == ".mkv":  # the container counts milliseconds
        np.testing.assert_allclose(np.array(start_times(result), float), np.array(expected, float), atol=0.000501)
    else:
        assert start_times(result) == expected


def test_duration_equals_that_of_the_source(tmp_path):
    pts, time_base = CLIPS["variable"]
    source = write_source(tmp_path / "source.mp4", pts, time_base)
    last_duration = Fraction(1, 20)
    for suffix in (".mp4", ".mkv"):
        result = write_result(source, tmp_path / f"result{suffix}", last_duration=last_duration)
        assert container_duration(result) == pytest.approx(float(pts[-1] * time_base + last_duration), abs=0.001)
    result = write_result(write_source(tmp_path / "even.mp4", *CLIPS["29.97"]), tmp_path / "even_result.mp4")
    assert packet_times(result)[-1][1] == Fraction(1001, 30000)
    assert container_duration(result) == pytest.approx(60 * 1001 / 30000, abs=1e-5)


def test_excerpt_starts_at_zero(tmp_path):
    pts, time_base = CLIPS["29.97"]
    source = write_source(tmp_path / "source.mp4", pts, time_base, audio_codec="aac")
    result = write_result(source, tmp_path / "result.mp4", start=0.5, end=1.5)
    assert start_times(result) == [i * Fraction(1001, 30000) for i in range(30)]
    assert container_duration(result) == pytest.approx(30 * 1001 / 30000, abs=0.001)


def test_video_of_one_frame(tmp_path):
    source = write_source(tmp_path / "source.mp4", [0], NTSC)
    assert len(decode_images(write_result(source, tmp_path / "result.mp4"))) == 1


def test_frame_out_of_order_is_an_error(tmp_path):
    with open_writer(tmp_path / "a.mp4", make_info(), ["person"], CONFIG) as writer:
        writer.write(make_frame(5), make_tracks())
        with pytest.raises(ValueError, match="not after"):
            writer.write(make_frame(5), make_tracks())


# --- audio


def samples(path):
    """Returns the number of samples that are played, and the time of the first, seconds."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        return sum(frame.samples for frame in frames), frames[0].time


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.smoke
def test_audio_is_copied_and_keeps_its_duration(tmp_path, suffix):
    pts, time_base = CLIPS["29.97"]
    source = write_source(tmp_path / "source.mp4", pts, time_base, audio_codec="aac", audio_seconds=2.4)
    result = write_result(source, tmp_path / f"result{suffix}")
    with av.open(str(result)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    assert samples(result) == samples(source)
    assert container_duration(result) == pytest.approx(
        container_duration(source),
        abs=0.001 if suffix != ".mkv" else 0.022,  # its header may count the encoder's delay
    )


@pytest.mark.parametrize(
    ("name", "audio_codec", "video_start", "audio_start", "start", "suffix"),
    [
        ("plain.mp4", "aac", 0, 0.0, 0.0, ".mp4"),
        ("cut.mp4", "aac", 0, 0.0, 0.5, ".mp4"),
        ("cut.mp4", "aac", 0, 0.0, 0.5, ".mkv"),
        ("audio_first.mp4", "aac", 15015, 0.0, 0.0, ".mp4"),
        ("audio_first.mp4", "aac", 15015, 0.0, 0.0, ".mkv"),
        ("audio_later.mp4", "aac", 0, 0.3, 0.0, ".mp4"),
        ("both_late.mp4", "aac", 300300, 10.01, 0.3, ".mp4"),
        ("transport.ts", "aac", 0, 0.0, 0.0, ".mp4"),
        ("pcm.mkv", "pcm_s16le", 0, 0.0, 0.0, ".mp4"),
        ("pcm_cut.mkv", "pcm_s16le", 0, 0.0, 0.5, ".mp4"),
        ("pcm.mkv", "pcm_s16le", 0, 0.0, 0.0, ".mkv"),
    ],
)
def test_audio_and_video_stay_in_sync(tmp_path, name, audio_codec, video_start, audio_start, start, suffix):
    pts = [video_start + i * 1001 for i in range(60)]
    audio_seconds = 2.0 + float(video_start * NTSC) - audio_start
    source = write_source(tmp_path / name, pts, NTSC, audio_codec, audio_start, audio_seconds, pts[40] * NTSC)
    expected = np.subtract(*flash_and_tone_times(source))
    flash, tone = flash_and_tone_times(write_result(source, tmp_path / f"result{suffix}", start=start))
    assert flash - tone == pytest.approx(expected, abs=0.003)
    assert abs(flash - tone) < 0.04


@pytest.mark.smoke
def test_audio_codec_that_the_container_does_not_support_becomes_aac(tmp_path, caplog):
    source = write_source(tmp_path / "source.mkv", *CLIPS["29.97"], audio_codec="pcm_s16le")
    with caplog.at_level("INFO"):
        result = write_result(source, tmp_path / "result.mp4")
    assert "becomes AAC" in caplog.text
    with av.open(str(result)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    assert container_duration(result) == pytest.approx(container_duration(source), abs=0.05)


def test_audio_ends_with_the_last_frame_of_a_stopped_run(tmp_path):
    source = write_source(tmp_path / "source.mp4", *CLIPS["29.97"], audio_codec="aac")
    result = write_result(source, tmp_path / "result.mp4", stop_after=15)
    assert container_duration(result) == pytest.approx(15 * 1001 / 30000, abs=0.002)


def test_truncated_source_is_copied_to_its_end(tmp_path):
    intact = write_source(tmp_path / "intact.mkv", *CLIPS["29.97"], audio_codec="aac")
    source = tmp_path / "truncated.mkv"
    source.write_bytes(intact.read_bytes()[: intact.stat().st_size * 6 // 10])
    result = write_result(source, tmp_path / "result.mp4")
    assert 10 < len(start_times(result)) < 60
    assert 10 < len(start_times(result, "audio")) <= len(start_times(source, "audio"))


def test_unreadable_audio_keeps_the_video(tmp_path):
    info = make_info(audio=AudioSource.from_file(tmp_path / "gone.mp4"))
    writer = open_writer(tmp_path / "a.mp4", info, ["person"], CONFIG)
    for index in range(10):
        writer.write(make_frame(index), make_tracks())
    with pytest.raises(InputError, match=r"gone\.mp4"):
        writer.close()
    assert len(decode_images(tmp_path / "a.mp4")) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


# --- the file


def top_level_boxes(path):
    with path.open("rb") as file:
        return [box.kind.decode() for box in boxes_of_file(file)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.smoke
def test_index_is_at_the_front_and_browsers_can_decode_the_video(tmp_path, suffix):
    source = write_source(tmp_path / "source.mp4", *CLIPS["29.97"], audio_codec="aac")
    result = write_result(source, tmp_path / f"result{suffix}")
    boxes = top_level_boxes(result)
    assert boxes.index("moov") < boxes.index("mdat") and "moof" not in boxes
    with av.open(str(result)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.has_b_frames) == ("h264", "yuv420p", False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"result{suffix}", "source.mp4"]


@pytest.mark.parametrize("height", [48, 720])
@pytest.mark.smoke
def test_colors_are_preserved(tmp_path, height):
    patches = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40)]
    with open_writer(tmp_path / "a.mp4", make_info(64, height), ["person"], CONFIG) as writer:
        for index, color in enumerate(patches):
            writer.write(make_frame(index, 64, height, color), make_tracks())
    for color, image in zip(patches, decode_images(tmp_path / "a.mp4"), strict=True):
        assert np.abs(image.reshape(-1, 3).mean(0) - color).max() < 4
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (1, 1)  # BT.709, limited


@pytest.mark.smoke
def test_odd_sizes_are_padded_by_edge_replication(tmp_path):
    with open_writer(tmp_path / "a.mp4", make_info(63, 47), ["person"], CONFIG) as writer:
        writer.write(make_frame(0, 63, 47, (200, 120, 40)), make_tracks())
    (image,) = decode_images(tmp_path / "a.mp4")
    assert image.shape == (48, 64, 3)
    assert np.abs(image[-1, -1].astype(int) - (200, 120, 40)).max() < 6


def test_no_file_without_frames(tmp_path):
    open_writer(tmp_path / "a.mp4", make_info(), ["person"], CONFIG).close()
    assert list(tmp_path.iterdir()) == []


def test_same_frames_give_the_same_bytes(tmp_path):
    source = write_source(tmp_path / "source.mp4", *CLIPS["29.97"], audio_codec="aac")
    first, second = (write_result(source, tmp_path / name).read_bytes() for name in ("a.mp4", "b.mp4"))
    assert first == second


def test_encoding_is_deterministic_at_the_default_preset(tmp_path):
    """With x264's own choice of instructions, most of these files would differ on a CPU with AVX-512."""
    blocks = np.random.default_rng(0).integers(0, 256, (19, 25, 3), np.uint8).repeat(8, 0).repeat(8, 1)[:150]
    versions = set()
    for _ in range(60):
        with open_writer(tmp_path / "a.mp4", make_info(200, 150), ["person"], OutputConfig()) as writer:
            for index in range(20):
                writer.write(Frame(index, index / 25, index, np.roll(blocks, 3 * index, 1)), make_tracks())
        versions.add((tmp_path / "a.mp4").read_bytes())
    assert len(versions) == 1


def noise_frame(index):
    image = np.random.default_rng(index).integers(0, 256, (120, 160, 3), np.uint8)
    return Frame(index, index / 25, index, image)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_full_disk_keeps_a_playable_video(tmp_path, suffix):
    writer = open_writer(tmp_path / f"a{suffix}", make_info(160, 120), ["person"], CONFIG)
    with limit_file_size(1_000_000), pytest.raises(InputError, match="what was written so far is kept"), writer:
        for index in range(400):
            writer.write(noise_frame(index), make_tracks())
    assert len(decode_images(writer.path)) >= 20
    assert len(list(tmp_path.iterdir())) == 1


def test_images_that_the_encoder_does_not_take(tmp_path):
    with pytest.raises(InputError, match=r"the H.264 encoder takes no images of 20000x48 pixels") as caught:
        open_writer(tmp_path / "a.mp4", make_info(20000, 48), ["person"], CONFIG)
    assert "disk" not in str(caught.value) and "folder" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (av.error.ArgumentError(22, "Invalid argument"), r"Invalid argument; .* its container does not take this"),
        (av.error.ExternalError(1, "Generic error"), "the H.264 encoder failed"),
        (OSError(5, "Input/output error"), "Input/output error; .* look at the disk"),
        (OSError(28, "No space left on device"), "No space left on device; .* free some space"),
    ],
)
def test_an_error_is_told_as_what_it_is(tmp_path, monkeypatch, error, told):
    class Failing:
        def __init__(self, wrapped):
            self._wrapped = wrapped

        def __getattr__(self, name):
            return getattr(self._wrapped, name)

        def mux_one(self, packet):
            raise error

        encode = mux_one

    with (
        open_writer(tmp_path / "a.mp4", make_info(), ["person"], CONFIG) as writer,
        pytest.raises(InputError) as caught,
    ):
        writer.write(make_frame(0), make_tracks())
        encoder = writer._encoder
        name = "_stream" if isinstance(error, av.error.ExternalError) else "_container"
        setattr(encoder, name, Failing(getattr(encoder, name)))
        for index in range(1, 100):
            writer.write(make_frame(index), make_tracks())
    assert re.search(told, str(caught.value)) and ("space" in str(caught.value)) == ("No space" in str(error))


def test_disk_that_is_full_at_the_end(tmp_path):
    """The fragmented file fits on the disk, but not the final one with its audio."""
    source = write_source(tmp_path / "source.mkv", *CLIPS["29.97"], audio_codec="pcm_s16le")
    with limit_file_size(100_000), pytest.raises(InputError, match=r"result\.mkv"):
        write_result(source, tmp_path / "result.mkv")
    assert len(decode_images(tmp_path / "result.mkv")) == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.mkv", "source.mkv"]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("rate", [6, 10, 25, 30])
def test_an_unfinished_file_lacks_at_most_its_last_second(tmp_path, rate, suffix):
    """A copy is what a process that is killed at this moment leaves."""
    info = make_info(time_base=Fraction(1, rate), frame_rate=Fraction(rate))
    with open_writer(tmp_path / f"a{suffix}", info, ["person"], OutputConfig()) as writer:
        for index in range(4 * rate):
            writer.write(make_frame(index, color=(index % 200, 90, 90)), make_tracks())
            if index > rate and index % 3 == 0:
                (tmp_path / f"copy{suffix}").write_bytes(writer.path.read_bytes())
                assert count_decodable(tmp_path / f"copy{suffix}") >= index + 1 - rate, index


ENDLESS_RUN = """
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
    tracks = Tracks(np.array([1]), np.array([[5, 5, 50, 90]], np.float32), np.ones(1, np.float32), np.array([0]),
                 np.zeros((1, 2), np.float32), np.ones(1, np.float32), np.array([True]), np.array([0]))
    for index in range(10**6):
        for writer in writers:
            writer.write(Frame(index, index / 25, index, np.roll(image, index, 1)), tracks)
        print(index, flush=True)
"""


def test_killed_process_leaves_playable_video_and_complete_rows(tmp_path):
    paths = [tmp_path / name for name in ("a.mp4", "a.mkv", "a.mov", "a.csv")]
    command = [sys.executable, "-c", textwrap.dedent(ENDLESS_RUN), *map(str, paths)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY, text=True)
    assert process.stdout is not None
    with process, process.stdout:
        for line in process.stdout:
            if int(line) == 120:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    for path in paths[:3]:
        starts = start_times(path)
        assert len(starts) >= 121 - 25, path.name  # the last second is in x264 and in the last fragment
        assert starts == [i * Fraction(1, 25) for i in range(len(starts))]
        assert count_decodable(path) >= len(starts) - 1, path.name  # the process may have been killed during a write
    rows = paths[3].read_text()
    assert rows.endswith("\n") and rows.count("\n") >= 122
    assert all(row.count(",") == 9 for row in rows.splitlines())
