"""Measures the throughput of a detector on the CPU, by backend, compared with torchvision's own implementation.

Each implementation runs in a process of its own, since threads and memory settings affect others; they take turns.
"""

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import cv2
import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as F

import tracker
from tracker.config import DetectorConfig, detector_network
from tracker.data import read_image
from tracker.errors import InputError, did_you_mean
from tracker.evaluation.detection.agreement import count_equal_boxes
from tracker.models.detection import (
    BUILTIN,
    TorchDetector,
    build_detector,
    read_weights,
    set_thresholds,
    torchvision_names,
)
from tracker.models.detection.compile import compile_detector
from tracker.models.detection.detector import resized_shape
from tracker.models.model_file import ModelInfo
from tracker.models.runtime import choose_backend, fold_batch_norm
from tracker.structures.types import Detections

REFERENCE = "torchvision"
MODELS = ("builtin", "fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_resnet50_fpn")
BACKENDS = ("torch", "onnxruntime", "openvino")
CATEGORIES = tuple(map(str, range(90)))
CANDIDATES = 200  # boxes of an image above the score threshold, before NMS
LOGIT_STD = 3.0  # standard deviation of the logits of untrained networks, so that few scores are nearly equal
CPU = torch.device("cpu")

Image = NDArray[np.uint8]
Measurement = tuple[float, float, list[Detections]]  # wall seconds, CPU seconds of all cores, detections
DetectFunction = Callable[[Sequence[Image]], list[Detections]]


@dataclass(frozen=True)
class Job:
    """Input of all implementations.

    Attributes:
        info: Architecture of the network.
        config: Thresholds and, for our implementation, the number of threads.
        state: File of the state dict.
        images: Images to detect.
    """

    info: ModelInfo
    config: DetectorConfig
    state: Path
    images: list[Image]


@dataclass(frozen=True)
class BackendResult:
    """The result of one implementation.

    Attributes:
        name: torchvision, torch, onnxruntime or openvino.
        rates: Images per second of each repetition.
        ratio: Median over the repetitions of the rate over that of torchvision.
        cpu_milliseconds: Median CPU time of all cores for an image; other programs on the machine change it less.
        matching: Fraction of the boxes that match a box of torchvision.
        total_boxes: Number of boxes, of the implementation that has more.
    """

    name: str
    rates: tuple[float, ...]
    ratio: float
    cpu_milliseconds: float
    matching: float
    total_boxes: int


def installed_implementations() -> list[str]:
    """Returns torchvision's implementation, and ours with each installed backend."""
    return [REFERENCE, *installed_backends()]


def installed_backends() -> list[str]:
    """Returns the installed backends for this CPU."""
    backends: list[str] = []
    for name in BACKENDS:
        try:
            backends.append(choose_backend(name, CPU))
        except InputError:
            continue
    return backends


def compare_backends(
    model: str, size: tuple[int, int], number: int, threads: int, repetitions: int
) -> list[BackendResult]:
    """Runs a detector with all installed implementations, in turn.

    Args:
        model: `builtin`, or an R-CNN of torchvision, with random weights.
        size: Width and height of the images.
        number: Number of images; ours takes them in one batch, torchvision's one by one.
        threads: Threads of each implementation.
        repetitions: Number of runs of each implementation.

    Raises:
        InputError: The model is unknown, or there is nothing to measure.
    """
    if min(*size, number, repetitions) < 1:
        raise InputError("image sizes, number of images and repetitions must be at least 1")
    names = installed_implementations()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        job = prepare_job(model, _make_images(size, number), threads, Path(folder) / "state.pt")
        workers = {name: stack.enter_context(_worker_process(name, job)) for name in names}
        detections = {name: worker()[2] for name, worker in workers.items()}  # also warms up
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for repetition in range(repetitions):
            first = repetition % len(names)
            for name in names[first:] + names[:first]:
                times[name].append(workers[name]()[:2])
    return [_summarize(name, times, detections, number) for name in names]


