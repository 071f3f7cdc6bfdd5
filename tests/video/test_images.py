"""Folders, globs and files of images."""

from fractions import Fraction
from pathlib import Path

import pytest

from tracker.errors import InputError
from video_clips import frame_numbers, noise, numbered_image, open_uri, read_frames, write_image


def test_folder_of_images_in_natural_order(tmp_path: Path) -> None:
    for number in (0, 1, 2, 10, 11, 100):
        write_image(tmp_path / f"img{number}.png", numbered_image(number))
    (tmp_path / "notes.txt").write_text("no image")
    frames, source = read_frames(tmp_path, fps=29.97)
    assert frame_numbers(frames) == [0, 1, 2, 10, 11, 100]
    assert source.frame_rate == Fraction(2997, 100)
    assert [frame.time for frame in frames] == [float(i / Fraction("29.97")) for i in range(6)]
    assert source.expected_frames == 6 and source.media_path is None and source.name == tmp_path.name
    assert frame_numbers(read_frames(str(tmp_path / "img1*.png"))[0]) == [1, 10, 11, 100]
    assert frame_numbers(read_frames(tmp_path / "img10.png")[0]) == [10]


def test_unreadable_images_are_skipped(tmp_path: Path) -> None:
    for number in range(6):
        write_image(tmp_path / f"{number}.jpg", noise(number, 64, 48))
    (tmp_path / "0.jpg").write_bytes(b"")
    (tmp_path / "2.jpg").write_text("not an image")
    data = (tmp_path / "4.jpg").read_bytes()
    (tmp_path / "4.jpg").write_bytes(data[: len(data) // 2])
    frames, source = read_frames(tmp_path, fps=10)
    assert [frame.index for frame in frames] == [1, 3, 5] and source.corrupt_packets == 3
    assert [frame.time for frame in frames] == [0.1, 0.3, 0.5]


def test_image_of_another_size_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "1.png", numbered_image(1))
    write_image(tmp_path / "2.png", numbered_image(2, 32, 32))
    with open_uri(tmp_path) as source, pytest.raises(InputError, match=r"2\.png is 32x32 while .* are 64x48"):
        list(source)
