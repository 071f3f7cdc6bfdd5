"""LeNet-5, for tiny crops such as cells or distant birds."""

from torch import Tensor, nn


class LeNet(nn.Module):
    """LeNet-5 for color images, up to its penultimate layer, with ReLU and max pooling.

    Source: LeCun et al. 1998, Gradient-based learning applied to document recognition, doi 10.1109/5.726791, fig. 2.
    """

    def __init__(self, width: float) -> None:
        """Takes the factor on the numbers of channels, which are 6, 16, 120 and 84 in LeNet-5."""
        super().__init__()
        first, second, third, last = (max(1, round(width * channels)) for channels in (6, 16, 120, 84))
        self.layers = nn.Sequential(
            nn.Conv2d(3, first, 5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, 5),
            nn.ReLU(inplace=True),
            nn.AdaptiveMaxPool2d(5),  # of 32 x 32 pixels: 2 x 2 pooling, as in the paper
            nn.Flatten(),
            nn.Linear(second * 5 * 5, third),
            nn.ReLU(inplace=True),
            nn.Linear(third, last),
            nn.ReLU(inplace=True),
        )

    def forward(self, crops: Tensor) -> Tensor:
        """Maps (B, 3, H, W), sides of at least 16 pixels, to (B, F)."""
        return self.layers(crops)  # type: ignore[no-any-return]
