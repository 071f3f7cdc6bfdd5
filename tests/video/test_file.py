"""Video files: corrupt and truncated ones, URLs, and the frames of real clips."""

import gc
import http.server
import logging
import math
from pathlib import Path

import av
import numpy as np
import pytest

from live_streams import serve
from paths import CLIPS
from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.video import open_source
from video_clips import frame_numbers, noise, open_uri, read_frames, write_clip


def corrupt_clip(folder: Path) -> Path:
    data = bytearray(
        write_clip(folder / "intact.mkv", 60, size=(160, 120), draw=noise, options={"g": "20"}).read_bytes()
    )
    for offset in np.random.default_rng(0).integers(len(data) // 4, 3 * len(data) // 4, 40):
        data[offset] ^= 0xFF
    (folder / "corrupt.mkv").write_bytes(data)
    return folder / "corrupt.mkv"


def test_flipped_bytes_lose_only_some_frames(tmp_path: Path) -> None:
    frames, _ = read_frames(corrupt_clip(tmp_path))
    times = [frame.time for frame in frames]
    assert len(frames) > 40 and times == sorted(set(times)) and times[-1] == pytest.approx(5.9)


@pytest.mark.smoke
def test_metadata_that_is_not_utf8(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", 12)
    data = path.read_bytes()
    assert b"Lavf" in data  # in the tags of the container
    path.write_bytes(data.replace(b"Lavf", b"\xff\xfe\xe4f"))
    frames, source = read_frames(path)
    assert frame_numbers(frames) == list(range(12)) and source.corrupt_packets == 0


def test_frames_of_a_corrupt_file_do_not_depend_on_threads(tmp_path: Path) -> None:
    path = corrupt_clip(tmp_path)
    results = []
    for threads in (1, 2, 5, 0):
        with open_source(path, SourceConfig(), threads) as source:
            results.append([(frame.pts, frame.image.tobytes()) for frame in source])
    assert results[0] == results[1] == results[2] == results[3]


@pytest.mark.smoke
def test_undecodable_packets_are_skipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_clip(tmp_path / "a.mov", 20, codec="png", pix_fmt="rgb24", draw=noise)
    data = path.read_bytes()
    signature = b"\x89PNG\r\n\x1a\n"
    offsets = [i for i in range(len(data)) if data.startswith(signature, i)]
    assert len(offsets) == 20
    for i in (4, 11):
        data = data[: offsets[i]] + b"this is not an image" + data[offsets[i] + 20 :]
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        frames, source = read_frames(path)
    assert source.corrupt_packets == 2
    expected = [i for i in range(20) if i not in (4, 11)]
    assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in expected])
    assert "2 corrupt packets were skipped" in caplog.text


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "gif"])
@pytest.mark.smoke
def test_truncated_file_is_read_to_its_end(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    codec, pix_fmt = ("gif", "rgb8") if suffix == "gif" else ("libx264", "yuv420p")
    intact = write_clip(
        tmp_path / f"intact.{suffix}",
        60,
        draw=noise,
        codec=codec,
        pix_fmt=pix_fmt,
        container_options={"movflags": "faststart"} if suffix == "mp4" else {},
    )
    assert not read_frames(intact)[1].truncated
    (tmp_path / f"truncated.{suffix}").write_bytes(intact.read_bytes()[: intact.stat().st_size * 6 // 10])
    with caplog.at_level(logging.WARNING):
        frames, source = read_frames(tmp_path / f"truncated.{suffix}")
    assert 25 < len(frames) < 45
    assert source.last_duration < 0.2
    if suffix != "gif":  # GIF does not state its duration
        assert source.truncated and "is truncated" in caplog.text


def test_audio_longer_than_the_video_is_no_truncation(tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv"):
        frames, source = read_frames(write_clip(tmp_path / f"a.{suffix}", 10, audio=3.0))
        assert len(frames) == 10 and not source.truncated
        assert frames[-1].time + float(source.last_duration) == pytest.approx(1.0)


def test_stream_that_appears_late_does_not_end_the_reading(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.flv", 60)
    data = bytearray(path.read_bytes())
    offset = 13  # after the header: tags of type, size, 7 more bytes, the data, 4 more bytes
    for _ in range(40):
        offset += 15 + int.from_bytes(data[offset + 1 : offset + 4])
    assert data[offset] == 9
    data[offset] = 8  # a video tag becomes an audio tag
    path.write_bytes(data)
    frames, _ = read_frames(path)
    assert len(frames) > 50 and frames[-1].time == pytest.approx(5.9)


def test_url_of_a_file_is_read_as_a_file(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 20, container_options={"movflags": "faststart"})

    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with serve(Files) as url:
        frames, source = read_frames(f"{url}/a.mp4", timeout=5)
        assert frame_numbers(frames) == list(range(20)) and not source.live and source.media_path is None
        assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in range(20)])
        with pytest.raises(InputError, match="404"):
            open_uri(f"{url}/b.mp4")


def test_frames_are_freed_without_garbage_collection(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 60)
    gc.collect()
    gc.disable()
    try:
        with open_uri(tmp_path / "a.mp4") as source:
            for frame in source:
                if frame.index % 20 == 19:
                    assert sum(type(item) is av.VideoFrame for item in gc.get_objects()) < 10
    finally:
        gc.enable()


@pytest.mark.skipif(not CLIPS.is_dir(), reason="the real clips are not here")
@pytest.mark.parametrize("name", ["highway_38f.mp4", "people.gif", "worker_zone.gif"])
def test_real_clips_equal_those_read_by_pyav_alone(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with av.open(str(CLIPS / name)) as container:
        reference = [(frame.pts, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
        length = container.streams.video[0].duration
    frames, source = read_frames(CLIPS / name)
    assert [frame.pts for frame in frames] == [pts for pts, _ in reference]
    assert all(np.array_equal(frame.image, image) for frame, (_, image) in zip(frames, reference, strict=True))
    assert (frames[-1].pts - frames[0].pts) * source.time_base + source.last_duration == length * source.time_base
    # FFmpeg guesses the rate of a GIF from its first frames.
    assert source.expected_frames == pytest.approx(len(frames), rel=0.12) and not source.truncated
    assert math.isclose(frames[-1].time, frames[-1].pts * source.time_base)
    assert not caplog.text
