"""Settings of the trainings of detectors, embedders and classifiers."""

from typing import Annotated, Literal

from pydantic import Field

from tracker.config.base import Count, Fraction01, NonNegative, Positive, Section
from tracker.config.network import DetectorNetwork, EmbedderNetwork


class TrainingConfig(Section):
    """Settings that every training has."""

    train: str = ""
    """Training data."""
    val: str | tuple[str, ...] = ""
    """Validation data."""
    folder: str = "runs"
    """Folder for the checkpoints, the logs and the finished model."""
    pretrained: str = ""
    """Weights to start from; empty starts from random weights."""
    accumulate_grad_batches: Count = 1
    """Batches in an optimizer step."""
    steps: Count = 2_000
    """Optimizer steps in total."""
    frozen_stages: Annotated[int, Field(ge=0)] = 0
    """Stages of the backbone, counted from the input, that keep their weights and batch norm statistics."""
    learning_rate: Positive = 2e-3
    """Peak learning rate."""
    backbone_lr_factor: Positive = 0.3
    """Factor on the learning rate for the backbone."""
    warmup_steps: Count = 300
    """Steps in which the learning rate rises from 0; at most a quarter of all steps."""
    weight_decay: NonNegative = 0.01
    """Weight decay of AdamW (decoupled) or SGD."""
    clip_grad_norm: NonNegative = 5.0
    """Largest norm of the gradient; 0 does not clip it."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the exponential moving average of the weights, which is the model that is validated and saved. It is
    smaller in the first steps. 0 uses the weights themselves."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Lightning's precision."""
    sync_batchnorm: bool = False
    """Compute batch norm statistics over the images of all processes."""
    accelerator: str = "auto"
    """Lightning's accelerator: cpu, gpu, ..."""
    devices: str = "1"
    """Lightning's devices: a number, a list (0,1), or auto for all. A step has devices x nodes x
    accumulate_grad_batches batches."""
    num_nodes: Count = 1
    """Machines that train together."""
    strategy: str = "auto"
    """Lightning's strategy: ddp, ..."""
    validate_every: Count = 500
    """Largest number of steps between two validations; the last validation follows the last step."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Validations without improvement after which the training stops early; 0 always does all steps."""
    checkpoint_every: Count = 500
    """Steps between two checkpoints from which the training can be resumed."""
    workers: Annotated[int, Field(ge=0)] = 2
    """Processes that load data; 0 loads it in the training process."""
    seed: int = 0
    """Seed of all random numbers."""
    license: str = ""
    """License of the trained weights, stored in the model file."""
    provenance: str = ""
    """Origin and terms of the training data, stored in the model file."""


