"""Settings of the networks: their parts, anchors, samplers and losses."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, model_validator

from tracker.config.base import Count, Fraction01, NonNegative, Positive, Section, validate_section

Triple = tuple[float, float, float]

_PAPER_DEFAULTS: Mapping[str, Any] = {
    "min_size": 600,
    "max_size": 1000,
    "anchor_sizes": ((128, 256, 512),),
    "rpn_pre_nms_top_n_train": 12000,
    "rpn_pre_nms_top_n_test": 6000,
    "rpn_post_nms_top_n_train": 2000,
    "rpn_post_nms_top_n_test": 300,
    "rpn_min_size": 16.0,
    "rpn_inside_only": True,
    "box_bg_iou_low": 0.1,
    "box_batch_size_per_image": 128,
    "smooth_l1_beta": 1.0,
}

ARCHITECTURE_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "builtin": {
        "backbone": "mobilenet_v3_centernet",
        "fpn_channels": 64,
        "anchor_sizes": ((16, 24), (36, 56), (84, 124), (176, 250)),
        "rpn_pre_nms_top_n_train": 400,
        "rpn_pre_nms_top_n_test": 400,
        "rpn_post_nms_top_n_train": 300,
        "rpn_post_nms_top_n_test": 150,
        "box_batch_size_per_image": 64,
        "head_width": 256,
    },
    "fasterrcnn_vgg16": {
        **_PAPER_DEFAULTS,
        "backbone": "vgg16",
        "roi_pooling": "pool",
        "head_width": 4096,
        "head_dropout": 0.5,
        "rpn_smooth_l1_beta": 1.0,
        "rpn_box_weight": 10.0,
        "rpn_box_divisor": "locations",
    },
    "fasterrcnn_resnet50_c4": _PAPER_DEFAULTS,
    "fasterrcnn_mobilenet_v3_large_fpn": {"anchor_sizes": ((32, 64, 128, 256, 512),) * 3, "rpn_score_thresh": 0.05},
    "fasterrcnn_mobilenet_v3_large_320_fpn": {
        "anchor_sizes": ((32, 64, 128, 256, 512),) * 3,
        "min_size": 320,
        "max_size": 640,
        "rpn_pre_nms_top_n_test": 150,
        "rpn_post_nms_top_n_test": 150,
        "rpn_score_thresh": 0.05,
    },
}
"""Values of `DetectorNetwork`'s fields that differ from its defaults, by architecture."""

BACKBONE_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "mobilenet_v3_centernet": {
        "num_class_maps": 25,
        "anchor_sizes": ((12, 20), (32, 52), (80, 124), (190, 320)),  # people of 10 pixels, and what fills an image
        "image_mean": (0.0, 0.0, 0.0),  # pixels from 0 to 255, as it was trained
        "image_std": (1 / 255, 1 / 255, 1 / 255),
    },
}
"""Values that differ from those of the architecture, by backbone."""


