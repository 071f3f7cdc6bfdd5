"""The place of a picture in an image of another size."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.structures.fit import Fit

SIZES = st.integers(1, 4000)


@given(SIZES, SIZES, SIZES, SIZES)
def test_the_whole_picture_is_in_the_image(image_width: int, image_height: int, width: int, height: int) -> None:
    fit = Fit.into((image_width, image_height), width, height)
    assert fit.left >= 0 and fit.left + fit.scaled_width <= image_width
    assert fit.top >= 0 and fit.top + fit.scaled_height <= image_height
    assert fit.scaled_width == image_width or fit.scaled_height == image_height
    place = [fit.left, fit.top, fit.left + fit.scaled_width, fit.top + fit.scaled_height]
    np.testing.assert_allclose(fit.to_picture(np.array([place], np.float64)), [[0, 0, width, height]], atol=1e-6)


@pytest.mark.parametrize(
    ("size", "aspect", "expected"),
    [
        ((1440, 1080), Fraction(4, 3), (1920, 1080)),  # as wide as 1920 square pixels
        ((720, 576), Fraction(16, 15), (1440, 1080)),
        ((1920, 1080), Fraction(1), (1920, 1080)),
    ],
)
def test_pixels_that_are_not_square(size: tuple[int, int], aspect: Fraction, expected: tuple[int, int]) -> None:
    fit = Fit.into((1920, 1080), *size, aspect)
    assert (fit.scaled_width, fit.scaled_height) == expected
