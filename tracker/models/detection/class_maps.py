"""A Faster R-CNN with class maps: its backbone tells where the centers of objects of each class are.

The neck and the class maps are those of a CenterNet. A class map has, at each position, the logit that the center of an
object of that class is there. The maps are further channels of the feature maps: so RPN and RoI heads get what the
CenterNet learned, also for classes of which their own training has few objects.

Sources: Zhou et al. 2019, Objects as points, arXiv 1904.07850; Zhou et al. 2021, Probabilistic two-stage detection,
arXiv 2103.07461, for the classification of proposals by both stages; Liu et al. 2018, Path aggregation network, arXiv
1803.01534, section 3.1, for the path from fine to coarse maps.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import TwoMLPHead

from tracker.models.detection.mobilenet_v3 import MobileNetV3, conv
from tracker.models.detection.rpn import APPEARANCE_MAP, CENTER_MAP, ROI_MAP

SIDE_UNIT = 16.0  # pixels
LOGIT_OFFSET = 4.0
"""Class maps hold max(logit + 4, 0): 0, as in the padding, is a probability below 2 %."""


class Merge(nn.Module):
    """Merges two feature maps, the coarser one upsampled: (B, C, h, w), (B, D, h / 2, w / 2) -> (B, 2 out, h, w)."""

    def __init__(self, fine: int, fine_squeezed: int, coarse: int, out: int) -> None:
        super().__init__()
        self.reduce = conv(fine, fine_squeezed)
        self.fine_depthwise = conv(fine_squeezed, fine_squeezed, 5, depthwise=True)
        self.fine = conv(fine_squeezed, out)
        self.depthwise5 = conv(coarse, coarse, 5, depthwise=True)
        self.project5 = conv(coarse, out)
        self.depthwise3 = conv(coarse, coarse, 3, depthwise=True)
        self.project3 = conv(coarse, out)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        fine = self.fine(self.fine_depthwise(F.relu(self.reduce(fine))))
        coarse = self.project5(self.depthwise5(coarse)) + self.project3(self.depthwise3(coarse))
        return F.relu(torch.cat([fine, upsample(coarse)], 1))


def upsample(x: Tensor) -> Tensor:
    """Doubles the sides of (B, C, h, w) bilinearly: position i becomes 2 i, and 2 i + 1 lies between i and i + 1."""
    height, width = x.shape[-2:]
    padded = F.pad(x, (0, 1, 0, 1), mode="replicate")
    return F.interpolate(padded, size=(2 * height + 1, 2 * width + 1), mode="bilinear", align_corners=True)[
        :, :, :-1, :-1
    ]


class CenterNetNeck(nn.Module):
    """The neck of a CenterNet: feature maps at strides 4, 8 and 16 that use the coarser ones, and class maps.

    Attributes:
        channels: Numbers of channels of its feature maps at strides 4, 8 and 16.
    """

    channels = (128, 192, 256)

    def __init__(self, in_channels: tuple[int, ...], num_class_maps: int) -> None:
        super().__init__()
        self.expand = conv(in_channels[3], 480)
        self.merge16 = Merge(in_channels[2], 22, 480, 128)
        self.merge8 = Merge(in_channels[1], 24, 256, 96)
        self.merge4 = Merge(in_channels[0], 18, 192, 64)
        self.fc1 = conv(128, 32)
        self.fc2 = conv(32, 128)
        self.class_depthwise = conv(128, 128, 3, depthwise=True)
        self.class_project = conv(128, num_class_maps)
        self.side_depthwise = conv(128, 128, 3, depthwise=True)
        self.side_project = conv(128, 4)

    def forward(self, feature_maps: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Maps the backbone's feature maps to three finer ones, and a map of centers (B, S + 4, H / 4, W / 4).

        The map has the logits of S classes, and the distances from each position to the left, upper, right and lower
        edge of the object whose center is there, pixels.
        """
        stride4, stride8, stride16, stride32 = feature_maps
        stride16 = self.merge16(stride16, F.hardswish(self.expand(stride32)))
        stride8 = self.merge8(stride8, stride16)
        stride4 = self.merge4(stride4, stride8)
        stride4 = stride4 * self.fc2(F.relu(self.fc1(stride4.mean((2, 3), keepdim=True)))).sigmoid()
        logits = self.class_project(self.class_depthwise(stride4))
        sides = SIDE_UNIT * self.side_project(self.side_depthwise(stride4))
        return [stride4, stride8, stride16], torch.cat([logits, sides], 1)