class DetectorNetwork(Section):
    """Settings of a detection network, with torchvision's names.

    The defaults are those of torchvision's `fasterrcnn_resnet50_fpn`; some architectures have others
    (`ARCHITECTURE_DEFAULTS`).

    Sources: Faster R-CNN, arXiv 1506.01497; Fast R-CNN, 1504.08083; feature pyramids, 1612.03144.
    """

    architecture: str = "builtin"
    """`builtin`, with a small FPN on any `backbone`; `fasterrcnn_vgg16` or `fasterrcnn_resnet50_c4`, as in the papers;
    `fasterrcnn_fpn` or `maskrcnn_fpn`, with a complete FPN; or one of torchvision's detection models."""
    backbone: str = "resnet50"
    """Torchvision's classification network that computes the feature maps: any convolutional one with an FPN, a VGG for
    `fasterrcnn_vgg16`, a ResNet for `fasterrcnn_resnet50_c4`. `builtin` also has `mobilenet_v3_centernet`, a
    MobileNetV3 with class maps, for images that are not normalized (mean 0, deviation 1/255)."""
    num_class_maps: Annotated[int, Field(ge=0)] = 0
    """Class maps of `mobilenet_v3_centernet`."""
    center_proposals: Count = 100
    """Maximum number of proposals at the peaks of class maps, beside those of the RPN."""
    center_weight: NonNegative = 1.0
    """Factor of the losses of class maps, if the neck is trained, and of the boxes at their peaks."""
    added_classes: Annotated[int, Field(ge=0)] = 0
    """Number of classes, the last ones, that have layers of their own, which alone are trained: the network knows the
    others from its pretrained weights (`keep_classes` of a training sets this)."""
    other_classes: Annotated[int, Field(ge=0)] = 0
    """Further classes that the network tells from the background, and does not report (`keep_classes` sets this)."""
    fpn_channels: Count = 256
    """Channels of the FPN."""
    min_size: Count = 800
    """Shortest side to which images are resized, pixels, unless the longest side reaches `max_size` first."""
    max_size: Count = 1333
    """Longest side of a resized image, pixels."""
    image_mean: Triple = (0.485, 0.456, 0.406)
    """Mean of red, green and blue (0 to 1), which is subtracted."""
    image_std: Triple = (0.229, 0.224, 0.225)
    """Standard deviation of red, green and blue, by which the difference is divided."""
    anchor_sizes: tuple[tuple[Count, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    """Square roots of the anchors' areas for each feature map, pixels of the resized image. The papers' are a base size
    of 16 pixels times the scales 8, 16 and 32."""
    aspect_ratios: tuple[Positive, ...] = (0.5, 1.0, 2.0)
    """Height / width of the anchors."""

    rpn_fg_iou_thresh: Fraction01 = 0.7
    """Minimum IoU of a foreground anchor with an object; each object's best anchor is foreground too."""
    rpn_bg_iou_thresh: Fraction01 = 0.3
    """IoU below which an anchor is background; anchors between the two thresholds are ignored."""
    rpn_inside_only: bool = False
    """Train only on anchors that lie completely inside the image (Faster R-CNN), unless there are none."""
    rpn_batch_size_per_image: Count = 256
    """Sampled anchors per image."""
    rpn_positive_fraction: Fraction01 = 0.5
    """Maximum fraction of foreground anchors among them."""
    rpn_pre_nms_top_n_train: Count = 2000
    """Proposals per feature map before NMS, in training."""
    rpn_pre_nms_top_n_test: Count = 1000
    """Proposals per feature map before NMS, at inference."""
    rpn_post_nms_top_n_train: Count = 2000
    """Proposals after NMS, in training."""
    rpn_post_nms_top_n_test: Count = 1000
    """Proposals after NMS, at inference."""
    rpn_nms_thresh: Fraction01 = 0.7
    """IoU above which NMS drops the lower-scored of two proposals."""
    rpn_min_size: NonNegative = 1e-3
    """Minimum side of a proposal, pixels of the resized image."""
    rpn_score_thresh: Fraction01 = 0.0
    """Objectness below which a proposal is dropped."""

    roi_pooling: Literal["align", "pool", "crop"] = "align"
    """RoI align; or, on a single feature map, RoI pooling (Fast R-CNN) or a bilinear crop to twice `roi_size` with
    max-pooling."""
    roi_size: Count = 7
    """Height and width of the pooled features of a RoI."""
    box_fg_iou_thresh: Fraction01 = 0.5
    """Minimum IoU of a foreground proposal with an object."""
    box_bg_iou_thresh: Fraction01 = 0.5
    """IoU below which a proposal is background."""
    box_bg_iou_low: Fraction01 = 0.0
    """Minimum IoU of a background proposal: 0.1 samples only hard negatives (Fast R-CNN). In images without objects all
    proposals are background."""
    box_batch_size_per_image: Count = 512
    """Sampled proposals per image."""
    box_positive_fraction: Fraction01 = 0.25
    """Maximum fraction of foreground proposals among them."""
    shifted_boxes: Annotated[int, Field(ge=0)] = 0
    """Shifted copies of each object's box among the proposals of a training, so that boxes which a tracker predicts,
    and no RPN proposes, are classified well too (Bergmann et al. 2019, arXiv 1903.05625)."""
    head_width: Count = 1024
    """Width of the two fully connected layers of the box head."""
    head_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout probability of their outputs in training."""
    bbox_reg_weights: tuple[Positive, Positive, Positive, Positive] = (10.0, 10.0, 5.0, 5.0)
    """Weights of the box regression targets tx, ty, tw, th: the inverses of their usual standard deviations."""

    box_loss: Literal["smooth_l1", "giou", "ciou"] = "smooth_l1"
    """Box loss of the RoI heads. Sources: Fast R-CNN; arXiv 1902.09630; arXiv 1911.08287."""
    smooth_l1_beta: NonNegative = 1 / 9
    """Difference at which the RoI heads' smooth L1 loss changes from quadratic to linear (Fast R-CNN: 1)."""
    rpn_smooth_l1_beta: NonNegative = 1 / 9
    """Difference at which the RPN's smooth L1 loss changes from quadratic to linear (Faster R-CNN: 1)."""
    rpn_objectness_weight: NonNegative = 1.0
    """Factor on the RPN's objectness loss."""
    rpn_box_weight: NonNegative = 1.0
    """Factor on the RPN's box loss: lambda. Faster R-CNN has 10 and divides by the number of locations."""
    rpn_box_divisor: Literal["sampled", "locations", "foreground"] = "sampled"
    """Divisor of the sum of the RPN's box losses: the number of sampled anchors, of locations of the feature maps
    (Faster R-CNN, eq. 1), or of sampled foreground anchors."""
    classifier_weight: NonNegative = 1.0
    """Factor on the RoI heads' classification loss."""
    box_weight: NonNegative = 1.0
    """Factor on the RoI heads' box loss."""
    mask_weight: NonNegative = 1.0
    """Factor on the RoI heads' mask loss."""

    @model_validator(mode="wrap")
    @classmethod
    def _apply_architecture_defaults(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Fills missing values with the defaults of architecture and backbone; only given values count as set."""
        if not isinstance(values, Mapping):
            return handler(values)
        defaults = ARCHITECTURE_DEFAULTS.get(str(values.get("architecture", "builtin")), {})
        backbone = values.get("backbone", defaults.get("backbone"))
        defaults = {**defaults, **BACKBONE_DEFAULTS.get(str(backbone), {})}
        network = handler({**defaults, **values})
        object.__setattr__(network, "__pydantic_fields_set__", set(values))
        return network


def detector_network(values: Mapping[str, Any], where: str) -> DetectorNetwork:
    """Builds the settings of a network from plain values and the defaults of its architecture.

    Args:
        values: Fields of `DetectorNetwork`.
        where: Source of the values, for messages.

    Raises:
        InputError: See `validate_section`.

    Example:
        >>> detector_network({"architecture": "fasterrcnn_vgg16"}, "my.yaml").min_size
        600
    """
    return validate_section(DetectorNetwork, values, where)


class EmbedderNetwork(Section):
    """Settings of an appearance network: a classification network without its last Linear layer."""

    architecture: str = "builtin"
    """`builtin`, `lenet`, or one of torchvision's classification networks."""
    dimension: Annotated[int, Field(ge=0)] = 128
    """Dimension of the embedding, to which the input of the last Linear layer is projected; 0 does not project it."""
    neck: bool = True
    """Batch normalization as the last layer of the embedding: BNNeck. Source: Luo et al. 2019, arXiv 1903.07071."""
    width: Positive = 1.0
    """Factor on the number of channels of `lenet`, relative to LeNet-5."""
