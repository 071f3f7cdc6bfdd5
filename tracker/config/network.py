"""Detection networks: what they are made of, and what each of their parts learns from."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, model_validator

from tracker.config.base import Count, Fraction01, NonNegative, Positive, Section, validated

Triple = tuple[float, float, float]

_OF_THE_PAPERS: Mapping[str, Any] = {
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

NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "builtin": {
        "backbone": "mobilenet_v2",
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
        **_OF_THE_PAPERS,
        "backbone": "vgg16",
        "roi_pooling": "pool",
        "head_width": 4096,
        "head_dropout": 0.5,
        "rpn_smooth_l1_beta": 1.0,
        "rpn_box_weight": 10.0,
        "rpn_box_divisor": "locations",
    },
    "fasterrcnn_resnet50_c4": _OF_THE_PAPERS,
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
"""What the named architectures set otherwise than `DetectorNetwork`'s defaults, in the terms of its fields."""


class DetectorNetwork(Section):
    """A detection network. Names are torchvision's; the defaults are those of its `fasterrcnn_resnet50_fpn`, where the
    named architecture has none of its own (see `NETWORKS`).

    Sources: Faster R-CNN, arXiv 1506.01497; Fast R-CNN, 1504.08083; feature pyramids, 1612.03144.
    """

    architecture: str = "builtin"
    """`builtin`, with a small feature pyramid on any `backbone`; `fasterrcnn_vgg16` or `fasterrcnn_resnet50_c4`, as in
    the papers; `fasterrcnn_fpn` or `maskrcnn_fpn`, with a whole pyramid; or one of torchvision's detection models."""
    backbone: str = "resnet50"
    """Torchvision's classification network that makes the feature maps: any convolutional one under a pyramid, a VGG
    for `fasterrcnn_vgg16`, a ResNet for `fasterrcnn_resnet50_c4`."""
    fpn_channels: Count = 256
    """Channels of a feature pyramid."""
    min_size: Count = 800
    """Shortest side to which pictures are brought, pixels, unless `max_size` is reached first."""
    max_size: Count = 1333
    """Longest side of a picture, pixels."""
    image_mean: Triple = (0.485, 0.456, 0.406)
    """Of red, green and blue from 0 to 1, taken away."""
    image_std: Triple = (0.229, 0.224, 0.225)
    """Of red, green and blue, divided by."""
    anchor_sizes: tuple[tuple[Count, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    """Square roots of the anchors' areas, pixels of the resized picture, for each feature map. Those of the papers are
    their 16-pixel base times the scales 8, 16 and 32."""
    aspect_ratios: tuple[Positive, ...] = (0.5, 1.0, 2.0)
    """Heights of the anchors over their widths."""

    rpn_fg_iou_thresh: Fraction01 = 0.7
    """IoU with an object from which an anchor is foreground; each object's best anchor is it too."""
    rpn_bg_iou_thresh: Fraction01 = 0.3
    """IoU below which it is background; between the two it teaches nothing."""
    rpn_inside_only: bool = False
    """Train on anchors alone that lie in the picture whole (Faster R-CNN), unless there are none."""
    rpn_batch_size_per_image: Count = 256
    """Anchors sampled in a picture."""
    rpn_positive_fraction: Fraction01 = 0.5
    """Largest share of foreground among them."""
    rpn_pre_nms_top_n_train: Count = 2000
    """Proposals of each feature map before NMS, in training."""
    rpn_pre_nms_top_n_test: Count = 1000
    """The same, in use."""
    rpn_post_nms_top_n_train: Count = 2000
    """Proposals after NMS, in training."""
    rpn_post_nms_top_n_test: Count = 1000
    """The same, in use."""
    rpn_nms_thresh: Fraction01 = 0.7
    """IoU above which the lower-scored of two proposals is dropped."""
    rpn_min_size: NonNegative = 1e-3
    """Shortest side of a proposal, pixels of the resized picture."""
    rpn_score_thresh: Fraction01 = 0.0
    """Objectness below which a proposal is dropped."""

    roi_pooling: Literal["align", "pool", "crop"] = "align"
    """How a region is cut out of the feature maps: RoI align; of a single map also RoI pooling (Fast R-CNN), or
    bilinear cropping to twice `roi_size` and max-pooling."""
    roi_size: Count = 7
    """Rows and columns of a region's features."""
    box_fg_iou_thresh: Fraction01 = 0.5
    """IoU with an object from which a proposal is foreground."""
    box_bg_iou_thresh: Fraction01 = 0.5
    """IoU below which it is background."""
    box_bg_iou_low: Fraction01 = 0.0
    """IoU from which it is background: 0.1 samples hard negatives alone (Fast R-CNN). In pictures without objects all
    regions are background."""
    box_batch_size_per_image: Count = 512
    """Regions sampled in a picture."""
    box_positive_fraction: Fraction01 = 0.25
    """Largest share of foreground among them."""
    head_width: Count = 1024
    """Width of the two layers that judge a region."""
    head_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of their outputs that is dropped in training."""
    bbox_reg_weights: tuple[Positive, Positive, Positive, Positive] = (10.0, 10.0, 5.0, 5.0)
    """Factors on the offsets tx, ty, tw, th of a region's box: one over their usual standard deviations."""

    box_loss: Literal["smooth_l1", "giou", "ciou"] = "smooth_l1"
    """Loss of the regions' boxes. Sources: Fast R-CNN; arXiv 1902.09630; arXiv 1911.08287."""
    smooth_l1_beta: NonNegative = 1 / 9
    """Deviation at which the regions' smooth L1 turns from quadratic to linear (Fast R-CNN: 1)."""
    rpn_smooth_l1_beta: NonNegative = 1 / 9
    """The same of the anchors' (Faster R-CNN: 1)."""
    rpn_objectness_weight: NonNegative = 1.0
    """Factor on the loss of the anchors' objectness."""
    rpn_box_weight: NonNegative = 1.0
    """Factor on the loss of the anchors' boxes: lambda. Faster R-CNN has 10 and divides by the number of locations."""
    rpn_box_divisor: Literal["sampled", "locations", "foreground"] = "sampled"
    """By what the sum over the anchors' box losses is divided: the number of sampled anchors, of places of the feature
    maps (Faster R-CNN, eq. 1), or of foreground anchors among the sampled."""
    classifier_weight: NonNegative = 1.0
    """Factor on the loss of the regions' classes."""
    box_weight: NonNegative = 1.0
    """Factor on the loss of the regions' boxes."""
    mask_weight: NonNegative = 1.0
    """Factor on the loss of the regions' masks."""

    @model_validator(mode="wrap")
    @classmethod
    def _as_the_architecture(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """What is not given is as the named architecture has it; only what is given counts as set."""
        if not isinstance(values, Mapping):
            return handler(values)
        made = handler({**NETWORKS.get(str(values.get("architecture", "builtin")), {}), **values})
        object.__setattr__(made, "__pydantic_fields_set__", set(values))
        return made


def detector_network(values: Mapping[str, Any], where: str) -> DetectorNetwork:
    """The network of the architecture that `values` names, with its other values changed.

    Raises:
        InputError: As `validated`.
    """
    return validated(DetectorNetwork, values, where)


class EmbedderNetwork(Section):
    """An appearance network. Its embedding is the input of the last Linear of a classifier, projected or as it is."""

    architecture: str = "builtin"
    """`builtin`, `lenet`, or one of torchvision's classification networks."""
    dimension: Annotated[int, Field(ge=0)] = 128
    """Numbers in an embedding, to which the input of the last Linear is projected; 0 takes that input as it is."""
    neck: bool = True
    """Batch normalisation as the embedding's last layer: BNNeck. Source: Luo et al. 2019, arXiv 1903.07071."""
    width: Positive = 1.0
    """Channels of `lenet`, relative to those of LeNet-5."""