def _summarize(
    name: str,
    times: Mapping[str, Sequence[tuple[float, float]]],
    detections: Mapping[str, list[Detections]],
    number: int,
) -> BackendResult:
    ratio = median(theirs / ours for (ours, _), (theirs, _) in zip(times[name], times[REFERENCE], strict=True))
    cpu_milliseconds = 1000 * median(cpu for _, cpu in times[name]) / number
    matched, boxes = count_equal_boxes(zip(detections[name], detections[REFERENCE], strict=True))
    rates = tuple(number / wall for wall, _ in times[name])
    return BackendResult(name, rates, ratio, cpu_milliseconds, matched / max(boxes, 1), boxes)


def _make_images(size: tuple[int, int], number: int) -> list[Image]:
    """Returns the demo's photographs in turn, mirrored in each direction."""
    folder = Path(tracker.__file__).parent / "cli" / "demo_images"
    photographs = [cv2.resize(read_image(folder / name), size) for name in ("astronaut.jpg", "cat.jpg")]
    flipped = [*photographs, *(image[:, ::-1] for image in photographs)]
    flipped += [image[::-1] for image in flipped]
    return [np.ascontiguousarray(flipped[index % len(flipped)]).astype(np.uint8) for index in range(number)]


# The network


def prepare_job(
    model: str,
    images: list[Image],
    threads: int,
    state: Path,
    categories: tuple[str, ...] = CATEGORIES,
    candidates: int = CANDIDATES,
) -> Job:
    """Writes the state dict of a network, and finds the score threshold for a number of candidate boxes.

    Args:
        model: See `compare_backends`.
        images: Images on which the threshold is found.
        threads: Threads of each implementation.
        state: File of the state dict.
        categories: Categories of a network with random weights.
        candidates: Boxes of an image above the threshold, before NMS.

    Raises:
        InputError: The model is unknown.
    """
    known = ["builtin", *(name for name in torchvision_names() if "rcnn" in name)]
    if model not in known:
        raise InputError(f"unknown model {model!r}{did_you_mean(model, known)}")
    network: nn.Module
    if model == "builtin":
        state_dict, info = read_weights(BUILTIN)
        network = _build_network(info)
        network.load_state_dict(state_dict)
    else:
        description = detector_network({"architecture": model}, "the benchmark").model_dump(mode="json")
        info = ModelInfo(
            task="detection",
            architecture=model,
            categories=categories,
            size=(0, 0),
            license="",
            provenance="",
            network=description,
        )
        torch.manual_seed(0)
        network = _build_network(info)
        _calibrate(network, _to_tensor(images[0], info))
    score_threshold = _score_threshold(network.eval(), [_to_tensor(image, info) for image in images], candidates)
    torch.save(network.state_dict(), state)
    return Job(info, DetectorConfig(score=score_threshold, nms_iou=0.5, threads=threads), state, images)


def _build_network(info: ModelInfo) -> nn.Module:
    return build_detector(detector_network(info.network, "the benchmark"), len(info.categories))


def _to_tensor(image: Image, info: ModelInfo) -> Tensor:
    """Converts an image to the input of our networks: float32 (3, H, W) from 0 to 255."""
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    if info.size != (0, 0):
        tensor = F.resize(tensor, list(resized_shape(tensor.shape[1], tensor.shape[2], *info.size)), antialias=True)
    return tensor.float()


