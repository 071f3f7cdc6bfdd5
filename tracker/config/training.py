"""The settings of the trainers."""

from typing import Annotated, Literal

from pydantic import Field

from tracker.config.base import Count, Fraction01, NonNegative, Positive, Section
from tracker.config.network import DetectorNetwork, EmbedderNetwork


class TrainingConfig(Section):
    """What the trainings of all networks have in common."""

    train: str = ""
    """What is learned from."""
    val: str | tuple[str, ...] = ""
    """What is scored."""
    folder: str = "runs"
    """Where checkpoints, logs and the finished model go."""
    start_from: str = ""
    """Trained weights to start from; empty starts from noise."""
    accumulate: Count = 1
    """Batches in an optimiser step."""
    steps: Count = 2_000
    """Optimiser steps in all."""
    freeze: Annotated[int, Field(ge=0)] = 0
    """Stages of the trunk, from the picture on, that keep their weights and batch-norm statistics."""
    learning_rate: Positive = 2e-3
    """The peak learning rate."""
    trunk_learning_rate: Positive = 0.3
    """Factor on the learning rate for the trunk."""
    warmup_steps: Count = 300
    """Steps over which the learning rate rises from 0; at most a quarter of all."""
    weight_decay: NonNegative = 0.01
    """AdamW's decoupled weight decay, or SGD's."""
    clip: NonNegative = 5.0
    """Largest norm of the gradient; 0 leaves it as it is."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the moving average of the weights, which is the model that is kept; it is smaller in the first steps.
    0 keeps the weights themselves."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Lightning's precision."""
    sync_batchnorm: bool = False
    """Let batch norms see the pictures of all processes."""
    accelerator: str = "auto"
    """Lightning's accelerator: cpu, gpu, ..."""
    devices: str = "1"
    """Lightning's devices: how many, which (0,1), or auto for all. A step has devices x nodes x accumulate batches."""
    num_nodes: Count = 1
    """Machines that train together."""
    strategy: str = "auto"
    """Lightning's strategy: ddp, ..."""
    validate_every: Count = 500
    """Most steps between two scorings; the last one is at the end."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Scorings without a better score after which training stops; 0 goes through all steps."""
    checkpoint_every: Count = 500
    """Steps between two checkpoints to resume from."""
    workers: Annotated[int, Field(ge=0)] = 2
    """Processes that prepare pictures; 0 prepares them in the training's own."""
    seed: int = 0
    """Seed of everything random."""
    license: str = ""
    """Licence of the trained weights, written into them."""
    provenance: str = ""
    """Where the pictures came from and on what terms, written into the weights."""


class DetectorTrainingConfig(TrainingConfig):
    """How a detector is trained: `track train detector CONFIG`."""

    train: str = ""
    """Training pictures: COCO JSON, a folder of Pascal VOC, YOLO's data.yaml:train, or MOTChallenge sequences."""
    val: str = ""
    """The pictures that are scored, in any of these layouts."""
    classes: dict[str, str] = Field(default={})
    """What to make of the classes, {their name: ours}; {} keeps all. Objects of classes that are not named are
    background; those of a class with an empty name are neither object nor background."""
    folder: str = "runs/detector"
    """Where checkpoints, logs and the finished model go."""
    network: DetectorNetwork = DetectorNetwork()
    """The network that is trained."""
    start_from: str = ""
    """`builtin`, the weights of this package; a model of ours (.safetensors, .ckpt); ImageNet weights of the trunk
    (.pth); or, downloaded by torchvision, `imagenet` or `coco`; empty starts from noise."""
    size: tuple[Count, Count] = (512, 320)
    """Longest and shortest side, pixels, to which a finished `builtin` fits the pictures it gets; other networks have
    `min_size` and `max_size`."""
    canvas: tuple[Count, Count] = (480, 320)
    """Width and height of a training picture, pixels: no smaller than the pictures in use, or large objects are never
    seen whole."""
    mosaic: Fraction01 = 0.5
    """Share of training pictures that are put together from two or four."""
    scale: tuple[Positive, Positive] = (0.5, 1.5)
    """Range of the random scale, relative to the size at which a picture has the area of its place."""
    flip: Fraction01 = 0.5
    """Share of pictures that are mirrored."""
    photometric: Literal["jitter", "distort", "none"] = "jitter"
    """How light and colour change: brightness, contrast and saturation; with hue and swapped channels, half of them
    at a time (SSD, arXiv 1512.02325); or not at all."""
    iou_crop: Fraction01 = 0.0
    """Share of pictures of which a random part is taken that holds an object or a part of it (SSD)."""
    copy_paste: Fraction01 = 0.0
    """Share of training pictures into which objects of another picture are pasted, cut along their outlines or, where
    only boxes are known, with faded edges. Source: Ghiasi et al. 2021, arXiv 2012.07177."""
    cache: bool = False
    """Keep decoded pictures in memory, in each worker: quicker where there is room for all of them."""
    repeat: float = 0.05
    """Pictures with a class rarer than this share of all pictures are drawn more often, by the square root of
    the ratio. Source: Gupta et al. 2019, LVIS, arXiv 1908.03195, appendix."""
    crowd_sampling_weight: Positive = 2.0
    """How much more often a picture with two or more objects of one class is drawn."""
    class_sampling_weights: dict[str, Positive] = Field(default={})
    """How much more often a picture with an object of a class is drawn, by the class's name."""
    recipe: Literal["joint", "four_step"] = "joint"
    """Approximate joint training of all parts, or four-step alternating training. Source: Faster R-CNN, section 3.2."""
    step_shares: tuple[Positive, Positive, Positive, Positive] = (0.3, 0.3, 0.2, 0.2)
    """How the steps are shared out among the four steps: proposals, detector, and both again on a shared trunk."""
    batch_size: Count = 8
    """Pictures that are computed at once by each process."""
    unfreeze_every: Annotated[int, Field(ge=0)] = 0
    """Steps after which one more of the frozen stages learns too, the last one first; 0 keeps them frozen."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or stochastic gradient descent with momentum."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """SGD's momentum."""
    learning_rate: Positive = 2e-3
    """The peak learning rate (AdamW's; SGD wants some ten times as much)."""
    head_learning_rate: Positive = 1.0
    """Factor on the learning rate for what judges regions, in a one-stage network places."""
    schedule: Literal["cosine", "multistep"] = "cosine"
    """How the learning rate falls after the warm-up: to 0 along a cosine, or by `gamma` at each milestone."""
    milestones: tuple[Fraction01, ...] = (0.67, 0.89)
    """Shares of the steps after which the learning rate falls, rising."""
    gamma: Fraction01 = 0.1
    """Factor by which it falls there."""
    activation_checkpointing: bool = False
    """Compute the trunk's inner maps again for the gradient instead of keeping them: less memory, a third more time."""


