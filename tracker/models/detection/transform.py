"""Pictures as networks take them: scaled colours, the right size, stacked; targets go with them."""

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes


class DetectionTransform(GeneralizedRCNNTransform):
    """Torchvision's, for pictures from 0 to 255, and for what the partial heads know of a target beside its boxes.

    Colours are scaled after the size is right, which is the same but for rounding: there are fewer pixels then.
    """

    def normalize(self, image: Tensor) -> Tensor:
        return image  # see `scaled`

    def scaled(self, image: Tensor) -> Tensor:
        """(3, H, W) from 0 to 255 -> freed of the mean and deviation of each colour."""
        mean, deviation = (image.new_tensor(values)[:, None, None] for values in (self.image_mean, self.image_std))
        return (image - 255 * mean).div_(255 * deviation)

    def batch_images(self, images: list[Tensor], size_divisible: int = 32) -> Tensor:
        """Pictures in one tensor (B, 3, H, W) whose sides `size_divisible` divides; one that fits is not copied."""
        if len(images) > 1 or torchvision._is_tracing() or any(side % size_divisible for side in images[0].shape[1:]):
            return super().batch_images(images, size_divisible)  # type: ignore[no-any-return]
        return images[0][None]

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        before = image.shape[-2:]
        if torchvision._is_tracing() and self.fixed_size is None:
            image = self._fitted(image)
        else:
            image, target = super().resize(image, target)
        image = self.scaled(image)
        if target is not None:
            for name in ("ignore", "regions"):
                target[name] = resize_boxes(target[name], before, image.shape[-2:])
        return image, target

    def _fitted(self, image: Tensor) -> Tensor:
        """What torchvision's own does, for an export, where that computes in float32 and can lose a pixel."""
        sides = torch._shape_as_tensor(image)[-2:].double()
        limits = sides.new_tensor([self.min_size[-1], self.max_size])  # a number / tensor would round twice
        scale = (limits / torch.stack([sides.min(), sides.max()])).min()
        height, width = (sides * scale).floor().long()
        return F.interpolate(image[None], size=[height, width], mode="bilinear")[0]


class SizedPreparation(DetectionTransform):
    """The same for pictures whose size is right already, in training and after it."""

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        return self.scaled(image), target