@torch.no_grad()
def _calibrate(network: nn.Module, image: Tensor) -> None:
    """Calibrates an untrained network: activations keep their scale from layer to layer, and scores differ."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0  # use only the statistics of the next batch
        norm.reset_running_stats()
    network.eval()
    for norm in norms:
        norm.train()
    network([image])
    network.eval()
    heads = (network.get_submodule("rpn.head.cls_logits"), network.get_submodule("roi_heads.box_predictor.cls_score"))
    for head in heads:
        with _record_outputs(head) as outputs:
            network([image])
        head.weight.mul_(LOGIT_STD / torch.cat([logits.flatten() for logits in outputs]).std())  # type: ignore[operator]


@torch.no_grad()
def _score_threshold(network: nn.Module, images: Sequence[Tensor], candidates: int) -> float:
    classifier = network.get_submodule("roi_heads.box_predictor.cls_score")
    with _record_outputs(classifier) as outputs:
        for image in images:
            network([image])
    scores = torch.cat([logits.softmax(1)[:, 1:].flatten() for logits in outputs])
    return min(0.99, scores.topk(candidates * len(images)).values[-1].item())


@contextmanager
def _record_outputs(module: nn.Module) -> Iterator[list[Tensor]]:
    """Records the outputs of a module, call by call."""
    outputs: list[Tensor] = []
    with module.register_forward_hook(lambda module, inputs, output: outputs.append(output)):
        yield outputs


# One process


@contextmanager
def _worker_process(name: str, job: Job) -> Iterator[Callable[[], Measurement]]:
    """Starts a process that runs a job each time the returned function is called."""
    connection, child_connection = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(name, job, child_connection), daemon=True
    )
    process.start()
    child_connection.close()

    def run() -> Measurement:
        connection.send(None)
        try:
            return connection.recv()  # type: ignore[no-any-return]
        except EOFError:
            raise RuntimeError(f"the process of {name} ended; see stderr") from None

    with closing(connection):
        try:
            yield run
        finally:
            connection.close()  # the process ends when the connection is closed
            process.join()


def _serve(name: str, job: Job, connection: Connection) -> None:
    with ExitStack() as stack:
        detect = torchvision_detector(job) if name == REFERENCE else _our_detector(job, name, stack)
        while True:
            try:
                connection.recv()
                start, cpu_start = perf_counter(), process_time()
                detections = detect(job.images)
                connection.send((perf_counter() - start, process_time() - cpu_start, detections))
            except (EOFError, BrokenPipeError, KeyboardInterrupt):
                return


def _our_detector(job: Job, backend: str, stack: ExitStack) -> DetectFunction:
    network = fold_batch_norm(_load_state(_build_network(job.info), job))
    set_thresholds(network, job.config, job.info)
    if backend != "torch":
        compile_detector(network, backend, False, job.config.threads)
    detector = TorchDetector(network, job.info, CPU, threads=job.config.threads, backend=backend)
    return stack.enter_context(detector).detect


def torchvision_detector(job: Job) -> DetectFunction:
    """Builds torchvision's network; for the built-in one, which torchvision lacks, the network of its authors."""
    torch.set_num_threads(job.config.threads)
    is_torchvision = job.info.architecture in torchvision_names()
    if is_torchvision:
        network: nn.Module = torchvision.models.get_model(
            job.info.architecture, weights=None, weights_backbone=None, num_classes=len(job.info.categories) + 1
        )
    else:
        network = _build_network(job.info)
    set_thresholds(_load_state(network, job).eval(), job.config, job.info)

    @torch.inference_mode()
    def detect(images: Sequence[Image]) -> list[Detections]:
        tensors = [_to_tensor(image, job.info) for image in images]
        outputs = [network([tensor / 255 if is_torchvision else tensor])[0] for tensor in tensors]
        return [_to_detections(*pair) for pair in zip(outputs, zip(tensors, images, strict=True), strict=True)]

    return detect


def _load_state(network: nn.Module, job: Job) -> nn.Module:
    network.load_state_dict(torch.load(job.state, weights_only=True))
    return network


def _to_detections(output: Mapping[str, Any], sizes: tuple[Tensor, Image]) -> Detections:
    tensor, image = sizes
    scale = np.array([image.shape[1] / tensor.shape[2], image.shape[0] / tensor.shape[1]] * 2, np.float32)
    return Detections(output["boxes"].numpy() * scale, output["scores"].numpy(), output["labels"].numpy() - 1)
