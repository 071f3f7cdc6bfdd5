"""Pictures a second of a detector on the CPU, by what computes it, beside torchvision's own network as it comes.

Each way has a process of its own, for what one of them sets (threads, memory) would change another; they take turns.
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
from tracker.evaluation.detection.agreement import count_equal
from tracker.models.detection import BUILTIN, Detector, build_detector, read_weights, set_thresholds, torchvision_names
from tracker.models.detection.compile import compile_parts
from tracker.models.detection.detector import resized
from tracker.models.model_file import ModelInfo
from tracker.models.runtime import choose_backend, fold_batch_norm
from tracker.structures.types import Detections

REFERENCE = "torchvision"
MODELS = ("builtin", "fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_resnet50_fpn")
BACKENDS = ("torch", "onnxruntime", "openvino")
CATEGORIES = tuple(map(str, range(90)))
CANDIDATES = 200  # boxes of a picture above the score, before those that overlap are dropped
SPREAD = 3.0  # deviation of the untrained networks' logits, so that few scores are nearly equal
CPU = torch.device("cpu")

Picture = NDArray[np.uint8]
Run = tuple[float, float, list[Detections]]  # seconds, those of all cores together, and what was found
Find = Callable[[Sequence[Picture]], list[Detections]]


@dataclass(frozen=True)
class Job:
    """What all ways are given.

    Attributes:
        info: What the network is.
        config: Thresholds, and for ours the number of threads.
        state: File of its arrays.
        pictures: To detect in.
    """

    info: ModelInfo
    config: DetectorConfig
    state: Path
    pictures: list[Picture]


@dataclass(frozen=True)
class BackendResult:
    """One way of computing a network.

    Attributes:
        name: torchvision, torch, onnxruntime or openvino.
        rates: Pictures a second of each repetition.
        ratio: Median over the repetitions of these over torchvision's.
        cpu: Milliseconds of all cores together for a picture, median; other programs on the machine change it less.
        equal: Share of the boxes that are torchvision's too.
        boxes: How many that are, of both sides the more.
    """

    name: str
    rates: tuple[float, ...]
    ratio: float
    cpu: float
    equal: float
    boxes: int


def installed_ways() -> list[str]:
    """Torchvision's, and ours as far as their libraries are installed."""
    return [REFERENCE, *installed_backends()]


def installed_backends() -> list[str]:
    """What can compute networks on this CPU."""
    found: list[str] = []
    for name in BACKENDS:
        try:
            found.append(choose_backend(name, CPU))
        except InputError:
            continue
    return found


def compare_ways(model: str, size: tuple[int, int], number: int, threads: int, repetitions: int) -> list[BackendResult]:
    """Runs a detector in all ways that are installed, in turn.

    Args:
        model: `builtin`, or an R-CNN of torchvision's, with random weights.
        size: Width and height of the pictures.
        number: Of pictures; ours takes them at once, torchvision's one by one.
        threads: Of all ways.
        repetitions: How often each one runs.

    Raises:
        InputError: The model is unknown, or there is nothing to measure.
    """
    if min(*size, number, repetitions) < 1:
        raise InputError("pictures, their number and repetitions must be at least 1")
    names = installed_ways()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        job = prepared(model, _pictures(size, number), threads, Path(folder) / "state.pt")
        runners = {name: stack.enter_context(_running(name, job)) for name in names}
        found = {name: runner()[2] for name, runner in runners.items()}  # warms up too
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for repetition in range(repetitions):
            first = repetition % len(names)
            for name in names[first:] + names[:first]:
                spent[name].append(runners[name]()[:2])
    return [_way(name, spent, found, number) for name in names]


def _way(
    name: str,
    spent: Mapping[str, Sequence[tuple[float, float]]],
    found: Mapping[str, list[Detections]],
    number: int,
) -> BackendResult:
    ratio = median(other / mine for (mine, _), (other, _) in zip(spent[name], spent[REFERENCE], strict=True))
    cpu = 1000 * median(busy for _, busy in spent[name]) / number
    equal, boxes = count_equal(zip(found[name], found[REFERENCE], strict=True))
    return BackendResult(
        name, tuple(number / wall for wall, _ in spent[name]), ratio, cpu, equal / max(boxes, 1), boxes
    )


def _pictures(size: tuple[int, int], number: int) -> list[Picture]:
    """The demo's photographs in turn, each time turned round."""
    folder = Path(tracker.__file__).parent / "cli" / "demo_images"
    photographs = [cv2.resize(read_image(folder / name), size) for name in ("astronaut.jpg", "cat.jpg")]
    turned = [*photographs, *(picture[:, ::-1] for picture in photographs)]
    turned += [picture[::-1] for picture in turned]
    return [np.ascontiguousarray(turned[n % len(turned)]).astype(np.uint8) for n in range(number)]


# The network


