"""Image files of every kind are read upright and with 8 bits, and alike for training and for tracking."""

import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, features

from tracker.config import SourceConfig
from tracker.data.image_files import image_size, list_images, read_image, read_pages
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
    "LZW TIFF": (".tif", lambda path, n: save(path, COLOR, n, compression="tiff_lzw"), COLOR),
    "WebP": (".webp", lambda path, n: save(path, COLOR, n, lossless=True), COLOR),
}
LOSSY: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": (".jpg", {"quality": 100, "subsampling": 0}),
    "progressive JPEG": (".jfif", {"quality": 100, "subsampling": 0, "progressive": True}),
    "AVIF": (".avif", {"quality": 100, "subsampling": "4:4:4"}),
}


def read_as_frame(path: Path) -> Array:
    with open_source(path, SourceConfig()) as source:
        (frame,) = source
        assert (source.width, source.height) == frame.image.shape[1::-1]
    return frame.image


@pytest.mark.parametrize("orientation", ORIENT)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.smoke
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
@pytest.mark.parametrize("name", LOSSY)
@pytest.mark.smoke
def test_lossy_formats_are_read_upright_and_alike(tmp_path: Path, name: str, orientation: int) -> None:
    suffix, options = LOSSY[name]
    if name == "AVIF" and "avif" not in features.get_supported():
        pytest.skip("this Pillow was built without AVIF")
    stored = np.kron(COLOR, np.ones((8, 8, 1), np.uint8))
    path = tmp_path / f"a{suffix}"
    save(path, stored, orientation, format="AVIF" if name == "AVIF" else "JPEG", **options)
    expected = ORIENT[orientation](stored)
    image = read_image(path)
    assert np.abs(image.astype(int) - expected).max() <= 4
    assert image_size(path) == expected.shape[1::-1]
    np.testing.assert_array_equal(read_as_frame(path), image)


@pytest.mark.parametrize("suffix", [".jp2", ".j2k"])
def test_jpeg_2000(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(COLOR).save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), COLOR)
    np.testing.assert_array_equal(read_as_frame(tmp_path / f"a{suffix}"), COLOR)


@pytest.mark.parametrize(
    ("mode", "suffix", "options"),
    [
        ("1", ".png", {}),
        ("1", ".tif", {"compression": "group4"}),
        ("L", ".jpg", {}),
        ("LA", ".png", {}),
        ("P", ".png", {}),
        ("P", ".tif", {}),
        ("CMYK", ".jpg", {"quality": 100}),
        ("CMYK", ".tif", {}),
        ("YCbCr", ".jpg", {"quality": 100}),
    ],
)
@pytest.mark.smoke
def test_kinds_of_pixels(tmp_path: Path, mode: str, suffix: str, options: dict[str, Any]) -> None:
    levels = np.kron(np.array([[0, 255], [255, 0]], np.uint8), np.ones((16, 16), np.uint8))
    Image.fromarray(np.dstack([levels] * 3)).convert(mode).save(tmp_path / f"a{suffix}", **options)
    image = read_image(tmp_path / f"a{suffix}")
    assert image.shape == (32, 32, 3) and np.abs(image.astype(int) - levels[:, :, None]).max() <= 2
    np.testing.assert_array_equal(read_as_frame(tmp_path / f"a{suffix}"), image)


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
@pytest.mark.parametrize("restarts", [0, 1])
@pytest.mark.parametrize("end", [b"", b"\xff", b"\0\0\0\0"])
@pytest.mark.smoke
def test_a_jpeg_without_its_end_marker(tmp_path: Path, end: bytes, restarts: int, progressive: bool) -> None:
    noise = Image.fromarray(RANDOM.integers(0, 255, (60, 80, 3)).astype(np.uint8))
    noise.save(tmp_path / "a.jpg", progressive=progressive, restart_marker_rows=restarts)
    complete = read_image(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-2] + end)
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), complete)
    np.testing.assert_array_equal(read_as_frame(tmp_path / "a.jpg"), complete)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [4, 10, 500])
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


def write_gray(folder: Path, name: str, values: Array) -> Path:
    """Writes gray values of any type as PNG or TIFF."""
    path = folder / name
    Image.fromarray(values).save(path) if path.suffix == ".png" else path.write_bytes(tiff(values))
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("bits", "expected"), [(8, 255), (10, 64), (12, 255), (14, 255), (16, 255)])
def test_fewer_bits_in_16_are_not_black(tmp_path: Path, suffix: str, bits: int, expected: int) -> None:
    values = np.linspace(0, 2**bits - 1, 48).astype(np.uint16).reshape(6, 8)
    path = write_gray(tmp_path, f"a{suffix}", values)
    assert read_image(path).max() == expected
    np.testing.assert_array_equal(read_as_frame(path), read_image(path))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dark", [0, 3, 5])
