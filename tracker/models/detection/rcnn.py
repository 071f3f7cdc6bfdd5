"""Our own R-CNNs, assembled from torchvision's parts: backbone, FPN, RPN, RoI pooling and heads."""

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
from tracker.models.detection.backbones import Backbone, classification_network, split_backbone
from tracker.models.detection.class_maps import ClassMapBackbone, ClassMapHead, SharedBoxPredictor
from tracker.models.detection.roi_pool import SingleLevelRoIPool
from tracker.models.detection.rpn import ROI_MAP

# Settings that torchvision's R-CNNs take as arguments of the same name.
ARGUMENTS = (
    *("min_size", "max_size", "image_mean", "image_std"),
    *("rpn_fg_iou_thresh", "rpn_bg_iou_thresh", "rpn_batch_size_per_image", "rpn_positive_fraction"),
    *("rpn_pre_nms_top_n_train", "rpn_pre_nms_top_n_test", "rpn_post_nms_top_n_train", "rpn_post_nms_top_n_test"),
    *("rpn_nms_thresh", "rpn_score_thresh"),
    *("box_fg_iou_thresh", "box_bg_iou_thresh", "box_batch_size_per_image", "box_positive_fraction"),
    "bbox_reg_weights",
)
CLASS_MAP_BACKBONE = "mobilenet_v3_centernet"
SINGLE_LEVEL_STRIDE = 16  # pixels, of the feature map of networks without an FPN