def prepared(
    model: str,
    pictures: list[Picture],
    threads: int,
    state: Path,
    categories: tuple[str, ...] = CATEGORIES,
    candidates: int = CANDIDATES,
) -> Job:
    """A network's arrays in a file, and the score at which so many boxes of a picture count.

    Args:
        model: As `compare_ways` takes it.
        pictures: On which that score is found.
        threads: Of all ways.
        state: The file.
        categories: Of a network with random weights.
        candidates: Boxes of a picture above the score, before those that overlap are dropped.

    Raises:
        InputError: The model is unknown.
    """
    known = ["builtin", *(name for name in torchvision_names() if "rcnn" in name)]
    if model not in known:
        raise InputError(f"unknown model {model!r}{did_you_mean(model, known)}")
    network: nn.Module
    if model == "builtin":
        arrays, info = read_weights(BUILTIN)
        network = _untrained(info)
        network.load_state_dict(arrays)
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
        network = _untrained(info)
        _calibrate(network, _as_given(pictures[0], info))
    score = _score_of(network.eval(), [_as_given(picture, info) for picture in pictures], candidates)
    torch.save(network.state_dict(), state)
    return Job(info, DetectorConfig(score=score, nms_iou=0.5, threads=threads), state, pictures)


def _untrained(info: ModelInfo) -> nn.Module:
    return build_detector(detector_network(info.network, "the benchmark"), len(info.categories))


def _as_given(picture: Picture, info: ModelInfo) -> Tensor:
    """As our networks take it: float32 (3, H, W) from 0 to 255."""
    image = torch.from_numpy(picture).permute(2, 0, 1)
    if info.size != (0, 0):
        image = F.resize(image, list(resized(image.shape[1], image.shape[2], *info.size)), antialias=True)
    return image.float()


@torch.no_grad()
def _calibrate(network: nn.Module, image: Tensor) -> None:
    """Makes an untrained network say something: values keep their scale from layer to layer, and scores differ."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0  # what is seen counts alone
        norm.reset_running_stats()
    network.eval()
    for norm in norms:
        norm.train()
    network([image])
    network.eval()
    heads = (network.get_submodule("rpn.head.cls_logits"), network.get_submodule("roi_heads.box_predictor.cls_score"))
    for last in heads:
        with _watched(last) as seen:
            network([image])
        last.weight.mul_(SPREAD / torch.cat([logits.flatten() for logits in seen]).std())  # type: ignore[operator]


@torch.no_grad()
def _score_of(network: nn.Module, images: Sequence[Tensor], candidates: int) -> float:
    judge = network.get_submodule("roi_heads.box_predictor.cls_score")
    with _watched(judge) as seen:
        for image in images:
            network([image])
    scores = torch.cat([logits.softmax(1)[:, 1:].flatten() for logits in seen])
    return min(0.99, scores.topk(candidates * len(images)).values[-1].item())


@contextmanager
def _watched(module: nn.Module) -> Iterator[list[Tensor]]:
    """What a module gives, call by call."""
    seen: list[Tensor] = []
    with module.register_forward_hook(lambda module, given, output: seen.append(output)):
        yield seen


# One process


@contextmanager
def _running(name: str, job: Job) -> Iterator[Callable[[], Run]]:
    """A process that runs a job in one way whenever the function is called."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(name, job, there), daemon=True)
    process.start()
    there.close()

    def run() -> Run:
        here.send(None)
        try:
            return here.recv()  # type: ignore[no-any-return]
        except EOFError:
            raise RuntimeError(f"the process of {name} ended; it has said why on stderr") from None

    with closing(here):
        try:
            yield run
        finally:
            here.close()  # the process ends when it hears of nobody any more
            process.join()


def _serve(name: str, job: Job, there: Connection) -> None:
    with ExitStack() as stack:
        find = reference(job) if name == REFERENCE else _ours(job, name, stack)
        while True:
            try:
                there.recv()
                start, busy = perf_counter(), process_time()
                found = find(job.pictures)
                there.send((perf_counter() - start, process_time() - busy, found))
            except (EOFError, BrokenPipeError, KeyboardInterrupt):
                return


def _ours(job: Job, backend: str, stack: ExitStack) -> Find:
    network = fold_batch_norm(_loaded(_untrained(job.info), job))
    set_thresholds(network, job.config)
    if backend != "torch":
        compile_parts(network, backend, False, job.config.threads)
    detector = Detector(network, job.info, CPU, threads=job.config.threads, backend=backend)
    return stack.enter_context(detector).detect


def reference(job: Job) -> Find:
    """Torchvision's network as it comes; the built-in one, which it does not have, as its authors built it."""
    torch.set_num_threads(job.config.threads)
    of_torchvision = job.info.architecture in torchvision_names()
    if of_torchvision:
        network: nn.Module = torchvision.models.get_model(
            job.info.architecture, weights=None, weights_backbone=None, num_classes=len(job.info.categories) + 1
        )
    else:
        network = _untrained(job.info)
    set_thresholds(_loaded(network, job).eval(), job.config)

    @torch.inference_mode()
    def find(pictures: Sequence[Picture]) -> list[Detections]:
        given = [_as_given(picture, job.info) for picture in pictures]
        outputs = [network([image / 255 if of_torchvision else image])[0] for image in given]
        return [_found(*pair) for pair in zip(outputs, zip(given, pictures, strict=True), strict=True)]

    return find


def _loaded(network: nn.Module, job: Job) -> nn.Module:
    network.load_state_dict(torch.load(job.state, weights_only=True))
    return network


def _found(output: Mapping[str, Any], sizes: tuple[Tensor, Picture]) -> Detections:
    image, picture = sizes
    factor = np.array([picture.shape[1] / image.shape[2], picture.shape[0] / image.shape[1]] * 2, np.float32)
    boxes = output["boxes"].numpy() * factor
    return Detections(boxes, output["scores"].numpy(), output["labels"].numpy() - 1)
