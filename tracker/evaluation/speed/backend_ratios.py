"""What else could compute a detector on this CPU, and how fast that would be."""

from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import takewhile
from statistics import median
from time import process_time

import numpy as np
from numpy.typing import NDArray

from tracker.config import DetectorConfig
from tracker.errors import InputError
from tracker.models.detection import Detector, load_detector
from tracker.models.runtime.backends import EXTRAS
from tracker.structures.types import Frame

ROUNDS = 3


def backend_ratios(config: DetectorConfig, used: str, frames: Sequence[Frame]) -> dict[str, float]:
    """How fast each installed backend detects, over the one that is used, by their CPU time.

    They take turns, and medians count. As each picture is computed by one core whatever the backend, CPU time tells
    them apart as well as the clock does, also where other programs are at work.

    Args:
        config: Of the detector; its own backend is left aside.
        used: The backend with which the others are compared.
        frames: What to look at in each turn.

    Returns:
        By backend; nothing where the detector runs with one alone, as on a GPU or from an exported file.
    """
    images = [frame.image for frame in frames]
    with ExitStack() as stack:
        detectors: dict[str, Detector] = {}
        for name in dict.fromkeys((used, *EXTRAS, "torch")):
            try:
                detector = stack.enter_context(load_detector(config.model_copy(update={"backend": name})))
            except InputError:  # not installed, or not for this device, precision or file
                continue
            if detector.device.type == "cpu" and detector.backend == name:
                detectors[name] = detector
                detector.detect(images)  # the first ones cost more
        turns = [{name: _seconds(detector, images) for name, detector in detectors.items()} for _ in range(ROUNDS)]
    ratios = {name: median(turn[used] / turn[name] for turn in turns) for name in detectors}
    return ratios if len(ratios) > 1 else {}


def missing_backends(used: str) -> list[str]:
    """Backends that `auto` would take before the one that is used, and that are not installed, the first one first."""
    before = takewhile(lambda name: name != used, EXTRAS)
    return [name for name in before if find_spec(name) is None or find_spec("onnx") is None]


def _seconds(detector: Detector, images: Sequence[NDArray[np.uint8]]) -> float:
    start = process_time()
    detector.detect(images)
    return process_time() - start
