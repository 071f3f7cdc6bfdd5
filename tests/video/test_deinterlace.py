"""Deinterlacing: no lines of another time in the pictures, and nothing else changes."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tracker.video.deinterlace import deinterlaced
from video_clips import noise, read_frames, write_clip

WIDTH, HEIGHT = 96, 64


def moving_bar(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Returns a picture of a bar that moves to the right from one field to the next."""
    image = np.zeros((height, width, 3), np.uint8)
    for field in (0, 1):
        left = 6 * number + 3 * field
        image[field::2, left : left + 12] = 220
    return image


def write_interlaced(path: Path, frames: int, codec: str = "libx264", **settings: object) -> Path:
    options = {"mpeg2video": {"flags": "+ildct+ilme"}, "libx264": {"x264-params": "tff=1"}}[codec]
    return write_clip(path, frames, 25, draw=moving_bar, size=(WIDTH, HEIGHT), codec=codec, options=options, **settings)  # type: ignore[arg-type]


def comb(image: np.ndarray) -> float:
    """Returns the mean difference between the lines of the two fields."""
    gray = image[:, :, 0].astype(int)
    return float(np.abs(gray[1::2] - gray[::2]).mean())


@pytest.mark.parametrize(
    ("codec", "suffix", "frames"),
    [("libx264", "mp4", 2), ("libx264", "mp4", 8), ("libx264", "ts", 8), ("mpeg2video", "mpg", 8)],
)
@pytest.mark.smoke
def test_interlaced_video(
    tmp_path: Path, codec: str, suffix: str, frames: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_interlaced(tmp_path / f"a.{suffix}", frames, codec)
    with av.open(str(path)) as container:
        stored = list(container.decode(video=0))
    assert len(stored) == frames and all(frame.interlaced_frame for frame in stored)
    read, _ = read_frames(path)
    assert [frame.pts for frame in read] == [frame.pts for frame in stored]
    assert [frame.index for frame in read] == list(range(frames))
    for frame, interlaced in zip(read, stored, strict=True):
        assert comb(frame.image) < 0.25 * comb(interlaced.to_ndarray(format="rgb24"))
    assert caplog.text.count("it is interlaced, and is deinterlaced") == 1


def test_part_of_an_interlaced_video(tmp_path: Path) -> None:
    path = write_interlaced(tmp_path / "a.mp4", 12)
    whole, _ = read_frames(path)
    part, _ = read_frames(path, start=0.12, end=0.36, every=2)
    assert [frame.index for frame in part] == [3, 5, 7]
    for frame in part:
        np.testing.assert_array_equal(frame.image, whole[frame.index].image)


def test_progressive_video_is_not_touched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Lines that differ as those of two fields would are kept."""
    frames, _ = read_frames(write_clip(tmp_path / "a.mkv", 3, draw=noise, codec="ffv1", pix_fmt="yuv444p"))
    assert comb(frames[0].image) > 50 and not caplog.records


class Frames:
    """Frames of several kinds in one stream, with the number of each."""

    def __init__(self, tmp_path: Path) -> None:
        interlaced = self.decode(write_interlaced(tmp_path / "i.mp4", 3))
        progressive = self.decode(write_clip(tmp_path / "p.mp4", 3, size=(WIDTH, HEIGHT)))
        other_size = self.decode(write_clip(tmp_path / "o.mp4", 3))
        self.all = [*progressive, *interlaced, *progressive, *other_size, *interlaced]

    @staticmethod
    def decode(path: Path) -> list[av.VideoFrame]:
        with av.open(str(path)) as container:
            return list(container.decode(video=0))

    def __iter__(self) -> Iterator[tuple[av.VideoFrame, int]]:
        return ((frame, number) for number, frame in enumerate(self.all))


def test_kinds_of_frames_can_change(tmp_path: Path) -> None:
    frames, told = Frames(tmp_path), []
    result = list(deinterlaced(frames, lambda: told.append(True)))
    assert [number for _, number in result] == list(range(15)) and told == [True]
    assert not any(frame.interlaced_frame for frame, _ in result)
    sizes = [(frame.width, frame.height) for frame, _ in result]
    assert sizes == [(frame.width, frame.height) for frame in frames.all]
    for number in (0, 1, 2, 7, 9, 10, 11):
        np.testing.assert_array_equal(
            result[number][0].to_ndarray(format="rgb24"), frames.all[number].to_ndarray(format="rgb24")
        )


def test_frames_without_times(tmp_path: Path) -> None:
    frames = Frames.decode(write_interlaced(tmp_path / "a.mp4", 4))
    for frame in frames:
        frame.pts = None
    assert [n for _, n in deinterlaced(zip(frames, range(4), strict=True), lambda: None)] == [0, 1, 2, 3]
    assert frames[0].time_base == Fraction(1, 12800)
