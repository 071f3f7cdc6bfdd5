"""The place of a picture of another size inside the images of its source."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tracker.structures.boxes import Floats


@dataclass(frozen=True, slots=True)
class Fit:
    """A picture that was scaled into the middle of an image of another size, with its aspect ratio kept.

    Attributes:
        width: Of the picture itself, pixels.
        height: As `width`.
        left: Column of the image at which the scaled picture begins, pixels.
        top: Row of the image at which it begins.
        scaled_width: Of the picture in the image, pixels.
        scaled_height: As `scaled_width`.
    """

    width: int
    height: int
    left: int
    top: int
    scaled_width: int
    scaled_height: int

    @classmethod
    def into(cls, image_size: tuple[int, int], width: int, height: int, aspect: Fraction = Fraction(1)) -> Self:
        """Returns the largest place of a picture in an image that keeps its aspect ratio.

        Args:
            image_size: Width and height of the image, pixels.
            width: Of the picture, pixels.
            height: As `width`.
            aspect: Width of a pixel of the picture over that of a pixel of the image, where both are equally high.

        Example:
            >>> Fit.into((640, 480), 960, 540)
            Fit(width=960, height=540, left=0, top=60, scaled_width=640, scaled_height=360)
        """
        scale = min(image_size[0] / (width * aspect), Fraction(image_size[1], height))
        scaled_width = min(image_size[0], max(1, round(width * aspect * scale)))
        scaled_height = min(image_size[1], max(1, round(height * scale)))
        left, top = (image_size[0] - scaled_width) // 2, (image_size[1] - scaled_height) // 2
        return cls(width, height, left, top, scaled_width, scaled_height)

    def place(self, picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
        """Returns an image, uint8 (height, width, 3), black around the scaled picture, which is uint8 (H, W, 3)."""
        import cv2  # few sources need it

        interpolation = cv2.INTER_AREA if self.scaled_width < self.width else cv2.INTER_LINEAR
        image = np.zeros((height, width, 3), np.uint8)
        inside = image[self.top : self.top + self.scaled_height, self.left : self.left + self.scaled_width]
        inside[:] = cv2.resize(picture, (self.scaled_width, self.scaled_height), interpolation=interpolation)
        return image

    def to_picture(self, boxes: Floats) -> Floats:
        """Maps (N, 4) xyxy boxes from pixels of the image to pixels of the picture itself.

        Example:
            >>> fit = Fit.into((640, 480), 960, 540)
            >>> fit.to_picture(np.array([[0.0, 60, 320, 240]])).tolist()
            [[0.0, 0.0, 480.0, 270.0]]
        """
        shift = np.array([self.left, self.top] * 2, boxes.dtype)
        scale = np.array([self.width / self.scaled_width, self.height / self.scaled_height] * 2, boxes.dtype)
        mapped: Floats = (boxes - shift) * scale
        return mapped

    def to_image(self, boxes: Floats) -> Floats:
        """Maps (N, 4) xyxy boxes from pixels of the picture itself to pixels of the image.

        Example:
            >>> fit = Fit.into((640, 480), 960, 540)
            >>> fit.to_image(np.array([[0.0, 0, 480, 270]])).tolist()
            [[0.0, 60.0, 320.0, 240.0]]
        """
        shift = np.array([self.left, self.top] * 2, boxes.dtype)
        scale = np.array([self.scaled_width / self.width, self.scaled_height / self.height] * 2, boxes.dtype)
        mapped: Floats = boxes * scale + shift
        return mapped
