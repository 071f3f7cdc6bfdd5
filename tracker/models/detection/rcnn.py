"""Our own R-CNNs, put together of torchvision's parts."""

from collections import OrderedDict
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from tracker.config import DetectorNetwork
from tracker.errors import InputError
from tracker.models.detection.backbones import Backbone, classifier, split_backbone
from tracker.models.detection.roi_pool import RegionPooling

# Settings that torchvision's R-CNNs take as arguments of the same name.
ARGUMENTS = (
    *("min_size", "max_size", "image_mean", "image_std"),
    *("rpn_fg_iou_thresh", "rpn_bg_iou_thresh", "rpn_batch_size_per_image", "rpn_positive_fraction"),
    *("rpn_pre_nms_top_n_train", "rpn_pre_nms_top_n_test", "rpn_post_nms_top_n_train", "rpn_post_nms_top_n_test"),
    *("rpn_nms_thresh", "rpn_score_thresh"),
    *("box_fg_iou_thresh", "box_bg_iou_thresh", "box_batch_size_per_image", "box_positive_fraction"),
    "bbox_reg_weights",
)
MAP_STRIDE = 16  # pixels, of the networks on one map


class DropoutMLPHead(TwoMLPHead):
    """Torchvision's head of a region, two layers of one width, each with dropout in training."""

    def __init__(self, in_channels: int, width: int, dropout: float) -> None:
        super().__init__(in_channels, width)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """(R, C, rows, columns) -> (R, width)."""
        for layer in (self.fc6, self.fc7):
            x = F.dropout(F.relu(layer(x.flatten(1))), self.dropout, self.training)
        return x


def builtin(network: DetectorNetwork, num_classes: int) -> FasterRCNN:
    """The built-in architecture: a pyramid without the finest map, which takes most of the time."""
    backbone, names = _pyramid(network, (8, 16, 32))
    return FasterRCNN(backbone, **_pyramid_parts(network, names, num_classes))


def fasterrcnn_fpn(network: DetectorNetwork, num_classes: int) -> FasterRCNN:
    """A pyramid on any of torchvision's convolutional classification networks. Source: Lin et al. 2017, 1612.03144."""
    backbone, names = _pyramid(network, (4, 8, 16, 32))
    return FasterRCNN(backbone, **_pyramid_parts(network, names, num_classes))


def maskrcnn_fpn(network: DetectorNetwork, num_classes: int) -> MaskRCNN:
    """The same with masks. Source: He et al. 2017, arXiv 1703.06870."""
    backbone, names = _pyramid(network, (4, 8, 16, 32))
    channels = network.fpn_channels
    return MaskRCNN(
        backbone,
        **_pyramid_parts(network, names, num_classes),
        mask_head=MaskRCNNHeads(channels, (channels,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(channels, channels, num_classes),
    )


def fasterrcnn_vgg16(network: DetectorNetwork, num_classes: int) -> FasterRCNN:
    """A VGG without its last pooling, two wide layers for each region. Source: Ren et al. 2015, arXiv 1506.01497."""
    _of_family(network, "vgg")
    trunk = Backbone(classifier(network.backbone), (MAP_STRIDE,))
    return _on_one_map(network, trunk, **_two_layers(network, trunk.channels[0], num_classes))


def fasterrcnn_c4(network: DetectorNetwork, num_classes: int) -> FasterRCNN:
    """A ResNet whose last stage judges each region. There it has stride 1, so that 7 x 7 places stay as many.

    Source: He et al. 2016, Deep residual learning, arXiv 1512.03385, appendix A; Chen and Gupta 2017, An implementation
    of Faster RCNN, arXiv 1702.02138, section 2.
    """
    _of_family(network, "resnet", "resnext", "wide_resnet")
    whole = classifier(network.backbone)
    tail = split_backbone(whole)[-1]
    for part in tail.modules():
        if isinstance(part, nn.Conv2d):
            part.stride = (1, 1)
    head = nn.Sequential(*tail, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    width: int = whole.get_submodule("fc").in_features  # type: ignore[assignment]
    predictor = FastRCNNPredictor(width, num_classes)
    return _on_one_map(network, Backbone(whole, (MAP_STRIDE,)), box_head=head, box_predictor=predictor)


def shared_arguments(network: DetectorNetwork) -> dict[str, Any]:
    """What torchvision's R-CNNs take of a network's settings."""
    return {name: getattr(network, name) for name in ARGUMENTS}


def _of_family(network: DetectorNetwork, *families: str) -> None:
    if not network.backbone.startswith(families):
        raise InputError(f"{network.architecture} stands on a {families[0]}, not on {network.backbone!r}")


def _pyramid(network: DetectorNetwork, strides: tuple[int, ...]) -> tuple[nn.Sequential, list[str]]:
    """Maps at some strides under a pyramid, and their names; there is one more, pooled, of twice the last stride."""
    trunk = Backbone(classifier(network.backbone), strides)
    fpn = FeaturePyramidNetwork(trunk.channels, network.fpn_channels, extra_blocks=LastLevelMaxPool())
    return _backbone(network.fpn_channels, body=trunk, fpn=fpn), trunk.names


def _backbone(channels: int, **parts: nn.Module) -> nn.Sequential:
    backbone = nn.Sequential(OrderedDict(parts))
    backbone.out_channels = channels  # type: ignore[assignment]
    return backbone


def _on_one_map(network: DetectorNetwork, trunk: Backbone, **head: nn.Module) -> FasterRCNN:
    backbone = _backbone(trunk.channels[0], body=trunk)
    model = FasterRCNN(backbone, **shared_arguments(network), rpn_anchor_generator=_anchors(network, 1), **head)
    model.roi_heads.box_roi_pool = RegionPooling(network.roi_pooling, network.roi_size, MAP_STRIDE)
    return model


def _pyramid_parts(network: DetectorNetwork, maps: list[str], num_classes: int) -> dict[str, Any]:
    """The arguments of a network on a pyramid: anchors on all its maps, regions cut out of those with a name."""
    return {
        **shared_arguments(network),
        "rpn_anchor_generator": _anchors(network, len(maps) + 1),
        "box_roi_pool": MultiScaleRoIAlign(maps, network.roi_size, sampling_ratio=2),
        **_two_layers(network, network.fpn_channels, num_classes),
    }


def _anchors(network: DetectorNetwork, maps: int) -> AnchorGenerator:
    sizes = network.anchor_sizes
    if len(sizes) != maps or len({len(of_a_map) for of_a_map in sizes}) > 1:
        raise InputError(
            f"anchor_sizes: {network.architecture} needs {maps} lists (one for each feature map), all of one length"
        )
    return AnchorGenerator(sizes, (network.aspect_ratios,) * maps)


def _two_layers(network: DetectorNetwork, channels: int, num_classes: int) -> dict[str, nn.Module]:
    head = DropoutMLPHead(channels * network.roi_size**2, network.head_width, network.head_dropout)
    return {"box_head": head, "box_predictor": FastRCNNPredictor(network.head_width, num_classes)}
