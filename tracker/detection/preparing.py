"""Pictures as networks take them: scaled colours, the right size, stacked; targets go with them."""

from torch import Tensor
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes


class Preparation(GeneralizedRCNNTransform):
    """Torchvision's, for pictures from 0 to 255, and for what the partial heads know of a target beside its boxes."""

    def normalize(self, image: Tensor) -> Tensor:
        return super().normalize(image / 255)  # type: ignore[no-any-return]

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        before = image.shape[-2:]
        image, target = super().resize(image, target)
        if target is not None:
            for name in ("ignore", "regions"):
                target[name] = resize_boxes(target[name], before, image.shape[-2:])
        return image, target


class SizedPreparation(Preparation):
    """The same for pictures whose size is right already, in training and after it."""

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        return image, target
