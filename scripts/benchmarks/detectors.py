"""Compares the throughput of a torchvision detector here with the loops of torchvision's references, in turn.

Source of those loops: torchvision's references/detection, engine.py (BSD-3-Clause): images one by one in evaluation,
batches in training, SGD, float32.
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
from tracker.models.detection import TorchDetector, build_detector, torchvision_names
from tracker.models.detection.compile import compile_detector
from tracker.models.model_file import ModelInfo
from tracker.models.runtime import choose_device, fold_batch_norm, use_half_precision

CLASSES = 90
OBJECTS_PER_IMAGE = 8
WARM_UP = 2  # batches before the clock starts
LEARNING_RATE = 1e-5  # small, since the images are noise

Image = NDArray[np.uint8]
Target = dict[str, Tensor]


@dataclass(frozen=True)
class SpeedComparison:
    """The throughput of our implementation and of torchvision's.

    Attributes:
        name: inference or training.
        ours: Images per second of each repetition.
        theirs: The same of torchvision's loop.
        ratio: Median over the repetitions of ours over theirs.
        memory: Peak MiB that each one allocated in addition to its memory before, ours first; 0 if unknown.
        flops: Floating-point operations for an image, of matrix products and convolutions, two for each multiplication.
    """

    name: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    ratio: float
    memory: tuple[float, float]
    flops: float


@dataclass(frozen=True, eq=False)
class Workload:
    """Input of both sides: a network by name, its device, and images with targets."""

    model: str
    device: torch.device
    precision: str
    size: tuple[int, int]
    images: list[Image]
    targets: list[Target]
    batch: int


def make_workload(
    model: str, device: str, precision: str, size: tuple[int, int], batch: int, batches: int, seed: int = 0
) -> Workload:
    """Makes images of noise with random objects, of `size` (width, height) pixels, which the networks do not resize.

    Raises:
        InputError: The model is not one of torchvision's, or the device does not exist.
    """
    if model not in torchvision_names():
        raise InputError(f"torchvision has no detector {model!r}{did_you_mean(model, torchvision_names())}")
    if model.startswith("ssd"):
        raise InputError(f"{model} resizes all images to a fixed size: give an R-CNN, RetinaNet or FCOS")
    if min(*size, batch, batches) < 1:
        raise InputError("image sizes, batches and their number must be at least 1")
    rng = np.random.default_rng(seed)
    width, height = size
    images = [rng.integers(0, 256, (height, width, 3)).astype(np.uint8) for _ in range(batch * batches)]
    return Workload(
        model, choose_device(device), precision, size, images, [_target(rng, width, height) for _ in images], batch
    )


def _target(rng: np.random.Generator, width: int, height: int) -> Target:
    image_size = np.array([width, height])
    sizes = image_size * rng.uniform(0.1, 0.5, (OBJECTS_PER_IMAGE, 2))
    corner = rng.uniform(0, 1, (OBJECTS_PER_IMAGE, 2)) * (image_size - sizes)
    return {
        "boxes": torch.from_numpy(np.concatenate([corner, corner + sizes], 1).astype(np.float32)),
        "labels": torch.from_numpy(rng.integers(1, CLASSES + 1, OBJECTS_PER_IMAGE)),
        "ignore": torch.zeros(0, 4),
        "regions": torch.tensor([[0.0, 0.0, width, height]]),
        "unlabeled": torch.zeros(1, CLASSES + 1, dtype=torch.bool),
        "uncertain": torch.zeros(0, 4),
        "uncertain_labels": torch.zeros(0, dtype=torch.int64),
    }


def compare_inference(workload: Workload, repetitions: int) -> SpeedComparison:
    """Compares inference from images in memory to detections in memory; both networks have the same weights."""
    theirs = _build_torchvision(workload).eval()
    tensors = [_to_tensor(image) for image in workload.images]

    @torch.inference_mode()
    def reference(start: int) -> None:
        for tensor in tensors[start : start + workload.batch]:
            for output in theirs([tensor.to(workload.device)]):
                _ = {name: value.cpu() for name, value in output.items()}

    model = _build_ours(workload)
    model.load_state_dict(theirs.state_dict())
    half = use_half_precision(workload.precision, workload.device)
    info = ModelInfo(
        task="detection",
        architecture=workload.model,
        categories=tuple(map(str, range(CLASSES))),
        size=(0, 0),
        license="",
        provenance="",
    )
    fold_batch_norm(model)
    compile_detector(model, "torch", half, 0)
    with TorchDetector(model, info, workload.device) as detector:

        def ours(start: int) -> None:
            detector.detect(workload.images[start : start + workload.batch])

        return _compare("inference", ours, reference, workload, repetitions)


def compare_training(workload: Workload, repetitions: int) -> SpeedComparison:
    """Compares a training step with forward, backward and optimizer, from images in memory."""
    theirs = _build_torchvision(workload).train()
    tensors = [_to_tensor(image) for image in workload.images]
    their_optimizer = _optimizer(theirs)

    def reference(start: int) -> None:
        inputs = [tensor.to(workload.device) for tensor in tensors[start : start + workload.batch]]
        targets = _to_device(workload.device, workload.targets[start : start + workload.batch], ("boxes", "labels"))
        loss: Tensor = sum(theirs(inputs, targets).values())
        loss.item()
        their_optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        their_optimizer.step()

    model = _build_ours(workload).to(memory_format=torch.channels_last).train()
    our_optimizer = _optimizer(model)
    half = use_half_precision(workload.precision, workload.device)

    def ours(start: int) -> None:
        inputs = [
            torch.from_numpy(image).permute(2, 0, 1).to(workload.device).float()
            for image in workload.images[start : start + workload.batch]
        ]
        targets = _to_device(workload.device, workload.targets[start : start + workload.batch])
        with torch.autocast(workload.device.type, torch.bfloat16, enabled=half):
            loss: Tensor = sum(model(inputs, targets).values())
        if not torch.isfinite(loss):
            raise FloatingPointError("the loss is not finite")
        our_optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        our_optimizer.step()

    return _compare("training", ours, reference, workload, repetitions)


def _optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-4)


def _build_torchvision(workload: Workload) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = torchvision.models.get_model(
        workload.model,
        weights=None,
        weights_backbone=None,
        num_classes=CLASSES + 1,
        min_size=min(workload.size),
        max_size=max(workload.size),
    )
    return model.to(workload.device)


def _build_ours(workload: Workload) -> nn.Module:
    sizes = {"min_size": min(workload.size), "max_size": max(workload.size)}
    network = detector_network({"architecture": workload.model, **sizes}, "the benchmark")
    return build_detector(network, CLASSES).to(workload.device)


def _to_tensor(image: Image) -> Tensor:
    """Converts an image as the reference's data loader does: float32 from 0 to 1."""
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def _to_device(device: torch.device, targets: Sequence[Target], names: Sequence[str] = ()) -> list[Target]:
    return [{name: target[name].to(device) for name in names or target} for target in targets]


