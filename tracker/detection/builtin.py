"""The built-in architecture: a Faster R-CNN small enough for two CPU cores.

Source: Ren et al. 2015, arXiv 1506.01497, with the feature pyramid of Lin et al. 2017, arXiv 1612.03144.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from tracker.detection.partial import PartialRoIHeads, PartialRPN
from tracker.networks import ShuffleTrunk

PYRAMID_CHANNELS = 64
ANCHOR_SIZES = ((16, 24), (36, 56), (84, 124), (176, 250))  # pixels of the resized picture, for each level
ASPECT_RATIOS = (0.5, 1.0, 2.0)  # height / width
HEAD_WIDTH = 256


class PyramidTrunk(nn.Module):
    """ShuffleNetV2 x0.5 under a feature pyramid: strides 8, 16, 32 and, pooled, 64."""

    out_channels = PYRAMID_CHANNELS

    def __init__(self) -> None:
        super().__init__()
        self.body = ShuffleTrunk()
        self.fpn = FeaturePyramidNetwork(
            list(ShuffleTrunk.stage_channels), PYRAMID_CHANNELS, extra_blocks=LastLevelMaxPool()
        )

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        return self.fpn(self.body(images))  # type: ignore[no-any-return]


class Batch(GeneralizedRCNNTransform):
    """Scales colours and stacks pictures; their size is right already, in training and after it."""

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        return image, target


def build_builtin(num_classes: int) -> FasterRCNN:
    """The untrained network for `num_classes` categories, the background among them as number 0.

    It takes RGB pictures from 0 to 255 that are already resized, of any sizes in a batch.
    """
    model = FasterRCNN(
        PyramidTrunk(),
        num_classes=None,
        rpn_anchor_generator=AnchorGenerator(ANCHOR_SIZES, (ASPECT_RATIOS,) * len(ANCHOR_SIZES)),
        rpn_head=RPNHead(PYRAMID_CHANNELS, 2 * len(ASPECT_RATIOS)),
        rpn_pre_nms_top_n_train=400,
        rpn_pre_nms_top_n_test=400,
        rpn_post_nms_top_n_train=300,
        rpn_post_nms_top_n_test=150,
        box_roi_pool=MultiScaleRoIAlign(["stage2", "stage3", "stage4"], output_size=7, sampling_ratio=2),
        box_head=TwoMLPHead(PYRAMID_CHANNELS * 7 * 7, HEAD_WIDTH),
        box_predictor=FastRCNNPredictor(HEAD_WIDTH, num_classes),
        box_batch_size_per_image=64,
    )
    model.transform = Batch(1, 1, image_mean=[0.0, 0.0, 0.0], image_std=[255.0, 255.0, 255.0])
    # Torchvision's builder has no argument for these classes; they add no state, so the parts change class in place.
    model.rpn.__class__ = PartialRPN
    model.roi_heads.__class__ = PartialRoIHeads
    return model
