"""Pictures a second of a detector of torchvision's: here, and in the loops of torchvision's references, in turn.

Source of those loops: torchvision's references/detection, engine.py (BSD-3-Clause): pictures one by one in evaluation,
batches in training, SGD, float32 throughout.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tracker.config import detector_network
from tracker.errors import InputError, did_you_mean
from tracker.models.detection import Detector, build_detector, torchvision_names
from tracker.models.detection.compile import compile_parts
from tracker.models.model_file import ModelInfo
from tracker.models.runtime import choose_device, fold_batch_norm, in_half

CLASSES = 90
OBJECTS = 8  # in a picture
WARM_UP = 2  # batches before the clock starts
RATE = 1e-5  # of learning; small, for the pictures are noise

Picture = NDArray[np.uint8]
Target = dict[str, Tensor]


@dataclass(frozen=True)
class Speed:
    """One way of doing a work, beside the other one.

    Attributes:
        name: Of the work.
        ours: Pictures a second of each repetition.
        theirs: The same of torchvision's loop.
        ratio: Median over the repetitions of the one over the other.
        memory: Most MiB that each one held beside what it held before, ours first; 0 where it cannot be told.
        flops: Floating-point operations of a picture, in matrix products and convolutions, two for each multiplication.
    """

    name: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    ratio: float
    memory: tuple[float, float]
    flops: float


@dataclass(frozen=True, eq=False)
class Setting:
    """What both sides are given: a network by name, its device, and pictures with targets."""

    model: str
    device: torch.device
    precision: str
    size: tuple[int, int]
    pictures: list[Picture]
    targets: list[Target]
    batch: int


def make_setting(
    model: str, device: str, precision: str, size: tuple[int, int], batch: int, batches: int, seed: int = 0
) -> Setting:
    """Pictures of noise with objects at random, of `size` (width, height) pixels, which the networks leave as they are.

    Raises:
        InputError: The model is none of torchvision's, or there is no such device.
    """
    if model not in torchvision_names():
        raise InputError(f"torchvision has no detector {model!r}{did_you_mean(model, torchvision_names())}")
    if model.startswith("ssd"):
        raise InputError(f"{model} brings all pictures to a size of its own: give an R-CNN, RetinaNet or FCOS")
    if min(*size, batch, batches) < 1:
        raise InputError("pictures, batches and their number must be at least 1")
    rng = np.random.default_rng(seed)
    width, height = size
    pictures = [rng.integers(0, 256, (height, width, 3)).astype(np.uint8) for _ in range(batch * batches)]
    return Setting(
        model, choose_device(device), precision, size, pictures, [_target(rng, width, height) for _ in pictures], batch
    )


def _target(rng: np.random.Generator, width: int, height: int) -> Target:
    whole = np.array([width, height])
    sides = whole * rng.uniform(0.1, 0.5, (OBJECTS, 2))
    corner = rng.uniform(0, 1, (OBJECTS, 2)) * (whole - sides)
    return {
        "boxes": torch.from_numpy(np.concatenate([corner, corner + sides], 1).astype(np.float32)),
        "labels": torch.from_numpy(rng.integers(1, CLASSES + 1, OBJECTS)),
        "ignore": torch.zeros(0, 4),
        "regions": torch.tensor([[0.0, 0.0, width, height]]),
        "unlabelled": torch.zeros(1, CLASSES + 1, dtype=torch.bool),
    }


def compare_inference(setting: Setting, repetitions: int) -> Speed:
    """From pictures in memory to detections in memory; both networks have the same weights."""
    theirs = _theirs(setting).eval()
    images = [_as_floats(picture) for picture in setting.pictures]

    @torch.inference_mode()
    def reference(start: int) -> None:
        for image in images[start : start + setting.batch]:
            for output in theirs([image.to(setting.device)]):
                _ = {name: value.cpu() for name, value in output.items()}

    model = _ours(setting)
    model.load_state_dict(theirs.state_dict())
    half = in_half(setting.precision, setting.device)
    info = ModelInfo(
        task="detection",
        architecture=setting.model,
        categories=tuple(map(str, range(CLASSES))),
        size=(0, 0),
        license="",
        provenance="",
    )
    fold_batch_norm(model)
    compile_parts(model, "torch", half, 0)
    with Detector(model, info, setting.device) as detector:

        def ours(start: int) -> None:
            detector.detect(setting.pictures[start : start + setting.batch])

        return _compare("inference", ours, reference, setting, repetitions)


def compare_training(setting: Setting, repetitions: int) -> Speed:
    """A step with forward, backward and optimiser, from pictures in memory; batches of one size on both sides."""
    theirs = _theirs(setting).train()
    images = [_as_floats(picture) for picture in setting.pictures]
    optimizer = _optimizer(theirs)

    def reference(start: int) -> None:
        inputs = [image.to(setting.device) for image in images[start : start + setting.batch]]
        targets = _on(setting.device, setting.targets[start : start + setting.batch], ("boxes", "labels"))
        loss: Tensor = sum(theirs(inputs, targets).values())
        loss.item()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    model = _ours(setting).to(memory_format=torch.channels_last).train()
    own = _optimizer(model)
    half = in_half(setting.precision, setting.device)

    def ours(start: int) -> None:
        inputs = [
            torch.from_numpy(picture).permute(2, 0, 1).to(setting.device).float()
            for picture in setting.pictures[start : start + setting.batch]
        ]
        targets = _on(setting.device, setting.targets[start : start + setting.batch])
        with torch.autocast(setting.device.type, torch.bfloat16, enabled=half):
            loss: Tensor = sum(model(inputs, targets).values())
        if not torch.isfinite(loss):
            raise FloatingPointError("the loss is not finite")
        own.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        own.step()

    return _compare("training", ours, reference, setting, repetitions)


def _optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-4)


def _theirs(setting: Setting) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = torchvision.models.get_model(
        setting.model,
        weights=None,
        weights_backbone=None,
        num_classes=CLASSES + 1,
        min_size=min(setting.size),
        max_size=max(setting.size),
    )
    return model.to(setting.device)


def _ours(setting: Setting) -> nn.Module:
    sizes = {"min_size": min(setting.size), "max_size": max(setting.size)}
    network = detector_network({"architecture": setting.model, **sizes}, "the benchmark")
    return build_detector(network, CLASSES).to(setting.device)


def _as_floats(picture: Picture) -> Tensor:
    """As the reference's data loader hands it over: from 0 to 1."""
    return torch.from_numpy(picture).permute(2, 0, 1).float() / 255


