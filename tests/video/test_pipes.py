"""Pipes: read forward once, without losing anything, and read again only from what was kept."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from named_pipes import fifo
from paths import REPOSITORY
from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.video import open_source, source_kind
from video_clips import frame_numbers, noise, open_uri, write_clip

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")

LARGE = {"draw": noise, "size": (160, 120), "options": {"preset": "ultrafast"}}  # more than FFmpeg keeps


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mp4", {}),  # its index is at its end
        ("a.mp4", {"container_options": {"movflags": "faststart"}}),
        ("a.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
        ("a.mkv", {}),
        ("a.ts", {}),
        ("a.avi", {}),
        ("a.flv", {}),
        ("a.h264", {}),
        ("a.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
    ],
)
def test_every_frame_of_a_pipe_is_read(tmp_path: Path, name: str, settings: dict[str, object]) -> None:
    path = write_clip(tmp_path / name, 30, **settings)  # type: ignore[arg-type]
    with open_uri(path) as source:
        expected = [(frame.index, frame.time, frame.image.tobytes()) for frame in source]
    with fifo(tmp_path, path.read_bytes()) as pipe:
        assert source_kind(pipe) == "pipe"
        with open_uri(pipe) as source:
            assert [(frame.index, frame.time, frame.image.tobytes()) for frame in source] == expected
    assert source.name == "pipe" and source.media_path is None and not source.live and not source.truncated


def test_large_file_with_its_index_at_its_end(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 30, audio=3.0, **LARGE)  # type: ignore[arg-type]
    with fifo(tmp_path, path.read_bytes()) as pipe, open_uri(pipe) as source:
        assert [frame.time for frame in source] == pytest.approx([number / 10 for number in range(30)])
        assert source.media_opener is not None


def test_sound_is_kept_if_asked_for(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", 30, audio=3.0)
    with fifo(tmp_path, path.read_bytes()) as pipe, open_uri(pipe) as source:
        source.keep_media()
        assert len(list(source)) == 30 and source.media_opener is not None
        for _ in range(2):
            with source.media_opener() as container:
                assert sum(packet.size > 0 for packet in container.demux(audio=0)) > 100


def test_nothing_is_kept_if_not_asked_for(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", 30, audio=3.0)
    with fifo(tmp_path, path.read_bytes()) as pipe, open_uri(pipe) as source:
        list(source)
        assert source.media_opener is not None
        for open_again in (source.media_opener, source.reopen):
            with pytest.raises(InputError, match=r"pipe\.fifo is a pipe and can be read only once"):
                open_again()


def test_pipe_without_sound_has_none_to_open(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", 30)
    with fifo(tmp_path, path.read_bytes()) as pipe, open_uri(pipe) as source:
        source.keep_media()
        list(source)
        assert source.media_opener is None


def test_pipe_can_be_read_again_if_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_clip(tmp_path / "a.ts", 30)
    joined = path.read_bytes() * 2
    with fifo(tmp_path, joined) as pipe, open_uri(pipe) as source:
        source.keep_media(for_frames=True)
        first = [(frame.index, frame.time) for frame in source]
        with source.reopen() as reopened:
            assert [(frame.index, frame.time) for frame in reopened] == first and len(first) == 60
    assert caplog.text.count("started again") == 1  # told once


def test_copy_that_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk:
        def seek(self, position: int) -> None:
            pass

        def write(self, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr("tracker.video.recording.tempfile.TemporaryFile", FullDisk)
    path = write_clip(tmp_path / "a.ts", 30)
    with fifo(tmp_path, path.read_bytes()) as pipe, open_uri(pipe) as source:
        source.keep_media(for_frames=True)
        assert len(list(source)) == 30
        with pytest.raises(InputError, match=r"cannot be read twice, since no copy could be kept: .*No space left"):
            source.reopen()


def test_frames_come_as_they_are_written(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.ts", 60, draw=noise, size=(160, 120), options={"bf": "0"})
    with fifo(tmp_path, path.read_bytes(), pause=0.05) as pipe, open_uri(pipe) as source:
        arrivals = [time.monotonic() for _ in source]
    assert len(arrivals) == 60 and arrivals[-1] - arrivals[20] > 0.3


def test_pipes_without_a_video(tmp_path: Path) -> None:
    with fifo(tmp_path, b"") as pipe, pytest.raises(InputError, match="is empty: nothing was written to it"):
        open_uri(pipe)
    pipe.unlink()
    with fifo(tmp_path, b"no video\n" * 1000) as pipe, pytest.raises(InputError, match="is not a video"):
        open_uri(pipe)
    pipe.unlink()
    clip = write_clip(tmp_path / "a.mp4", 30, **LARGE).read_bytes()  # type: ignore[arg-type]
    with fifo(tmp_path, clip[: len(clip) // 2]) as pipe, pytest.raises(InputError, match="is not a video"):
        open_uri(pipe)


READ_STANDARD_INPUT = """
from tracker.config import SourceConfig
from tracker.video import open_source
with open_source("-", SourceConfig()) as source:
    print(source.name, len(list(source)))
"""


@pytest.mark.slow
def test_standard_input(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 30)
    command = [sys.executable, "-c", READ_STANDARD_INPUT]
    with path.open("rb") as file:
        assert subprocess.check_output(command, stdin=file, cwd=REPOSITORY, text=True) == "stdin 30\n"
    assert subprocess.check_output(command, input=path.read_bytes(), cwd=REPOSITORY) == b"stdin 30\n"
    failed = subprocess.run(command, input=b"", cwd=REPOSITORY, capture_output=True, check=False)
    assert b"standard input is empty" in failed.stderr


@pytest.mark.slow
def test_process_substitution(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", 30)
    code = READ_STANDARD_INPUT.replace('"-"', "__import__('sys').argv[1]")
    command = f"{sys.executable} -c \"$CODE\" <(cat '{path}')"
    environment = {**os.environ, "CODE": code}
    output = subprocess.check_output(["bash", "-c", command], cwd=REPOSITORY, text=True, env=environment)
    assert output == "pipe 30\n"


def test_frames_of_a_pipe_have_their_numbers(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", 30)
    with fifo(tmp_path, path.read_bytes()) as pipe, open_source(pipe, SourceConfig(start=1, end=2, every=3)) as source:
        assert frame_numbers(list(source)) == [10, 13, 16, 19]