def _compare(
    name: str, ours: Callable[[int], None], theirs: Callable[[int], None], workload: Workload, repetitions: int
) -> SpeedComparison:
    """Runs both over all images in turn; each one is the first in every other repetition."""
    if repetitions < 1:
        raise InputError(f"repetitions must be at least 1, got {repetitions}")
    functions = (ours, theirs)
    memory = tuple(_peak_memory(function, workload) for function in functions)
    rates: tuple[list[float], list[float]] = ([], [])
    for repetition in range(repetitions):
        for index in (0, 1) if repetition % 2 == 0 else (1, 0):
            rates[index].append(_throughput(functions[index], workload))
    ratio = median(our_rate / their_rate for our_rate, their_rate in zip(*rates, strict=True))
    with FlopCounterMode(display=False) as counter:  # it counts in this thread only, in which theirs runs
        theirs(0)
    flops = counter.get_total_flops() / workload.batch
    return SpeedComparison(name, tuple(rates[0]), tuple(rates[1]), ratio, (memory[0], memory[1]), flops)


def peak_flops(device: torch.device, half: bool, repetitions: int = 5) -> float:
    """Measures the peak floating-point operations per second of products of square matrices.

    Args:
        device: The device; on the CPU all of PyTorch's threads are used.
        half: True for half precision (bfloat16) instead of float32.
        repetitions: Number of timed products for each size.
    """
    dtype = torch.bfloat16 if half else torch.float32
    best = 0.0
    for side in (1024, 2048) if device.type == "cpu" else (4096, 8192):
        matrix = torch.ones(side, side, dtype=dtype, device=device)
        for _ in range(WARM_UP + repetitions):
            _synchronize(device)
            start = perf_counter()
            matrix @ matrix
            _synchronize(device)
            best = max(best, 2 * side**3 / (perf_counter() - start))
    return best


def _peak_memory(function: Callable[[int], None], workload: Workload) -> float:
    """Warms up, and returns the peak MiB of the last warm-up batch, without the memory allocated before it."""
    on_cuda = workload.device.type == "cuda"
    for _ in range(WARM_UP):
        before = torch.cuda.memory_allocated(workload.device) if on_cuda else 0
        if on_cuda:
            torch.cuda.reset_peak_memory_stats(workload.device)
        function(0)
    return (torch.cuda.max_memory_allocated(workload.device) - before) / 2**20 if on_cuda else 0.0


def _throughput(function: Callable[[int], None], workload: Workload) -> float:
    _synchronize(workload.device)
    start = perf_counter()
    for start_index in range(0, len(workload.images), workload.batch):
        function(start_index)
    _synchronize(workload.device)
    return len(workload.images) / (perf_counter() - start)


def _synchronize(device: torch.device) -> None:
    """Waits for the GPU, which works asynchronously."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