class PathAggregation(nn.Module):
    """Feature maps at strides 8, 16, 32 and 64, each of which also has what the finer ones know."""

    def __init__(self, in_channels: tuple[int, ...], channels: int) -> None:
        super().__init__()
        finest, *lateral = in_channels
        self.lateral = nn.ModuleList(conv(each, channels) for each in lateral)
        self.depthwise = nn.ModuleList(
            conv(each, each, 3, 2, depthwise=True) for each in (finest, *[channels] * (len(lateral) - 1))
        )
        self.project = nn.ModuleList(conv(each, channels) for each in (finest, *[channels] * (len(lateral) - 1)))

    def forward(self, feature_maps: list[Tensor]) -> list[Tensor]:
        """Maps feature maps at strides 4, 8, 16 and 32 to as many at strides 8 to 64, the last one subsampled."""
        finer, *coarser = feature_maps
        merged = []
        for features, lateral, depthwise, project in zip(
            coarser, self.lateral, self.depthwise, self.project, strict=True
        ):
            finer = F.relu(lateral(features) + project(depthwise(finer)))
            merged.append(finer)
        return [*merged, F.max_pool2d(merged[-1], 1, 2)]  # every second position


class ClassMapBackbone(nn.Module):
    """MobileNetV3, the CenterNet's neck and path aggregation; the class maps are the last channels of each output.

    Attributes:
        out_channels: Number of channels of each feature map, class maps included.
    """

    def __init__(self, channels: int, num_class_maps: int) -> None:
        super().__init__()
        self.body = MobileNetV3()
        self.neck = CenterNetNeck(self.body.channels, num_class_maps)
        self.fine = conv(self.neck.channels[0], channels)
        self.aggregation = PathAggregation((*self.neck.channels, self.body.channels[3]), channels)
        self.out_channels = channels + num_class_maps

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Maps images (B, 3, H, W), RGB from 0 to 255, to feature maps by name.

        The names are ROI_MAP and CENTER_MAP, at stride 4, APPEARANCE_MAP, at stride 8, and 0 to 3, at strides 8, 16, 32
        and 64.
        """
        feature_maps = self.body(images)
        finer, centers = self.neck(feature_maps)
        class_maps = F.relu(centers[:, :-4] + LOGIT_OFFSET)
        roi_map = torch.cat([F.relu(self.fine(finer[0])), class_maps], 1)
        outputs = OrderedDict({CENTER_MAP: centers, APPEARANCE_MAP: feature_maps[1], ROI_MAP: roi_map})
        for name, features in zip("0123", self.aggregation([*finer, feature_maps[3]]), strict=True):
            class_maps = F.max_pool2d(class_maps, 3, 2, 1)  # keeps the peaks
            outputs[name] = torch.cat([features, class_maps], 1)
        return outputs


class ClassMapHead(TwoMLPHead):
    """A box head of two fully connected layers that also returns the peak of each class map in the RoI's middle.

    Attributes:
        added: Two more such layers, for added classes; None without such.
    """

    def __init__(
        self, channels: int, num_class_maps: int, size: int, width: int, dropout: float, has_added: bool = False
    ) -> None:
        inputs = (channels + num_class_maps) * size**2
        super().__init__(inputs, width)
        self.added = TwoMLPHead(inputs, width) if has_added else None
        self.channels = channels
        self.dropout = dropout
        self.middle = slice(size // 3, size - size // 3)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (R, channels + S, rows, columns) to (R, width + S), with layers for added classes (R, 2 width + S)."""
        peaks = x[:, self.channels :, self.middle, self.middle].amax((2, 3))
        added = [] if self.added is None else [self.added(x)]
        for layer in (self.fc6, self.fc7):
            x = F.dropout(F.relu(layer(x.flatten(1))), self.dropout, self.training)
        return torch.cat([x, peaks, *added], 1)


class SharedBoxPredictor(nn.Module):
    """Torchvision's FastRCNNPredictor with one box for all classes: rare classes learn from the boxes of the others.

    With added classes, the last ones, the logits of the others and the boxes are computed from the first inputs alone,
    as they were before: nothing that is learned for added classes changes them.

    Attributes:
        cls_score: The logits of the background, of the classes that are not added, and of `num_other` classes that
            count as background: those that a detector knew, and is not to report.
        added_score: The logits of added classes, from all inputs; None without such.
    """

    def __init__(
        self, in_channels: int, num_classes: int, num_added: int = 0, added_channels: int = 0, num_other: int = 0
    ) -> None:
        """Takes the number of inputs, that of the classes with the background, and how many of them are added."""
        super().__init__()
        self.in_channels, self.num_known = in_channels, num_classes - num_added
        self.cls_score = nn.Linear(in_channels, self.num_known + num_other)
        self.bbox_pred = nn.Linear(in_channels, 4)
        self.added_score = nn.Linear(in_channels + added_channels, num_added) if num_added else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (R, C) to logits (R, classes) and offsets (R, 4 classes)."""
        known = x[:, : self.in_channels]
        logits: Tensor = self.cls_score(known)
        if logits.shape[1] > self.num_known:
            others = torch.cat([logits[:, :1], logits[:, self.num_known :]], 1)
            logits = torch.cat([others.logsumexp(1, keepdim=True), logits[:, 1 : self.num_known]], 1)
        if self.added_score is not None:
            logits = torch.cat([logits, self.added_score(x)], 1)
        return logits, self.bbox_pred(known).repeat(1, logits.shape[1])
