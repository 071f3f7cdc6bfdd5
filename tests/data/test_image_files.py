"""Image files of every kind are read upright and with 8 bits, and alike for training and for tracking."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tracker.config import SourceConfig
from tracker.data.image_files import image_size, list_images, read_image
from tracker.errors import InputError
from tracker.video import open_source

Array = np.ndarray[Any, np.dtype[Any]]

RANDOM = np.random.default_rng(0)
COLOR_16 = RANDOM.integers(0, 65536, (6, 8, 3), dtype=np.uint16)
COLOR = np.rint(COLOR_16 * (255 / 65535)).astype(np.uint8)
GRAY = np.stack([COLOR[:, :, 0]] * 3, 2)
FLOAT = RANDOM.random((6, 8, 3)).astype(np.float32)
FLOAT_AS_8_BITS = np.rint(FLOAT * 255).astype(np.uint8)

ORIENT: dict[int, Callable[[Array], Array]] = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image.swapaxes(0, 1)[::-1, ::-1],
    8: lambda image: np.rot90(image),
}
"""Makes an image upright that is stored with an EXIF orientation."""


def tiff(pixels: Array, orientation: int = 1) -> bytes:
    """Encodes (H, W) or (H, W, 3) pixels of any type as an uncompressed TIFF."""
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else 3
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    sample_format = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    tags = {
        256: [width], 257: [height], 258: [8 * pixels.dtype.itemsize] * channels, 259: [1], 262: [channels // 2 + 1],
        273: [8], 274: [orientation], 277: [channels], 278: [height], 279: [len(data)], 339: [sample_format] * channels,
    }  # fmt: skip
    end = 8 + len(data) + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for tag, numbers in tags.items():
        if len(numbers) == 1:
            entries += struct.pack("<HHII", tag, 4, 1, numbers[0])
        else:
            entries += struct.pack("<HHII", tag, 3, len(numbers), end + len(values))
            values += struct.pack(f"<{len(numbers)}H", *numbers)
    start = b"II*\0" + struct.pack("<I", 8 + len(data))
    return start + data + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" + values


def png_16(pixels: Array, orientation: int, at_the_end: bool = False) -> bytes:
    """Encodes uint16 (H, W, 3) RGB as a PNG with an EXIF orientation before or after the pixels."""
    data = cv2.imencode(".png", pixels[:, :, ::-1])[1].tobytes()
    exif = b"eXIf" + struct.pack("<2sHIHHHII", b"II", 42, 8, 1, 0x0112, 3, 1, orientation) + b"\0\0\0\0"
    chunk = struct.pack(">I", len(exif) - 4) + exif + struct.pack(">I", zlib.crc32(exif))
    place = len(data) - 12 if at_the_end else 33
    return data[:place] + chunk + data[place:]


def save(path: Path, pixels: Array, orientation: int, **options: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **options)


FORMATS: dict[str, tuple[str, Callable[[Path, int], Any], Array]] = {
    "PNG": (".png", lambda path, n: save(path, COLOR, n), COLOR),
    "gray PNG": (".png", lambda path, n: save(path, COLOR[:, :, 0], n), GRAY),
    "16-bit gray PNG": (".png", lambda path, n: save(path, COLOR_16[:, :, 0], n), GRAY),
    "16-bit PNG": (".png", lambda path, n: path.write_bytes(png_16(COLOR_16, n)), COLOR),
    "16-bit PNG, EXIF last": (".png", lambda path, n: path.write_bytes(png_16(COLOR_16, n, True)), COLOR),
    "TIFF": (".tif", lambda path, n: path.write_bytes(tiff(COLOR, n)), COLOR),
    "gray TIFF": (".tif", lambda path, n: path.write_bytes(tiff(COLOR[:, :, 0], n)), GRAY),
    "16-bit gray TIFF": (".tif", lambda path, n: path.write_bytes(tiff(COLOR_16[:, :, 0], n)), GRAY),
    "16-bit TIFF": (".tif", lambda path, n: path.write_bytes(tiff(COLOR_16, n)), COLOR),
    "float gray TIFF": (
        ".tif",
        lambda path, n: path.write_bytes(tiff(FLOAT[:, :, 0], n)),
        np.stack([FLOAT_AS_8_BITS[:, :, 0]] * 3, 2),
    ),
    "float TIFF": (".tif", lambda path, n: path.write_bytes(tiff(FLOAT, n)), FLOAT_AS_8_BITS),
    "WebP": (".webp", lambda path, n: save(path, COLOR, n, lossless=True), COLOR),
}


def read_as_frame(path: Path) -> Array:
    with open_source(path, SourceConfig()) as source:
        (frame,) = source
        assert (source.width, source.height) == frame.image.shape[1::-1]
    return frame.image


@pytest.mark.parametrize("orientation", ORIENT)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_upright_and_alike(tmp_path: Path, name: str, orientation: int) -> None:
    suffix, write, stored = FORMATS[name]
    path = tmp_path / f"image{suffix}"
    write(path, orientation)
    expected = ORIENT[orientation](stored)
    image = read_image(path)
    np.testing.assert_array_equal(image, expected)
    assert image.dtype == np.uint8 and image.flags.c_contiguous and image.flags.writeable
    assert image_size(path) == expected.shape[1::-1]
    np.testing.assert_array_equal(read_as_frame(path), expected)


@pytest.mark.parametrize("orientation", ORIENT)
def test_jpeg_is_read_upright_and_alike(tmp_path: Path, orientation: int) -> None:
    stored = np.kron(COLOR, np.ones((8, 8, 1), np.uint8))
    save(tmp_path / "a.jpg", stored, orientation, quality=100, subsampling=0)
    expected = ORIENT[orientation](stored)
    image = read_image(tmp_path / "a.jpg")
    assert np.abs(image.astype(int) - expected).max() <= 2
    assert image_size(tmp_path / "a.jpg") == expected.shape[1::-1]
    np.testing.assert_array_equal(read_as_frame(tmp_path / "a.jpg"), image)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0.5, 1], [0, 128, 255]),
        ([0, 1, 200], [0, 1, 200]),
        ([0, 257, 65535], [0, 1, 255]),
        ([-1, 0, 4], [0, 51, 255]),
        ([0, 1e6, 5e6], [0, 51, 255]),
        ([-7, -7, -7], [0, 0, 0]),
        ([float("nan"), float("inf"), 1], [0, 0, 255]),
    ],
)
def test_values_of_a_float_tiff_are_scaled_by_their_range(
    tmp_path: Path, values: list[float], expected: list[int]
) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(np.array([values], np.float32)))
    assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == expected


def test_a_16_bit_pgm(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.pgm"), COLOR_16[:, :, 0])
    np.testing.assert_array_equal(read_image(tmp_path / "a.pgm"), GRAY)
    np.testing.assert_array_equal(read_as_frame(tmp_path / "a.pgm"), GRAY)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_transparency_is_dropped(tmp_path: Path, suffix: str) -> None:
    alpha = np.linspace(1, 255, 48).astype(np.uint8).reshape(6, 8, 1)
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    Image.fromarray(np.dstack([COLOR, alpha])).save(tmp_path / f"a{suffix}", **options)
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), COLOR)


def test_a_palette_and_the_first_image_of_a_gif(tmp_path: Path) -> None:
    first, second = (Image.fromarray(np.full((6, 8, 3), value, np.uint8)) for value in (40, 200))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    assert (read_image(tmp_path / "a.gif") == 40).all()
    first.quantize().save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == 40).all()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [2, 10, 500])
def test_a_truncated_file_is_refused(tmp_path: Path, progressive: bool, missing: int) -> None:
    noise = Image.fromarray(RANDOM.integers(0, 255, (60, 80, 3)).astype(np.uint8))
    noise.save(tmp_path / "a.jpg", progressive=progressive)
    (tmp_path / "a.png").write_bytes(png_16(RANDOM.integers(0, 65535, (60, 80, 3)).astype(np.uint16), 1))
    for path in (tmp_path / "a.jpg", tmp_path / "a.png"):
        path.write_bytes(path.read_bytes()[: -missing - (12 if path.suffix == ".png" else 0)])
        with pytest.raises(InputError, match=r"cannot read the image .*a\.(jpg|png): "):
            read_image(path)
        with pytest.raises(InputError, match="can be decoded"):
            read_as_frame(path)


@pytest.mark.parametrize("content", [b"", b"not an image", b"II*\0", b"II*\0" + bytes(40), b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_not_an_image(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    for read in (read_image, image_size):
        with pytest.raises(InputError) as error:
            read(tmp_path / "a.tif")
        assert str(error.value).startswith(f"cannot read the image {tmp_path / 'a.tif'}: ")
        assert "\n" not in str(error.value) and "0x" not in str(error.value)
    with pytest.raises(InputError, match="No such file"):
        read_image(tmp_path / "gone.png")


def test_images_of_a_folder_and_of_those_below(tmp_path: Path) -> None:
    for name in ("b.PNG", "a/1.jpg", "a/.hidden.jpg", "a/notes.txt", "c.tiff"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)] == ["a/1.jpg", "b.PNG", "c.tiff"]