class CropTrainingConfig(TrainingConfig):
    """What the trainings of an embedder and of a classifier have in common."""

    val_share: Fraction01 = 0.2
    """Without `val`: the share that is not learned from but scored."""
    network: EmbedderNetwork = EmbedderNetwork()
    """The network that is trained."""
    start_from: str = ""
    """`builtin`, the weights of this package; a model of ours (.safetensors, .ckpt); weights of the network as
    torchvision has it, or of the built-in trunk (.pth); or, downloaded by torchvision, `imagenet`; empty starts from
    noise."""
    size: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = (0, 0)
    """Height and width to which crops are resized, pixels; 0 0 is what the network was made for."""
    flip: Fraction01 = 0.5
    """Share of crops that are mirrored."""
    box_jitter: NonNegative = 1.0
    """How wrong boxes are: 1 shifts them by up to 7.5 % of their sides, stretches these by up to 22 %, and lets crops
    lean by up to 5 degrees; 0 leaves them. What a box then sees comes out of the picture, where there is more of it."""
    low_resolution: NonNegative = 2.2
    """How often resolution is halved at most, as that of a distant object."""
    colour_jitter: NonNegative = 1.0
    """How much light, contrast, white balance and saturation change; 0 leaves them."""
    erasing: Fraction01 = 0.5
    """Share of crops of which a part is hidden behind another crop. Source: Zhong et al. 2017, arXiv 1708.04896."""
    label_smoothing: Fraction01 = 0.1
    """Share of the target that is spread over all classes. Source: Szegedy et al. 2015, arXiv 1512.00567, section 7."""
    steps: Count = 600
    """Optimiser steps in all."""


class EmbedderTrainingConfig(CropTrainingConfig):
    """How an embedder is trained: `track train embedder CONFIG`."""

    train: str = ""
    """Crops of individuals: files named as in Market-1501, ID_cCAMERA... (0004_c1s1_000002.jpg); a folder for each
    individual; or MOTChallenge sequences, out of whose pictures they are cut."""
    val: tuple[str, ...] = ()
    """Crops of other individuals, scored together: each looks for its like. Empty: a share of those in `train`."""
    folder: str = "runs/embedder"
    """Where checkpoints, logs and the finished model go."""
    categories: tuple[str, ...] = ("person",)
    """Class names whose individuals the crops show."""
    tracklets: bool = False
    """Individuals are tracklets of videos: only those seen at one moment are known to differ."""
    identities: Annotated[int, Field(ge=2)] = 16
    """Individuals in a batch."""
    crops: Annotated[int, Field(ge=2)] = 4
    """Crops of each individual in a batch."""
    losses: dict[str, Positive] = Field(default={})
    """What is summed up, and how it is weighted: softmax (cross-entropy), cosine_softmax (DeepSORT's, arXiv
    1812.00442), arcface (arXiv 1801.07698), triplet (batch-hard, arXiv 1703.07737), supcon (arXiv 2004.11362). {} is
    cosine_softmax and triplet or, as tracklets have no classes, triplet and supcon."""
    sharpness: Positive = 16.0
    """Factor on the cosines of cosine_softmax and arcface. Source: Wang et al. 2017, arXiv 1704.06369."""
    learn_sharpness: bool = False
    """Let cosine_softmax begin with that factor and learn it, as DeepSORT's did; else it is fixed."""
    angle: Annotated[float, Field(ge=0, lt=90)] = 28.6
    """Margin of arcface, degrees."""
    margin: NonNegative = 0.3
    """Distance by which triplet has another individual farther than the same one."""
    before_neck: bool = False
    """Let triplet see what comes before the network's neck, with Euclidean distance, as in Luo et al. 2019 (arXiv
    1903.07071); else it sees the embedding, with cosine distance, as the tracker does."""
    temperature: Positive = 0.1
    """Of supcon: what cosines are divided by."""


class ClassifierTrainingConfig(CropTrainingConfig):
    """How a classifier of crops is trained: `track train classifier CONFIG`."""

    train: str = ""
    """A folder of pictures for each class."""
    val: str = ""
    """The pictures that are scored, likewise. Empty: a share of those in `train`."""
    folder: str = "runs/classifier"
    """Where checkpoints, logs and the finished model go."""
    batch_size: Annotated[int, Field(ge=2)] = 32
    """Pictures that are computed at once by each process."""
