"""Runs a detector on annotated images."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from tracker.data import ImageSet, read_image, read_image_set
from tracker.errors import InputError
from tracker.models.detection import Detector
from tracker.structures.types import Detections

log = logging.getLogger(__name__)

MAX_NAMES = 12  # class names in a message


def read_eval_images(
    detector: Detector, path: Path, rename_classes: Mapping[str, str], images: Path | None = None
) -> ImageSet:
    """Reads annotated images with the labels of a detector, for the classes that it is configured to detect.

    Objects of classes that the detector does not know are left out; classes of the detector that the dataset does not
    know count as not annotated.

    Args:
        detector: Its classes are matched by name.
        path: See `read_image_set`.
        rename_classes: {a class of the dataset: the detector's name for it}; other classes keep their names.
        images: Folder in which to look for the images before all others.

    Raises:
        InputError: See `read_image_set`; or a name is unknown, or the dataset and the detector have no class in common.
    """
    categories = detector.info.categories
    detected = {categories[label] for label in detector.class_ids}
    for name in rename_classes.values():
        if name not in categories:
            raise InputError(f"the detector does not know {name!r}; it knows {_list(categories)}")
    dataset = read_image_set(path, {}, images)
    names = {**{name: name for name in dataset.categories}, **rename_classes}
    unknown = [name for name in dataset.categories if names[name] not in categories]
    selected = {name: renamed for name, renamed in names.items() if renamed in detected}
    if not selected:
        raise InputError(
            f"no class of {path} ({_list(dataset.categories)}) is one that the detector detects "
            f"({_list(sorted(detected))}): map the names with --rename-classes.DATASET_NAME DETECTOR_NAME"
        )
    if unknown:
        log.warning("the detector does not know %s: these objects are left out", _list(unknown))
    if tuple(selected) != dataset.categories or tuple(selected.values()) != dataset.categories:
        dataset = read_image_set(path, selected, images, tell=False)
    missing = [name for name in categories if name in detected and name not in dataset.categories]
    if missing:
        log.warning("the dataset does not know %s: not evaluated", _list(missing))
    return dataset.with_categories(categories)


def detect_images(
    detector: Detector, dataset: ImageSet, batch_size: int, on_progress: Callable[[int], None]
) -> tuple[list[Detections], list[float]]:
    """Detects the objects of all images; the next batch is read in the background.

    Args:
        detector: The detector.
        dataset: Images of any sizes.
        batch_size: Images detected at a time.
        on_progress: Called with the number of images that are done.

    Returns:
        The detections of each image, and the time of detection of each image in seconds: its batch's, divided evenly.

    Raises:
        InputError: An image cannot be read.
    """
    predictions: list[Detections] = []
    seconds: list[float] = []
    paths = [image.path for image in dataset.images]
    with ThreadPoolExecutor(1, "read") as reader:
        next_images = reader.submit(_read, paths[:batch_size])
        for first in range(0, len(paths), batch_size):
            images = next_images.result()
            next_images = reader.submit(_read, paths[first + batch_size : first + 2 * batch_size])
            start = perf_counter()
            predictions += detector.detect(images)
            seconds += [(perf_counter() - start) / len(images)] * len(images)
            on_progress(len(predictions))
    return predictions, seconds


def _read(paths: Sequence[Path]) -> list[NDArray[np.uint8]]:
    return [read_image(path) for path in paths]


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more
