"""Folders, globs and files of images."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from paths import CASES, needs_cases
from tracker.data.image_files import read_image
from tracker.errors import InputError
from tracker.structures.fit import Fit
from tracker.video.images import list_folder_images
from video_clips import frame_numbers, noise, numbered_image, open_uri, read_frames, write_clip, write_image


@pytest.mark.smoke
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


def test_images_of_other_sizes_are_fitted_into_the_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Phones write upright and lying pictures into one folder."""
    write_image(tmp_path / "1.png", numbered_image(1))
    write_image(tmp_path / "2.png", np.full((64, 48, 3), 200, np.uint8))
    write_image(tmp_path / "3.png", numbered_image(3))
    write_image(tmp_path / "4.png", np.full((64, 48, 3), 100, np.uint8))
    frames, source = read_frames(tmp_path, fps=10)
    assert (source.width, source.height) == (64, 48) and {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert frames[0].fit is None and frames[1].fit == Fit(48, 64, left=14, top=0, scaled_width=36, scaled_height=48)
    assert (frames[1].image[:, 14:50] == 200).all() and not frames[1].image[:, :14].any()
    boxes = np.array([[14, 0, 50, 48]], np.float32)
    assert frames[1].fit.to_picture(boxes).tolist() == [[0, 0, 48, 64]]
    assert caplog.text.count("at 0.100 s the size changes from 64x48 to 48x64") == 1
    assert len(caplog.records) == 1


def animation(path: Path, milliseconds: list[float], **options: Any) -> Path:
    first, *rest = [Image.fromarray(numbered_image(number)) for number in range(len(milliseconds))]
    first.save(path, save_all=True, append_images=rest, duration=milliseconds, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".webp", ".gif", ".avif"])
@pytest.mark.smoke
def test_animations_have_their_own_times(tmp_path: Path, suffix: str) -> None:
    if suffix == ".avif" and "avif" not in features.get_supported():
        pytest.skip("this Pillow was built without AVIF")
    options = {".webp": {"lossless": True}}.get(suffix, {})
    path = animation(tmp_path / f"a{suffix}", [100, 250, 40, 300], **options)
    frames, source = read_frames(path)
    assert frame_numbers(frames) == [0, 1, 2, 3] and source.expected_frames == 4
    assert [frame.time for frame in frames] == [0, 0.1, 0.35, 0.39]
    assert source.last_duration == Fraction(3, 10)
    assert frame_numbers(read_frames(path, start=0.1, end=0.39)[0]) == [1, 2]


def test_times_of_an_animation_do_not_drift(tmp_path: Path) -> None:
    """PNG states fractions of a second; rounding them up would add up."""
    path = write_clip(tmp_path / "a.apng", 31, 30, codec="apng", pix_fmt="rgb24")
    frames, _ = read_frames(path.rename(tmp_path / "a.png"))
    assert frame_numbers(frames) == list(range(31))
    assert [frame.time for frame in frames] == pytest.approx([n / 30 for n in range(31)], abs=1e-6)


def test_an_animation_among_others_is_shown_at_the_rate_of_the_folder(tmp_path: Path) -> None:
    animation(tmp_path / "1.png", [500, 500])
    write_image(tmp_path / "2.png", numbered_image(2))
    assert [(frame.index, frame.time) for frame in read_frames(tmp_path, fps=10)[0]] == [(0, 0), (1, 0.1), (2, 0.2)]


def test_the_image_for_programs_without_animations_is_no_frame(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.png", [100, 100, 100], default_image=True)
    assert frame_numbers(read_frames(path)[0]) == [1, 2]


@pytest.mark.smoke
def test_pages_of_tiffs_are_frames(tmp_path: Path) -> None:
    for name, numbers in (("a.tif", (0, 1, 2)), ("b.tif", (3,)), ("c.tif", (4, 5))):
        first, *rest = [Image.fromarray(numbered_image(number)) for number in numbers]
        first.save(tmp_path / name, save_all=True, append_images=rest)
    frames, source = read_frames(tmp_path / "a.tif", fps=10)
    assert frame_numbers(frames) == [0, 1, 2] and [frame.time for frame in frames] == [0, 0.1, 0.2]
    assert source.expected_frames == 3
    frames, _ = read_frames(tmp_path, fps=10)
    assert frame_numbers(frames) == [0, 1, 2, 3, 4, 5] and [frame.index for frame in frames] == [0, 1, 2, 3, 4, 5]
    assert frame_numbers(read_frames(tmp_path, every=2, start=0.1)[0]) == [3, 5]


def test_an_animation_that_breaks_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.png"
    first, *rest = [Image.fromarray(noise(number, 64, 48)) for number in range(4)]
    first.save(path, save_all=True, append_images=rest, duration=100)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 5 // 8])
    frames, source = read_frames(path, fps=10)
    assert [frame.index for frame in frames] == [0, 1] and source.corrupt_packets == 2
    assert caplog.text.count("corrupt data is skipped") == 1


@pytest.mark.parametrize("start", [0.3, 5])
def test_a_start_after_the_last_image(tmp_path: Path, start: float) -> None:
    for number in range(3):
        write_image(tmp_path / f"{number}.png", numbered_image(number))
    with open_uri(tmp_path, fps=10, start=start) as source, pytest.raises(InputError, match="is beyond the end of"):
        list(source)


@needs_cases
@pytest.mark.parametrize(("folder", "count"), [("video/exif", 3), ("video/tiff", 1), ("data/png16/images", 12)])
def test_reported_pictures_are_read_alike(folder: str, count: int) -> None:
    frames, source = read_frames(CASES / folder)
    paths = list_folder_images(CASES / folder)
    assert len(frames) == len(paths) == count and source.corrupt_packets == 0
    for path, frame in zip(paths, frames, strict=True):
        picture = read_image(path)
        assert 20 < picture.mean() < 235  # neither black nor white
        np.testing.assert_array_equal(read_frames(path)[0][0].image, picture)
        if frame.fit is None:
            np.testing.assert_array_equal(frame.image, picture)


@needs_cases
def test_sixteen_bits_are_those_of_eight() -> None:
    for path in list_folder_images(CASES / "data/png16/images"):
        stored = np.asarray(Image.open(path)).astype(np.int64)
        np.testing.assert_array_equal(read_image(path)[:, :, 0], np.rint(stored * 255 / 65535))
