"""Compares the installed backends of a detector on the CPU."""

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

REPETITIONS = 3


def backend_ratios(config: DetectorConfig, used: str, frames: Sequence[Frame]) -> dict[str, float]:
    """Measures the throughput of each installed backend, as a ratio to the used one, by CPU time.

    The backends take turns, and the median counts. Each backend computes an image on one core, so that CPU time
    compares them as well as wall time does, and also while other programs run.

    Args:
        config: The detector; its own backend is ignored.
        used: The backend that is compared with.
        frames: Frames to detect in each repetition.

    Returns:
        Ratios by backend; empty if only one backend can run the detector, as on a GPU or with an exported file.
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
                detector.detect(images)  # the first images cost more
        seconds = [
            {name: _seconds(detector, images) for name, detector in detectors.items()} for _ in range(REPETITIONS)
        ]
    ratios = {name: median(repetition[used] / repetition[name] for repetition in seconds) for name in detectors}
    return ratios if len(ratios) > 1 else {}


def missing_backends(used: str) -> list[str]:
    """Returns the backends that `auto` prefers to the used one and that are not installed, best first."""
    preferred = takewhile(lambda name: name != used, EXTRAS)
    return [name for name in preferred if find_spec(name) is None or find_spec("onnx") is None]


def _seconds(detector: Detector, images: Sequence[NDArray[np.uint8]]) -> float:
    start = process_time()
    detector.detect(images)
    return process_time() - start
