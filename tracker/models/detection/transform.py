"""Preprocessing inside detection networks: images are resized, normalized and batched, their targets resized."""

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes


class DetectionTransform(GeneralizedRCNNTransform):
    """Torchvision's transform for images from 0 to 255; it also resizes the targets of `partial_labels`.

    Colors are normalized after resizing, which gives the same up to rounding: there are fewer pixels then.
    """

    def normalize(self, image: Tensor) -> Tensor:
        return image  # `resize` does it

    def normalize_colors(self, image: Tensor) -> Tensor:
        """Subtracts the mean of each color from (3, H, W) from 0 to 255 and divides by its standard deviation."""
        mean, std = (image.new_tensor(values)[:, None, None] for values in (self.image_mean, self.image_std))
        return (image - 255 * mean).div_(255 * std)

    def batch_images(self, images: list[Tensor], size_divisible: int = 32) -> Tensor:
        """Pads images to (B, 3, H, W) with sides divisible by `size_divisible`; one image that fits is not copied."""
        if len(images) > 1 or torchvision._is_tracing() or any(side % size_divisible for side in images[0].shape[1:]):
            return super().batch_images(images, size_divisible)  # type: ignore[no-any-return]
        return images[0][None]

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        original = image.shape[-2:]
        if torchvision._is_tracing() and self.fixed_size is None:
            image = self._resize_traced(image)
        else:
            image, target = super().resize(image, target)
        image = self.normalize_colors(image)
        if target is not None:
            for name in ("ignore", "regions", "uncertain"):
                target[name] = resize_boxes(target[name], original, image.shape[-2:])
        return image, target

    def _resize_traced(self, image: Tensor) -> Tensor:
        """Resizes like torchvision, for an export, where torchvision computes in float32 and can lose a pixel."""
        sides = torch._shape_as_tensor(image)[-2:].double()
        limits = sides.new_tensor([self.min_size[-1], self.max_size])  # a number / tensor would round twice
        scale = (limits / torch.stack([sides.min(), sides.max()])).min()
        height, width = (sides * scale).floor().long()
        return F.interpolate(image[None], size=[height, width], mode="bilinear")[0]


class PreResizedTransform(DetectionTransform):
    """A DetectionTransform for images that were resized already, in training and in use."""

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        return self.normalize_colors(image), target
