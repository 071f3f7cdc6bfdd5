"""Pictures as programs have them: converted where the meaning is certain, refused otherwise."""

from typing import Any

import numpy as np
import pytest

from tracker import InputError
from tracker.data.image_input import to_image, to_images

IMAGE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
GRAY = np.repeat(IMAGE[..., :1], 3, axis=2)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        pytest.param(IMAGE[..., 0], GRAY, id="gray"),
        pytest.param(IMAGE[..., :1], GRAY, id="one channel"),
        pytest.param(np.dstack([IMAGE, IMAGE[..., 0]]), IMAGE, id="alpha"),
        pytest.param(IMAGE.transpose(2, 0, 1), IMAGE, id="channels first"),
        pytest.param(IMAGE / 255, IMAGE, id="floats"),
        pytest.param((IMAGE / 255).astype(np.float16).transpose(2, 0, 1), IMAGE, id="half precision, channels first"),
        pytest.param(IMAGE[::-1, :, ::-1], np.ascontiguousarray(IMAGE[::-1, :, ::-1]), id="negative strides"),
        pytest.param(IMAGE.astype(np.int64), IMAGE, id="integers"),
        pytest.param(IMAGE.tolist(), IMAGE, id="lists"),
    ],
)
def test_certain_pictures_are_converted(picture: Any, expected: np.ndarray) -> None:
    image = to_image(picture)
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    np.testing.assert_array_equal(image, expected)


def test_an_image_is_not_copied() -> None:
    assert to_image(IMAGE) is IMAGE


def test_tensors_and_pictures_of_pillow() -> None:
    torch, pillow = pytest.importorskip("torch"), pytest.importorskip("PIL.Image")
    tensor = torch.from_numpy(IMAGE).permute(2, 0, 1)
    np.testing.assert_array_equal(to_image(tensor), IMAGE)
    np.testing.assert_array_equal(to_image((tensor / 255).requires_grad_()), IMAGE)
    np.testing.assert_array_equal(to_image(pillow.fromarray(IMAGE)), IMAGE)
    assert to_image(pillow.fromarray(IMAGE).convert("P")).shape == IMAGE.shape
    assert to_image(pillow.fromarray(IMAGE).convert("1")).max() == 255


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (IMAGE.astype(np.float32), "holds float32 from 0 to 255: give bytes from 0 to 255, or floats from 0 to 1"),
        (IMAGE.astype(np.uint16), "must hold bytes from 0 to 255 or floats from 0 to 1, and holds uint16"),
        (IMAGE.astype(np.int32) - 1, "holds int32 from -1"),
        (IMAGE > 9, "and holds bool"),
        (np.full((9, 9), np.nan), "not finite"),
        (IMAGE[None], "which is a batch"),
        (IMAGE[..., :2], r"must have shape \(height, width, 3\), and has \(24, 32, 2\)"),
        (IMAGE[:0], "has no pixels"),
        ("picture.png", "must be numbers, not str"),
        (None, "must be numbers, not NoneType"),
        (3, r"must have shape \(height, width, 3\), and has \(\)"),
    ],
)
def test_other_pictures_are_refused(picture: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        to_image(picture)


@pytest.mark.parametrize("pictures", [IMAGE, 3, None])
def test_a_list_of_pictures_is_asked_for(pictures: Any) -> None:
    with pytest.raises(InputError, match="give a list of pictures"):
        to_images(pictures)
