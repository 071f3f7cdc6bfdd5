"""Broken images are found before a training or an evaluation starts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_sets import write_yolo
from tracker.data import check_images, read_image_set
from tracker.data.broken_images import check_image
from tracker.errors import InputError

NOISE = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)


def write(path: Path, keep: float = 1.0) -> Path:
    """Writes an image of which only a fraction of the bytes is kept."""
    Image.fromarray(NOISE).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif"])
def test_a_file_that_was_copied_in_part_is_found(tmp_path: Path, suffix: str) -> None:
    assert check_image(write(tmp_path / f"a{suffix}")) == (80, 60)
    with pytest.raises(InputError, match=rf"cannot read the image .*b\{suffix}"):
        check_image(write(tmp_path / f"b{suffix}", keep=0.5))


def test_data_after_the_end_of_a_jpeg_is_no_problem(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + bytes(10_000))
    assert check_image(path) == (80, 60)


def test_reading_a_set_finds_a_file_that_is_cut_off(tmp_path: Path) -> None:
    file = write_yolo(tmp_path)
    path = tmp_path / "images" / "train" / "02.png"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"cannot read the image .*02\.png"):
        read_image_set(Path(f"{file}:train"), {})


def test_a_training_decodes_all_images_where_that_is_little_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    Image.fromarray(NOISE).save(path, lossless=True)
    content = bytearray(path.read_bytes())
    for position in range(100, len(content) // 2):
        content[position] ^= 255
    path.write_bytes(content)
    check_images([path], num_reads=7)
    with pytest.raises(
        InputError, match=r"cannot read the image .*a\.webp.*: mend or remove it; 1 more images are broken"
    ):
        check_images([path, path, tmp_path / "gone.png"], num_reads=16)
