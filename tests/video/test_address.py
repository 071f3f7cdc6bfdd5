"""Names of sources: kinds, paths, and what a folder or a pattern stands for."""

import os
import shutil
from pathlib import Path

import pytest

from tracker.errors import InputError
from tracker.video import list_videos, local_path, source_kind, source_name
from video_clips import frame_numbers, numbered_image, open_uri, read_frames, write_clip, write_image

NAMES = [
    "12:30:45.mp4",
    "-dash.mp4",
    "clip[1].mp4",
    "a b.mp4",
    "100%d.mp4",
    "file:a.mp4",
    "über*.mp4",
    "http:x.mp4",
    "~nobody.mp4",
]


@pytest.mark.parametrize("name", NAMES)
def test_file_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clip = write_clip(tmp_path / "clip.mp4", 3, audio=0.3)
    shutil.copy(clip, tmp_path / name)
    for path in (str(tmp_path / name), f"./{name}", name):
        assert source_kind(path) == "video"
        frames, source = read_frames(path)
        assert frame_numbers(frames) == [0, 1, 2] and source.name
        assert source.media_opener is not None
        with source.media_opener() as container:
            assert len(container.streams.audio) == 1


@pytest.mark.skipif(os.name == "nt", reason="names on Windows are Unicode")
def test_name_that_is_not_utf8(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 3)
    name = os.path.join(os.fsencode(tmp_path), b"n\xff\xfe.mp4")
    shutil.copy(os.fsencode(clip), name)
    frames, source = read_frames(os.fsdecode(name))
    assert frame_numbers(frames) == [0, 1, 2]
    assert source.name.isascii() and source.uri == os.fsdecode(name)


def test_file_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_clip(tmp_path / "a b.mp4", 3)
    for url in (path.as_uri(), f"file://localhost{path}", f"file:{path}", "file:a b.mp4", "file:a%20b.mp4"):
        assert local_path(url).resolve() == path.resolve() and source_kind(url) == "video", url
        frames, source = read_frames(url)
        assert len(frames) == 3 and source_name(url) == "a_b" and source.media_path is not None
    with pytest.raises(InputError, match=r"there is no file or folder file:///nowhere/a\.mp4"):
        open_uri("file:///nowhere/a.mp4")


def test_numbered_names_as_ffmpeg_takes_them(tmp_path: Path) -> None:
    for number in (1, 2, 3, 10, 12345):
        write_image(tmp_path / f"img_{number:04d}.png", numbered_image(number % 256))
    write_image(tmp_path / "img_7.png", numbered_image(7))
    frames, _ = read_frames(tmp_path / "img_%04d.png")
    assert frame_numbers(frames) == [1, 2, 3, 10, 12345 % 256]
    assert frame_numbers(read_frames(tmp_path / "img_%d.png")[0]) == [1, 2, 3, 7, 10, 12345 % 256]
    with pytest.raises(InputError, match="matches no images"):
        open_uri(tmp_path / "other_%04d.png")
    write_clip(tmp_path / "part_01.mp4", 3)
    assert [path.name for path in list_videos(tmp_path / "part_%02d.mp4")] == ["part_01.mp4"]
    with pytest.raises(InputError, match="stands for 1 videos, which are sources of their own"):
        open_uri(tmp_path / "part_%02d.mp4")


def test_videos_of_a_folder_and_of_a_pattern(tmp_path: Path) -> None:
    for name in ("a10.mp4", "a9.MKV", "a9.txt", ".a1.mp4", "b.h264", "c.jpg", "._a9.mkv"):
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "folder.mp4" / "inside.mp4").touch()
    assert [path.name for path in list_videos(tmp_path)] == ["a9.MKV", "a10.mp4", "b.h264"]
    assert [path.name for path in list_videos(f"{tmp_path}/a*")] == ["a9.MKV", "a10.mp4"]
    assert list_videos(tmp_path / "folder.mp4" / "nothing*") == []


def test_directory_of_a_real_name_with_brackets(tmp_path: Path) -> None:
    folder = tmp_path / "take [2]"
    folder.mkdir()
    write_clip(folder / "a.mp4", 3)
    assert [path.name for path in list_videos(folder)] == ["a.mp4"]
    assert source_kind(folder) == "folder"