class DetectorTrainingConfig(TrainingConfig):
    """Settings of the training of a detector: `track train detector CONFIG`."""

    train: str = ""
    """Training images: COCO JSON, YOLO's data.yaml:train or obj.data, Pascal VOC, CVAT's XML, JSON of Label Studio,
    FiftyOne or LabelMe, MOTChallenge sequences; or the folder of any of these."""
    val: str = ""
    """Validation images, in any of these formats."""
    split: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Fraction of the images of `train` that is held out for validation if there is no `val`: whole scenes, as far as
    the names of the images tell them."""
    images: str = ""
    """Folder in which to look for the images by name, wherever the annotations say they are."""
    teacher: str = ""
    """A detector that labels the objects of classes that were not annotated: `builtin`, a file of
    `track train detector` or `track export`; or, of any other network, a COCO JSON file of its detections with their
    scores."""
    keep_classes: tuple[str, ...] = ()
    """Classes of the teacher, `builtin` unless one is named, that the detector is to know besides those that are
    annotated: the teacher labels them in the images for training and for validation. Weights to start from are then
    the teacher's, unless `pretrained` is given."""
    similar_classes: dict[str, str] = Field(default={})
    """Classes of the teacher as which it detects the objects of a new class, {new class: names separated by /}: the new
    class starts from the first one, and none of them counts as background. {} finds them with its detections."""
    unlabeled: tuple[str, ...] = ()
    """Folders of images without labels, which the teacher labels."""
    teacher_min_score: Fraction01 = 0.35
    """Score from which on a detection of the teacher is an object."""
    teacher_ignore_score: Fraction01 = 0.12
    """Score from which on a detection of the teacher may be an object: it is not learned as background."""
    calibration: str = ""
    """Images on which the scores are calibrated after the training, so that they equal the precision; best neither
    `train` nor `val`. Empty takes the images for validation."""
    class_map: dict[str, str] = Field(default={})
    """New names of classes, {name in the annotations: new name}; {} keeps all classes. Objects of other classes become
    background; objects of a class with an empty new name become ignore regions."""
    folder: str = "runs/detector"
    """Folder for the checkpoints, the logs and the finished model."""
    network: DetectorNetwork = DetectorNetwork()
    """The network."""
    pretrained: str = ""
    """Weights to start from: `builtin`, the weights of this package; a model of this package (.safetensors, .ckpt);
    ImageNet weights of the backbone (.pth); or, downloaded by torchvision, `imagenet` or `coco`. Empty starts from
    random weights."""
    size: tuple[Count, Count] = (512, 320)
    """Longest and shortest side, pixels, to which the finished `builtin` detector resizes its input; other networks
    have `min_size` and `max_size`."""
    train_image_size: tuple[Count, Count] = (480, 320)
    """Width and height of an augmented training image, pixels. If it is smaller than the images at inference, the
    detector never sees large objects completely."""
    mosaic_prob: Fraction01 = 0.5
    """Probability that a training image is a mosaic of two or four images."""
    scale_range: tuple[Positive, Positive] = (0.5, 1.5)
    """Range of the random scale, relative to the scale at which an image has the area of its mosaic cell."""
    hflip_prob: Fraction01 = 0.5
    """Probability that an image is flipped horizontally."""
    color_augmentation: Literal["jitter", "distort", "degrade", "none"] = "jitter"
    """Random brightness, contrast and saturation (jitter); these, hue and swapped channels, each with probability 1/2
    (distort; SSD, arXiv 1512.02325); stronger jitter, gray images, blur and JPEG artifacts (degrade); or none."""
    iou_crop_prob: Fraction01 = 0.0
    """Probability that an image is cropped at random to a window that overlaps an object (SSD)."""
    copy_paste_prob: Fraction01 = 0.0
    """Probability that objects of another image are pasted into a training image, cut along their outlines or, if only
    boxes are known, with soft edges. Source: Ghiasi et al. 2021, arXiv 2012.07177."""
    cache_images: bool = False
    """Keep decoded images in the memory of each worker: faster, if all of them fit."""
    repeat_factor_threshold: float = 0.05
    """Fraction of images below which a class counts as rare. Images of a rare class are sampled more often, by the
    square root of the ratio. Source: Gupta et al. 2019, LVIS, arXiv 1908.03195, appendix."""
    crowd_sampling_weight: Positive = 2.0
    """Factor on the sampling weight of images with two or more objects of one class."""
    class_sampling_weights: dict[str, Positive] = Field(default={})
    """Factors on the sampling weight of images with an object of a class, by class name."""
    recipe: Literal["joint", "four_step"] = "joint"
    """Approximate joint training of all parts, or four-step alternating training. Source: Faster R-CNN, section 3.2."""
    stage_fractions: tuple[Positive, Positive, Positive, Positive] = (0.3, 0.3, 0.2, 0.2)
    """Fractions of the steps for the stages of four-step training: RPN, RoI heads, and both again on a shared
    backbone."""
    batch_size: Count = 8
    """Images in a batch of one process."""
    unfreeze_every: Annotated[int, Field(ge=0)] = 0
    """Steps after each of which one more frozen stage is unfrozen, the last one first; 0 keeps all of them frozen."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or stochastic gradient descent with momentum."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of SGD."""
    learning_rate: Positive = 2e-3
    """Peak learning rate of AdamW; SGD needs about ten times as much."""
    head_lr_factor: Positive = 1.0
    """Factor on the learning rate for the RoI heads, or for the head of a one-stage network."""
    schedule: Literal["cosine", "multistep"] = "cosine"
    """Learning rate after the warm-up: a cosine down to 0, or steps by the factor `gamma` at each milestone."""
    milestones: tuple[Fraction01, ...] = (0.67, 0.89)
    """Fractions of all steps after which the learning rate falls, in ascending order."""
    gamma: Fraction01 = 0.1
    """Factor on the learning rate at each milestone."""
    activation_checkpointing: bool = False
    """Recompute the activations of the backbone in the backward pass: less memory, a third more time."""