def _on(device: torch.device, targets: Sequence[Target], names: Sequence[str] = ()) -> list[Target]:
    return [{name: t[name].to(device) for name in names or t} for t in targets]


def _compare(
    name: str, ours: Callable[[int], None], theirs: Callable[[int], None], setting: Setting, repetitions: int
) -> Speed:
    """Runs both over all pictures in turn; each one is the first in every other repetition."""
    if repetitions < 1:
        raise InputError(f"a measurement needs a repetition, got {repetitions}")
    both = (ours, theirs)
    memory = tuple(_memory(work, setting) for work in both)
    rates: tuple[list[float], list[float]] = ([], [])
    for repetition in range(repetitions):
        for which in (0, 1) if repetition % 2 == 0 else (1, 0):
            rates[which].append(_rate(both[which], setting))
    ratio = median(mine / other for mine, other in zip(*rates, strict=True))
    with FlopCounterMode(display=False) as counter:  # theirs works in this thread, in which alone it counts
        theirs(0)
    flops = counter.get_total_flops() / setting.batch
    return Speed(name, tuple(rates[0]), tuple(rates[1]), ratio, (memory[0], memory[1]), flops)


def peak_flops(device: torch.device, half: bool, repetitions: int = 5) -> float:
    """The most floating-point operations a second that products of two square matrices reached here.

    Args:
        device: Where; on the CPU with all of PyTorch's threads.
        half: In half precision (bfloat16) instead of float32.
        repetitions: How many products are timed for each size.
    """
    dtype = torch.bfloat16 if half else torch.float32
    best = 0.0
    for side in (1024, 2048) if device.type == "cpu" else (4096, 8192):
        matrix = torch.ones(side, side, dtype=dtype, device=device)
        for _ in range(WARM_UP + repetitions):
            _finish(device)
            start = perf_counter()
            matrix @ matrix
            _finish(device)
            best = max(best, 2 * side**3 / (perf_counter() - start))
    return best


def _memory(work: Callable[[int], None], setting: Setting) -> float:
    """Warms up; MiB at the most, beside what was there before the last of these batches."""
    on_cuda = setting.device.type == "cuda"
    for _ in range(WARM_UP):
        before = torch.cuda.memory_allocated(setting.device) if on_cuda else 0
        if on_cuda:
            torch.cuda.reset_peak_memory_stats(setting.device)
        work(0)
    return (torch.cuda.max_memory_allocated(setting.device) - before) / 2**20 if on_cuda else 0.0


def _rate(work: Callable[[int], None], setting: Setting) -> float:
    _finish(setting.device)
    start = perf_counter()
    for first in range(0, len(setting.pictures), setting.batch):
        work(first)
    _finish(setting.device)
    return len(setting.pictures) / (perf_counter() - start)


def _finish(device: torch.device) -> None:
    """A GPU works on while the program goes on: waits for it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
