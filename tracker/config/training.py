"""The settings of the trainers."""

from typing import Annotated, Literal

from pydantic import Field

from tracker.config.section import Count, Fraction01, NonNegative, Positive, Section


class DetectorTraining(Section):
    """How a detector is trained: `track train detector CONFIG`."""

    train: str = ""
    """COCO JSON file of the training pictures; `file_name` is relative to it."""
    val: str = ""
    """COCO JSON file of the pictures that are scored."""
    folder: str = "runs/detector"
    """Where checkpoints, logs and the finished model go."""
    start_from: str = ""
    """ImageNet weights of the trunk (.pth), or a model of ours (.safetensors); empty starts from noise."""
    size: tuple[Count, Count] = (512, 320)
    """Longest and shortest side, pixels, to which the finished model fits the pictures it gets."""
    canvas: tuple[Count, Count] = (448, 288)
    """Width and height of a training picture, pixels."""
    mosaic: Fraction01 = 0.5
    """Share of training pictures that are put together from two or four."""
    scale: tuple[Positive, Positive] = (0.6, 1.65)
    """Range of the random scale, relative to the size at which a picture has the area of its place."""
    cache: bool = False
    """Keep decoded pictures in memory, in each worker: quicker where there is room for all of them."""
    repeat: float = 0.05
    """Pictures with a class rarer than this share of all pictures are drawn more often, by the square root of
    the ratio. Source: Gupta et al. 2019, LVIS, arXiv 1908.03195, appendix."""
    crowded: Positive = 2.0
    """How much more often a picture with two or more objects of one class is drawn."""
    favour: dict[str, Positive] = Field(default={})
    """How much more often a picture with an object of a class is drawn, by the class's name."""
    batch_size: Count = 8
    """Pictures in a step."""
    steps: Count = 10_000
    """Optimiser steps in all."""
    warmup_steps: Count = 300
    """Steps over which the learning rate rises from 0."""
    learning_rate: Positive = 2e-3
    """AdamW's peak learning rate; it falls to 0 along a cosine."""
    trunk_learning_rate: Positive = 0.3
    """Factor on the learning rate for the pretrained trunk."""
    weight_decay: NonNegative = 0.01
    """AdamW's decoupled weight decay."""
    clip: Positive = 5.0
    """Largest norm of the gradient."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the moving average of the weights, which is the model that is kept."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Lightning's precision."""
    validate_every: Count = 2_000
    """Steps between two scorings of the pictures in `val`."""
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