class CropTrainingConfig(TrainingConfig):
    """Settings that the trainings of embedders and classifiers share."""

    val_fraction: Fraction01 = 0.2
    """Fraction of the training data that is held out for validation if there is no `val`."""
    network: EmbedderNetwork = EmbedderNetwork()
    """The network."""
    pretrained: str = ""
    """Weights to start from: `builtin`, the weights of this package; a model of this package (.safetensors, .ckpt);
    torchvision's weights of the network, or of the built-in backbone (.pth); or `imagenet`, downloaded by torchvision.
    Empty starts from random weights."""
    size: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = (0, 0)
    """Height and width to which crops are resized, pixels; 0 0 is the usual size of the network."""
    hflip_prob: Fraction01 = 0.5
    """Probability that a crop is flipped horizontally."""
    box_jitter: NonNegative = 1.0
    """Strength of the random changes of a crop's box: at 1 it is moved by up to 7.5 % of its sides, scaled by up to
    22 % in each direction, and sheared by up to 5 degrees; 0 does not change it. Pixels outside the box come from the
    image, as far as it reaches."""
    max_downscale_log2: NonNegative = 2.2
    """Largest random loss of resolution, as for a distant object: the base-2 logarithm of the factor."""
    color_jitter: NonNegative = 1.0
    """Strength of the random changes of brightness, contrast, white balance and saturation; 0 does not change them."""
    random_erase_prob: Fraction01 = 0.5
    """Probability that a rectangle of a crop is replaced by that of another crop. Source: Zhong et al. 2017, arXiv
    1708.04896."""
    label_smoothing: Fraction01 = 0.1
    """Fraction of the target that is spread over all classes. Source: Szegedy et al. 2015, arXiv 1512.00567,
    section 7."""
    steps: Count = 600
    """Optimizer steps in total."""


class EmbedderTrainingConfig(CropTrainingConfig):
    """Settings of the training of an embedder: `track train embedder CONFIG`."""

    train: str = ""
    """Crops of known identities: files named as in Market-1501, ID_cCAMERA... (0004_c1s1_000002.jpg); a folder for each
    identity; or MOTChallenge sequences, from whose images the crops are cut."""
    val: tuple[str, ...] = ()
    """Crops of other identities, each a query in the gallery of all. Empty: a fraction of the identities in `train`."""
    folder: str = "runs/embedder"
    """Folder for the checkpoints, the logs and the finished model."""
    categories: tuple[str, ...] = ("person",)
    """Classes of the objects on the crops."""
    teachers: tuple[str, ...] = ()
    """Embedders to learn from instead of identities: `builtin`, .safetensors or .ckpt files, or ONNX files from
    (B, 3, H, W), RGB normalized as for ImageNet, to (B, D). Several are learned from as one, whose cosines are the mean
    of theirs. The crops are those of `unlabeled`, while `losses` apply to those of `train`; or without `unlabeled`
    those of `train`, which may then be as `unlabeled` is."""
    unlabeled: str = ""
    """Crops without known identities, of which the teachers are learned from: like `train`, or a file of annotated
    images, as for a detector, whose objects of `categories` are the crops."""
    unlabeled_per_batch: Count = 96
    """Crops of `unlabeled` in a batch."""
    tracklets: bool = False
    """The identities are tracklets of videos: only those visible at the same time are known to differ."""
    identities_per_batch: Annotated[int, Field(ge=2)] = 16
    """Identities in a batch."""
    crops_per_identity: Annotated[int, Field(ge=2)] = 4
    """Crops of each identity in a batch."""
    losses: dict[str, Positive] = Field(default={})
    """Weight of each loss, where the teachers' has 1: softmax (cross-entropy), cosine_softmax (DeepSORT's, arXiv
    1812.00442), arcface (arXiv 1801.07698), triplet (batch-hard, arXiv 1703.07737), supcon (arXiv 2004.11362). {} is
    cosine_softmax and triplet or, for tracklets, which are no classes, triplet and supcon."""
    logit_scale: Positive = 16.0
    """Factor on the cosines in cosine_softmax and arcface. Source: Wang et al. 2017, arXiv 1704.06369."""
    learn_logit_scale: bool = False
    """Learn the factor of cosine_softmax from that value on, as in DeepSORT; otherwise it is constant."""
    arcface_margin: Annotated[float, Field(ge=0, lt=90)] = 28.6
    """Angular margin of arcface, degrees."""
    triplet_margin: NonNegative = 0.3
    """Margin of the triplet loss: by how much other identities should be farther away than the same one."""
    triplet_before_neck: bool = False
    """Compute triplet with the Euclidean distance on the features before the network's neck, as in Luo et al. 2019
    (arXiv 1903.07071); otherwise with the cosine distance on the embedding, as in the tracker."""
    temperature: Positive = 0.1
    """Temperature of supcon: the divisor of the cosines."""


class ClassifierTrainingConfig(CropTrainingConfig):
    """Settings of the training of a classifier of crops: `track train classifier CONFIG`."""

    train: str = ""
    """Folder with a folder of images for each class."""
    val: str = ""
    """Validation images, likewise. Empty: a fraction of the images in `train`."""
    folder: str = "runs/classifier"
    """Folder for the checkpoints, the logs and the finished model."""
    batch_size: Annotated[int, Field(ge=2)] = 32
    """Images in a batch of one process."""
