"""The backbone of the built-in embedder: ShuffleNetV2 x0.5 without its last convolution.

Source: Ma et al. 2018, arXiv 1807.11164. Channels are split into even and odd before each block, as the paper's
authors do, and not shuffled after it as in torchvision: the ImageNet weights from which the built-in embedder was
trained need that order (from dog-qiuqiu/FastestDet, BSD-3-Clause, copyright 2022 xuehao.ma).
"""

import torch
from torch import Tensor, nn


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int, groups: int = 1) -> list[nn.Module]:
    padding = kernel // 2
    return [
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
    ]


class ShuffleBlock(nn.Module):
    """A unit of ShuffleNetV2: half of the channels skip it (stride 1), or two branches transform all (stride 2)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        branch_channels = in_channels // 2 if stride == 1 else in_channels
        mid_channels = out_channels // 2
        self.branch_main = nn.Sequential(
            *_conv(branch_channels, mid_channels, 1, 1),
            nn.ReLU(inplace=True),
            *_conv(mid_channels, mid_channels, 3, stride, groups=mid_channels),
            *_conv(mid_channels, out_channels - branch_channels, 1, 1),
            nn.ReLU(inplace=True),
        )
        self.branch_proj = (
            nn.Sequential(
                *_conv(in_channels, in_channels, 3, stride, groups=in_channels),
                *_conv(in_channels, in_channels, 1, 1),
                nn.ReLU(inplace=True),
            )
            if stride == 2
            else nn.Sequential()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C_out, H / stride, W / stride)."""
        if self.stride == 2:
            return torch.cat((self.branch_proj(x), self.branch_main(x)), 1)
        return torch.cat((x[:, 0::2], self.branch_main(x[:, 1::2])), 1)


class ShuffleNetBackbone(nn.Module):
    """ShuffleNetV2 x0.5 with stages of 48, 96 and 192 channels at strides 8, 16 and 32."""

    stage_channels = (48, 96, 192)

    def __init__(self) -> None:
        super().__init__()
        self.first_conv = nn.Sequential(*_conv(3, 24, 3, 2), nn.ReLU(inplace=True))
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 24
        for number, (out_channels, blocks) in enumerate(zip(self.stage_channels, (4, 8, 4), strict=True), 2):
            stage = [ShuffleBlock(channels, out_channels, 2)]
            stage += [ShuffleBlock(out_channels, out_channels, 1) for _ in range(blocks - 1)]
            setattr(self, f"stage{number}", nn.Sequential(*stage))
            channels = out_channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Maps (B, 3, H, W) RGB from 0 to 1 to the feature maps of the three stages by name."""
        x = self.maxpool(self.first_conv(images))
        feature_maps = {}
        for name in ("stage2", "stage3", "stage4"):
            x = getattr(self, name)(x)
            feature_maps[name] = x
        return feature_maps


def load_imagenet_backbone(backbone: ShuffleNetBackbone, state: dict[str, Tensor]) -> None:
    """Loads weights that were trained on BGR images, and flips their first layer to take RGB."""
    state = {key: value for key, value in state.items() if not key.startswith("fc")}
    state["first_conv.0.weight"] = state["first_conv.0.weight"].flip(1)
    backbone.load_state_dict(state)
