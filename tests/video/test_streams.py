"""Choice among several video streams, and streams that nothing can decode."""

from pathlib import Path

import av
import pytest

from tracker.errors import InputError
from video_clips import frame_numbers, noise, numbered_image, open_uri, read_frames, write_clip


def write_two_videos(path: Path, default: int | None = None) -> Path:
    """Writes a file of two videos: stream 0 of 64x48 with numbers from 0, stream 1 of 32x24 with numbers from 100."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=10, options={"bf": "0"}) for _ in range(2)]
        for number, (stream, size) in enumerate(zip(streams, ((64, 48), (32, 24)), strict=True)):
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.disposition = int(number == default)
        for number in range(12):
            for stream, first in zip(streams, (0, 100), strict=True):
                image = numbered_image(first + number, stream.width, stream.height)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def test_default_stream_is_read_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_two_videos(tmp_path / "two.mkv", default=1)
    frames, source = read_frames(path)
    assert frame_numbers(frames) == list(range(100, 112)) and (source.width, source.height) == (32, 24)
    assert caplog.text.count("of several videos") == 1
    assert "stream 1 (h264, 32x24) is read; --stream N reads stream 0 (h264, 64x48)" in caplog.text


@pytest.mark.parametrize(("stream", "first"), [(0, 0), (1, 100)])
def test_stream_by_number(tmp_path: Path, stream: int, first: int, caplog: pytest.LogCaptureFixture) -> None:
    frames, _ = read_frames(write_two_videos(tmp_path / "two.mkv", default=1), stream=stream)
    assert frame_numbers(frames) == list(range(first, first + 12)) and not caplog.text


def test_number_of_no_video(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 10, audio=1.0)
    for stream in (1, 7):
        with pytest.raises(InputError, match=rf"no video stream {stream} .*its videos are stream 0 \(h264, 64x48\)"):
            open_uri(path, stream=stream)


def test_cover_is_no_video(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with av.open(str(tmp_path / "cover.mp4"), "w") as container:
        cover = container.add_stream("mjpeg", rate=1, width=640, height=480, pix_fmt="yuvj420p")
        video = container.add_stream("libx264", rate=10, width=64, height=48, pix_fmt="yuv420p", options={"bf": "0"})
        cover.disposition = 1 << 10  # an attached picture
        container.mux(cover.encode(av.VideoFrame.from_ndarray(noise(0, 640, 480), format="rgb24")))
        for number in range(10):
            container.mux(video.encode(av.VideoFrame.from_ndarray(numbered_image(number), format="rgb24")))
        container.mux([*cover.encode(None), *video.encode(None)])
    frames, source = read_frames(tmp_path / "cover.mp4")
    assert frame_numbers(frames) == list(range(10)) and source.width == 64 and not caplog.text
    with pytest.raises(InputError, match="its videos are stream 0"):
        open_uri(tmp_path / "cover.mp4", stream=1)


@pytest.mark.parametrize(
    ("suffix", "known", "unknown"),
    [("mov", b"mp4a", b"apac"), ("mkv", b"A_AAC", b"A_XYZ"), ("mov", b"mp4asoun", b"mebxmeta")],
)
def test_other_streams_need_no_decoder(
    tmp_path: Path, suffix: str, known: bytes, unknown: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Checks sound, and data as phones record it; the writer tells of sound that it leaves out."""
    path = write_clip(tmp_path / f"a.{suffix}", 10, audio=1.0)
    data = path.read_bytes().replace(b"esds", b"none")
    for start in range(0, len(known), 4) if suffix == "mov" else [0]:
        part = slice(start, start + 4) if suffix == "mov" else slice(None)
        data = data.replace(known[part], unknown[part])
    path.write_bytes(data)
    with av.open(str(path)) as container:
        assert container.streams[1].codec_context is None
    assert frame_numbers(read_frames(path)[0]) == list(range(10)) and not caplog.text


def test_video_without_a_decoder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    single = write_clip(tmp_path / "a.mp4", 10)
    single.write_bytes(single.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(InputError, match="no decoder is known for the video of"):
        open_uri(single)
    two = write_two_videos(tmp_path / "two.mp4", default=0)
    data = bytearray(two.read_bytes())
    place = data.index(b"avc1", data.index(b"stsd"))
    data[place : place + 4] = b"zzzz"
    two.write_bytes(data)
    caplog.clear()
    frames, _ = read_frames(two)
    assert frame_numbers(frames) == list(range(100, 112))
    assert "stream 0 (video) is left out" in caplog.text and "of several videos" not in caplog.text
    with pytest.raises(InputError, match="no video stream 0 that can be read"):
        open_uri(two, stream=0)


def test_size_that_a_damaged_header_states(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.gif", 3, codec="gif", pix_fmt="rgb8")
    data = bytearray(path.read_bytes())
    data[6:10] = (0xFF, 0xFF, 0xFF, 0x7F)  # width and height
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"65535x32767 pixels, more than can be processed|no frame of .* can be"):
        open_uri(path)
