"""Detection networks: what they are made of, and what each of their parts learns from."""

from collections.abc import Mapping
from typing import Any, Literal

from tracker.config.section import Count, Fraction01, NonNegative, Positive, Section, validated

Triple = tuple[float, float, float]


class DetectorNetwork(Section):
    """A detection network. Names are torchvision's; the defaults are those of its `fasterrcnn_resnet50_fpn`.

    Sources: Faster R-CNN, arXiv 1506.01497; Fast R-CNN, 1504.08083; feature pyramids, 1612.03144.
    """

    architecture: str = "builtin"
    """`builtin`; `fasterrcnn_vgg16` or `fasterrcnn_resnet50_c4`, as in the papers; `fasterrcnn_fpn` or `maskrcnn_fpn`,
    with a feature pyramid on any `backbone`; or one of torchvision's detection models."""
    backbone: str = "resnet50"
    """Torchvision's classification network under a pyramid."""
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
    """Square roots of the anchors' areas, pixels of the resized picture, for each feature map."""
    aspect_ratios: tuple[Positive, ...] = (0.5, 1.0, 2.0)
    """Heights of the anchors over their widths."""

    rpn_fg_iou_thresh: Fraction01 = 0.7
    """IoU with an object from which an anchor is foreground; each object's best anchor is it too."""
    rpn_bg_iou_thresh: Fraction01 = 0.3
    """IoU below which it is background; between the two it teaches nothing."""
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

    roi_pooling: Literal["align", "pool", "crop"] = "align"
    """How a region is cut out of the feature maps: RoI align, RoI pooling (Fast R-CNN), or bilinear cropping and
    max-pooling."""
    roi_size: Count = 7
    """Rows and columns of a region's features."""
    box_fg_iou_thresh: Fraction01 = 0.5
    """IoU with an object from which a proposal is foreground."""
    box_bg_iou_thresh: Fraction01 = 0.5
    """IoU below which it is background."""
    box_bg_iou_low: Fraction01 = 0.0
    """IoU from which it is background: 0.1 samples hard negatives alone (Fast R-CNN)."""
    box_batch_size_per_image: Count = 512
    """Regions sampled in a picture."""
    box_positive_fraction: Fraction01 = 0.25
    """Largest share of foreground among them."""
    head_width: Count = 1024
    """Width of the two layers that judge a region."""

    box_loss: Literal["smooth_l1", "giou", "ciou"] = "smooth_l1"
    """Loss of the regions' boxes. Sources: Fast R-CNN; arXiv 1902.09630; arXiv 1911.08287."""
    smooth_l1_beta: NonNegative = 1 / 9
    """Deviation at which smooth L1 turns from quadratic to linear."""
    rpn_objectness_weight: NonNegative = 1.0
    """Factor on the loss of the anchors' objectness."""
    rpn_box_weight: NonNegative = 1.0
    """Factor on the loss of the anchors' boxes (Faster R-CNN: lambda = 10, there with another divisor)."""
    classifier_weight: NonNegative = 1.0
    """Factor on the loss of the regions' classes."""
    box_weight: NonNegative = 1.0
    """Factor on the loss of the regions' boxes."""


NETWORKS: Mapping[str, DetectorNetwork] = {
    "builtin": DetectorNetwork(),
}
"""What the named architectures set otherwise."""


def detector_network(values: Mapping[str, Any], where: str) -> DetectorNetwork:
    """The network of the architecture that `values` names, with its other values changed.

    Raises:
        InputError: As `validated`.
    """
    architecture = str(values.get("architecture", "builtin"))
    base = NETWORKS.get(architecture, DetectorNetwork())
    return validated(DetectorNetwork, {**base.model_dump(), **values}, where)