class DropoutMLPHead(TwoMLPHead):
    """Torchvision's box head of two fully connected layers, each with dropout in training."""

    def __init__(self, in_channels: int, width: int, dropout: float) -> None:
        super().__init__(in_channels, width)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Maps (R, C, rows, columns) to (R, width)."""
        for layer in (self.fc6, self.fc7):
            x = F.dropout(F.relu(layer(x.flatten(1))), self.dropout, self.training)
        return x


def fasterrcnn_builtin(network: DetectorNetwork, num_classes: int) -> FasterRCNN:
    """Builds the built-in architecture: class maps or an FPN, without the finest map, which takes most of the time."""
    if (network.backbone == CLASS_MAP_BACKBONE) != (network.num_class_maps > 0):
        raise InputError(f"the backbone {CLASS_MAP_BACKBONE} needs num_class_maps, and no other one has class maps")
    if network.num_class_maps:
        return _fasterrcnn_class_maps(network, num_classes)
    backbone, names = _fpn_backbone(network, (8, 16, 32))
    return FasterRCNN(backbone, **_fpn_arguments(network, names, num_classes))


def _fasterrcnn_class_maps(network: DetectorNetwork, num_classes: int) -> FasterRCNN:
    channels, num_maps, width = network.fpn_channels, network.num_class_maps, network.head_width
    added = network.added_classes
    return FasterRCNN(
        ClassMapBackbone(channels, num_maps),
        **rcnn_arguments(network),
        rpn_anchor_generator=_anchor_generator(network, 4),
        box_roi_pool=MultiScaleRoIAlign([ROI_MAP, "0", "1", "2"], network.roi_size, sampling_ratio=2),
        box_head=ClassMapHead(channels, num_maps, network.roi_size, width, network.head_dropout, added > 0),
        box_predictor=SharedBoxPredictor(width + num_maps, num_classes, added, width, network.other_classes),
    )


def fasterrcnn_fpn(network: DetectorNetwork, num_classes: int) -> FasterRCNN:
    """Builds a Faster R-CNN with an FPN on any backbone. Source: Lin et al. 2017, arXiv 1612.03144."""
    backbone, names = _fpn_backbone(network, (4, 8, 16, 32))
    return FasterRCNN(backbone, **_fpn_arguments(network, names, num_classes))


def maskrcnn_fpn(network: DetectorNetwork, num_classes: int) -> MaskRCNN:
    """Builds a Mask R-CNN with an FPN on any backbone. Source: He et al. 2017, arXiv 1703.06870."""
    backbone, names = _fpn_backbone(network, (4, 8, 16, 32))
    channels = network.fpn_channels
    return MaskRCNN(
        backbone,
        **_fpn_arguments(network, names, num_classes),
        mask_head=MaskRCNNHeads(channels, (channels,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(channels, channels, num_classes),
    )


def fasterrcnn_vgg16(network: DetectorNetwork, num_classes: int) -> FasterRCNN:
    """Builds a Faster R-CNN on a VGG without its last pooling. Source: Ren et al. 2015, arXiv 1506.01497."""
    _check_backbone(network, "vgg")
    body = Backbone(classification_network(network.backbone), (SINGLE_LEVEL_STRIDE,))
    return _single_level_rcnn(network, body, **_mlp_box_head(network, body.channels[0], num_classes))


def fasterrcnn_c4(network: DetectorNetwork, num_classes: int) -> FasterRCNN:
    """Builds a Faster R-CNN whose box head is the last stage of the ResNet, with stride 1 to keep the 7 x 7 cells.

    Source: He et al. 2016, Deep residual learning, arXiv 1512.03385, appendix A; Chen and Gupta 2017, An implementation
    of Faster RCNN, arXiv 1702.02138, section 2.
    """
    _check_backbone(network, "resnet", "resnext", "wide_resnet")
    classifier = classification_network(network.backbone)
    last_stage = split_backbone(classifier)[-1]
    for module in last_stage.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
    head = nn.Sequential(*last_stage, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    width: int = classifier.get_submodule("fc").in_features  # type: ignore[assignment]
    predictor = FastRCNNPredictor(width, num_classes)
    body = Backbone(classifier, (SINGLE_LEVEL_STRIDE,))
    return _single_level_rcnn(network, body, box_head=head, box_predictor=predictor)


def rcnn_arguments(network: DetectorNetwork) -> dict[str, Any]:
    """Returns the arguments of torchvision's R-CNNs from a network's settings."""
    return {name: getattr(network, name) for name in ARGUMENTS}


def _check_backbone(network: DetectorNetwork, *families: str) -> None:
    if not network.backbone.startswith(families):
        raise InputError(f"{network.architecture} needs a {families[0]} as backbone, not {network.backbone!r}")


def _fpn_backbone(network: DetectorNetwork, strides: tuple[int, ...]) -> tuple[nn.Sequential, list[str]]:
    """Returns a backbone with an FPN, and the names of its maps but the last, pooled one of twice the last stride."""
    body = Backbone(classification_network(network.backbone), strides)
    fpn = FeaturePyramidNetwork(body.channels, network.fpn_channels, extra_blocks=LastLevelMaxPool())
    return _backbone(network.fpn_channels, body=body, fpn=fpn), body.names


def _backbone(out_channels: int, **modules: nn.Module) -> nn.Sequential:
    backbone = nn.Sequential(OrderedDict(modules))
    backbone.out_channels = out_channels  # type: ignore[assignment]
    return backbone


def _single_level_rcnn(network: DetectorNetwork, body: Backbone, **box_head: nn.Module) -> FasterRCNN:
    backbone = _backbone(body.channels[0], body=body)
    anchors = _anchor_generator(network, 1)
    model = FasterRCNN(backbone, **rcnn_arguments(network), rpn_anchor_generator=anchors, **box_head)
    model.roi_heads.box_roi_pool = SingleLevelRoIPool(network.roi_pooling, network.roi_size, SINGLE_LEVEL_STRIDE)
    return model


def _fpn_arguments(network: DetectorNetwork, feature_maps: list[str], num_classes: int) -> dict[str, Any]:
    """Returns the arguments of an R-CNN with an FPN: anchors on all maps, RoI align on the named ones."""
    return {
        **rcnn_arguments(network),
        "rpn_anchor_generator": _anchor_generator(network, len(feature_maps) + 1),
        "box_roi_pool": MultiScaleRoIAlign(feature_maps, network.roi_size, sampling_ratio=2),
        **_mlp_box_head(network, network.fpn_channels, num_classes),
    }


def _anchor_generator(network: DetectorNetwork, num_maps: int) -> AnchorGenerator:
    sizes = network.anchor_sizes
    if len(sizes) != num_maps or len({len(map_sizes) for map_sizes in sizes}) > 1:
        lists = f"{num_maps} lists (one for each feature map), all of one length"
        raise InputError(f"anchor_sizes: {network.architecture} needs {lists}")
    return AnchorGenerator(sizes, (network.aspect_ratios,) * num_maps)


def _mlp_box_head(network: DetectorNetwork, channels: int, num_classes: int) -> dict[str, nn.Module]:
    head = DropoutMLPHead(channels * network.roi_size**2, network.head_width, network.head_dropout)
    return {"box_head": head, "box_predictor": FastRCNNPredictor(network.head_width, num_classes)}
