"""Errors of sources that cannot be opened, and names of sources."""

import os
import shutil
import socket
import time
from pathlib import Path

import av
import pytest

from tracker.errors import InputError
from video_clips import open_uri, read_frames, write_clip, write_tone


@pytest.mark.smoke
def test_bad_input_gives_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video\n" * 100)
    (tmp_path / "notes.txt").write_text("this is no video\n" * 100)
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "empty").mkdir()
    with av.open(str(tmp_path / "audio.m4a"), "w") as container:
        write_tone(container, container.add_stream("aac", rate=44100), 0.5)
    clip = write_clip(tmp_path / "clip.mp4", 12, 10)
    no_index = tmp_path / "no_index.mp4"
    no_index.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    data = bytearray(write_clip(tmp_path / "png.avi", 3, codec="png", pix_fmt="rgb24").read_bytes())
    (tmp_path / "no_frames.avi").write_bytes(data.replace(b"\x89PNG\r\n\x1a\n", b"not it!!"))
    cases: list[tuple[object, dict[str, float], str]] = [
        (tmp_path / "missing.mp4", {}, "there is no file or folder .*missing.mp4"),
        (tmp_path / "empty", {}, "the folder .* has no images"),
        (f"{tmp_path}/*.jpg", {}, "matches no images"),
        (tmp_path / "text.mp4", {}, "is not a video"),
        (tmp_path / "notes.txt", {}, "no video in it"),
        (tmp_path / "zero.mp4", {}, "is empty"),
        (tmp_path / "audio.m4a", {}, "no video in it"),
        (no_index, {}, "is not a video"),
        (tmp_path / "no_frames.avi", {}, "no frame of .* can be decoded"),
        (clip, {"start": 5}, "the start, 5 s, is beyond the end .* at 1.200 s"),
        (clip, {"start": 1, "end": 0.5}, "the end, 0.5 s, is not after the start, 1 s"),
        (97, {}, "camera 97"),
        ("97", {}, "camera 97"),
        ("/dev/video97", {}, "camera /dev/video97"),
        ("gopher://host/a.mp4", {}, "gopher://"),
        ("http://127.0.0.1:9/a.mp4", {}, "Connection refused"),
    ]
    for uri, settings, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            open_uri(uri, **settings)
        assert "\n" not in str(caught.value), uri


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may read everything")
def test_file_without_permission(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 3)
    path.chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        open_uri(path)


@pytest.mark.smoke
def test_names_with_special_characters(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 3)
    for name in ("a:b 100%d [1].mp4", "über*.mp4"):
        path = Path(shutil.copy(clip, tmp_path / name))
        frames, source = read_frames(path)
        assert len(frames) == 3 and source.media_path == path
        assert not set(source.name) & set(' :%*[]/"')


def test_silent_host_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        start = time.monotonic()
        with pytest.raises(InputError, match=r"did not answer within 0\.5 s") as caught:
            open_uri(f"rtsp://user:secret@127.0.0.1:{server.getsockname()[1]}/live", timeout=0.5)
        assert time.monotonic() - start < 3
        assert "secret" not in str(caught.value)
