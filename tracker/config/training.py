"""The settings of the trainers."""

from typing import Annotated, Literal

from pydantic import Field

from tracker.config.embedding import EmbedderNetwork
from tracker.config.network import DetectorNetwork
from tracker.config.section import Count, Fraction01, NonNegative, Positive, Section


class DetectorTraining(Section):
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
    canvas: tuple[Count, Count] = (448, 288)
    """Width and height of a training picture, pixels."""
    mosaic: Fraction01 = 0.5
    """Share of training pictures that are put together from two or four."""
    scale: tuple[Positive, Positive] = (0.6, 1.65)
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
    crowded: Positive = 2.0
    """How much more often a picture with two or more objects of one class is drawn."""
    favour: dict[str, Positive] = Field(default={})
    """How much more often a picture with an object of a class is drawn, by the class's name."""
    recipe: Literal["joint", "four_step"] = "joint"
    """Approximate joint training of all parts, or four-step alternating training. Source: Faster R-CNN, section 3.2."""
    step_shares: tuple[Positive, Positive, Positive, Positive] = (0.3, 0.3, 0.2, 0.2)
    """How the steps are shared out among the four steps: proposals, detector, and both again on a shared trunk."""
    batch_size: Count = 8
    """Pictures that are computed at once by each process."""
    accumulate: Count = 1
    """Batches in an optimiser step."""
    steps: Count = 2_000
    """Optimiser steps in all."""
    freeze: Annotated[int, Field(ge=0)] = 0
    """Stages of the trunk, from the picture on, that keep their weights and batch-norm statistics."""
    unfreeze_every: Annotated[int, Field(ge=0)] = 0
    """Steps after which one more of the frozen stages learns too, the last one first; 0 keeps them frozen."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or stochastic gradient descent with momentum."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """SGD's momentum."""
    learning_rate: Positive = 2e-3
    """The peak learning rate (AdamW's; SGD wants some ten times as much)."""
    trunk_learning_rate: Positive = 0.3
    """Factor on the learning rate for the trunk."""
    head_learning_rate: Positive = 1.0
    """Factor on the learning rate for what judges regions, in a one-stage network places."""
    schedule: Literal["cosine", "multistep"] = "cosine"
    """How the learning rate falls after the warm-up: to 0 along a cosine, or by `gamma` at each milestone."""
    milestones: tuple[Fraction01, ...] = (0.67, 0.89)
    """Shares of the steps after which the learning rate falls, rising."""
    gamma: Fraction01 = 0.1
    """Factor by which it falls there."""
    warmup_steps: Count = 300
    """Steps over which the learning rate rises from 0; at most a quarter of all."""
    weight_decay: NonNegative = 0.01
    """AdamW's decoupled weight decay, or SGD's."""
    clip: Positive = 5.0
    """Largest norm of the gradient."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the moving average of the weights, which is the model that is kept; it is smaller in the first steps.
    0 keeps the weights themselves."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Lightning's precision."""
    activation_checkpointing: bool = False
    """Compute the trunk's inner maps again for the gradient instead of keeping them: less memory, a third more time."""
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
    """Most steps between two scorings of the pictures in `val`; the last one is at the end."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Scorings without a better AP after which training stops; 0 goes through all steps."""
    checkpoint_every: Count = 500
    """Steps between two checkpoints to resume from."""
    workers: Annotated[int, Field(ge=0)] = 2
    """Processes that prepare pictures."""
    seed: int = 0
    """Seed of everything random."""
    license: str = ""
    """Licence of the trained weights, written into them."""
    provenance: str = ""
    """Where the pictures came from and on what terms, written into the weights."""


class EmbedderTraining(Section):
    """How an embedder is trained: `track train embedder CONFIG`."""

    train: str = ""
    """Folder of training crops, one individual each, named as in Market-1501: ID_cCAMERA..., 0004_c1s1_000002.jpg."""
    val: tuple[str, ...] = ()
    """Folders of crops of other individuals, scored together: each crop looks for its like in the other cameras."""
    folder: str = "runs/embedder"
    """Where checkpoints, logs and the finished model go."""
    network: EmbedderNetwork = EmbedderNetwork()
    """The network that is trained."""
    start_from: str = ""
    """ImageNet weights of the trunk (.pth), or a model of ours (.safetensors); empty starts from noise."""
    categories: tuple[str, ...] = ("person",)
    """Class names whose individuals the crops show."""
    size: tuple[Annotated[int, Field(ge=32, multiple_of=16)], Annotated[int, Field(ge=32, multiple_of=16)]] = (128, 64)
    """Height and width to which crops are resized, pixels."""
    individuals: Annotated[int, Field(ge=2)] = 16
    """Individuals in a step."""
    crops: Annotated[int, Field(ge=2)] = 4
    """Crops of each individual in a step."""
    steps: Count = 600
    """Optimiser steps in all."""
    warmup_steps: Count = 50
    """Steps over which the learning rate rises from 0."""
    learning_rate: Positive = 2e-3
    """AdamW's peak learning rate; it falls to 0 along a cosine."""
    trunk_learning_rate: Positive = 0.3
    """Factor on the learning rate for the pretrained trunk."""
    weight_decay: NonNegative = 0.01
    """AdamW's decoupled weight decay."""
    label_smoothing: Fraction01 = 0.1
    """Share of the target that is spread over all individuals. Source: Luo et al. 2019, arXiv 1903.07071."""
    margin: NonNegative = 0.3
    """Cosine distance by which another individual must be farther than the same one."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.98
    """Decay of the moving average of the weights, which is the model that is kept."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Lightning's precision."""
    validate_every: Count = 200
    """Steps between two scorings of the crops in `val`."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that prepare crops; 0 prepares them in the training's own."""
    seed: int = 0
    """Seed of everything random."""
    license: str = ""
    """Licence of the trained weights, written into them."""
    provenance: str = ""
    """Where the crops came from and on what terms, written into the weights."""
