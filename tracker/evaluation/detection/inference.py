"""Runs a detector over annotated pictures."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from tracker.data import ImageSet, read_image, read_pictures
from tracker.errors import InputError
from tracker.models.detection import Detector
from tracker.structures.types import Detections

log = logging.getLogger(__name__)

NAMED = 12  # class names in a message, at most


def pictures_for(detector: Detector, path: Path, rename: Mapping[str, str]) -> ImageSet:
    """Reads annotated pictures with the labels of a detector, for those of its classes that it is to find.

    Objects of classes that the detector does not know are left out; classes of the detector that the pictures do not
    know count as not annotated.

    Args:
        detector: Its classes are matched by name.
        path: See `read_pictures`.
        rename: {a class of the pictures: the detector's name for it}.

    Raises:
        InputError: As `read_pictures`; a name is unknown, or no class of the pictures is one of the detector's.
    """
    categories = detector.info.categories
    wanted = {categories[label] for label in detector.keep}
    for name in rename.values():
        if name not in categories:
            raise InputError(f"the detector does not know {name!r}; it knows {_list(categories)}")
    pictures = read_pictures(path, {})
    names = {**{name: name for name in pictures.categories}, **rename}
    strange = [name for name in pictures.categories if names[name] not in categories]
    kept = {theirs: ours for theirs, ours in names.items() if ours in wanted}
    if not kept:
        raise InputError(
            f"no class of {path} ({_list(pictures.categories)}) is one that the detector finds "
            f"({_list(sorted(wanted))}): say what is the same with --rename.THEIRS OURS"
        )
    if strange:
        log.warning("the detector does not know %s: such objects are left out", _list(strange))
    if tuple(kept) != pictures.categories or tuple(kept.values()) != pictures.categories:
        pictures = read_pictures(path, kept)
    absent = [name for name in categories if name in wanted and name not in pictures.categories]
    if absent:
        log.warning("the pictures do not know %s: not scored", _list(absent))
    return pictures.with_categories(categories)


def detect_pictures(
    detector: Detector, pictures: ImageSet, batch_size: int, watch: Callable[[int], None]
) -> tuple[list[Detections], list[float]]:
    """Finds the objects of all pictures; the next ones are read meanwhile.

    Args:
        detector: The detector.
        pictures: Of any sizes.
        batch_size: Pictures detected at a time.
        watch: Is told how many are done.

    Returns:
        The detections of each picture, and the seconds that finding took: each one's share of its batch.

    Raises:
        InputError: A picture cannot be read.
    """
    found: list[Detections] = []
    seconds: list[float] = []
    paths = [picture.path for picture in pictures.pictures]
    with ThreadPoolExecutor(1, "read") as reader:
        waiting = reader.submit(_read, paths[:batch_size])
        for done in range(0, len(paths), batch_size):
            images = waiting.result()
            waiting = reader.submit(_read, paths[done + batch_size : done + 2 * batch_size])
            start = perf_counter()
            found += detector.detect(images)
            seconds += [(perf_counter() - start) / len(images)] * len(images)
            watch(len(found))
    return found, seconds


def _read(paths: Sequence[Path]) -> list[NDArray[np.uint8]]:
    return [read_image(path) for path in paths]


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