def test_a_dark_picture_stays_dark_in_its_folder(tmp_path: Path, suffix: str, dark: int) -> None:
    """The brightness of a folder's frames does not jump, and is the same in training."""
    paths = [write_gray(tmp_path, f"{n}{suffix}", np.full((6, 8), 60000, np.uint16)) for n in range(6)]
    write_gray(tmp_path, f"{dark}{suffix}", np.full((6, 8), 3000, np.uint16))
    with open_source(tmp_path, SourceConfig()) as source:
        frames = [frame.image for frame in source]
    assert [int(image.max()) for image in frames] == [12 if n == dark else 233 for n in range(6)]
    for path, image in zip(paths, frames, strict=True):
        np.testing.assert_array_equal(read_image(path), image)


def test_temperatures_share_the_range_of_their_folder(tmp_path: Path) -> None:
    for n, highest in enumerate((300.0, 310.0, 320.0)):
        write_gray(tmp_path, f"{n}.tif", np.linspace(280, highest, 48).astype(np.float32).reshape(6, 8))
    assert [int(read_image(tmp_path / f"{n}.tif").max()) for n in range(3)] == [128, 191, 255]
    assert [int(read_image(tmp_path / f"{n}.tif").min()) for n in range(3)] == [0, 0, 0]


def test_a_changed_folder_is_looked_at_again(tmp_path: Path) -> None:
    path = write_gray(tmp_path, "a.tif", np.full((6, 8), 3000, np.uint16))
    assert read_image(path).max() == 187
    write_gray(tmp_path, "b.tif", np.full((6, 8), 60000, np.uint16))
    write_gray(tmp_path, "c.tif", np.full((6, 8), 60000, np.uint16))
    assert read_image(path).max() == 12
    write_gray(tmp_path, "a.tif", np.full((6, 8), 50000, np.uint16))
    assert read_image(path).max() == 195


def tiff_pages(path: Path, pages: list[Array]) -> Path:
    first, *rest = [Image.fromarray(page) for page in pages]
    first.save(path, save_all=True, append_images=rest)
    return path


@pytest.mark.smoke
@pytest.mark.parametrize("kind", ["color", "gray", "16 bits", "16-bit color", "float color"])
def test_the_pages_of_a_tiff(tmp_path: Path, kind: str) -> None:
    values = {
        "color": COLOR, "gray": COLOR[:, :, 0], "16 bits": COLOR_16[:, :, 0], "16-bit color": COLOR_16,
        "float color": FLOAT,
    }[kind]  # fmt: skip
    flipped = np.ascontiguousarray(values[::-1])
    path = tmp_path / "a.tif"
    if "color" in kind and values.dtype != np.uint8:
        uncompressed = [cv2.IMWRITE_TIFF_COMPRESSION, 1]
        cv2.imwritemulti(str(path), [page[:, :, ::-1] for page in (values, flipped, values)], uncompressed)
    else:
        tiff_pages(path, [values, flipped, values])
    pages = [page.read() for page in read_pages(path)]
    assert len(pages) == 3
    expected = {"float color": FLOAT_AS_8_BITS, "gray": GRAY, "16 bits": GRAY}.get(kind, COLOR)
    for number, page in enumerate(pages):
        np.testing.assert_array_equal(page, expected[::-1] if number == 1 else expected)
    np.testing.assert_array_equal(read_image(path), pages[0])


def test_small_copies_and_masks_are_no_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    first, *rest = [Image.fromarray(np.full((6, 8, 3), value, np.uint8)) for value in (10, 20, 30)]
    first.save(path, save_all=True, append_images=rest, tiffinfo={270: "x" * 50})
    data = path.read_bytes()
    for subfile_type in (1, 0, 4):  # a small copy, a page, a mask: in place of the description. Source: TIFF 6.0
        entry = data.index(struct.pack("<HH", 270, 2))
        data = data[:entry] + struct.pack("<HHII", 254, 4, 1, subfile_type) + data[entry + 12 :]
    path.write_bytes(data)
    assert (read_image(path) == 20).all()
    assert [int(page.read().max()) for page in read_pages(path)] == [20]


def test_the_second_image_of_a_phones_jpeg_is_no_page(tmp_path: Path) -> None:
    first, second = (Image.fromarray(np.full((16, 16, 3), value, np.uint8)) for value in (40, 200))
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    assert [int(page.read().max()) for page in read_pages(tmp_path / "a.jpg")] == [40]


def test_too_many_pixels_are_told_in_one_sentence(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 20000, 20000, 1, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "a.png").write_bytes(data + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))
    with pytest.raises(InputError, match=r"cannot read the image .*a\.png: it states more than \d+ million pixels"):
        read_image(tmp_path / "a.png")


def test_heic_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pi_heif", "pillow_heif"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    with pytest.raises(InputError, match="HEIC needs the package pi-heif"):
        read_image(tmp_path / "a.heic")
