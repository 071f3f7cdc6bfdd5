"""Splits annotated images into a training and a validation part that have no scene in common, as far as names tell."""

import re
from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.data.annotations.image_set import AnnotatedImage, ImageSet
from tracker.data.annotations.locate import UPLOAD_PREFIX
from tracker.data.image_files import natural_sort_key
from tracker.errors import InputError

_ROBOFLOW = re.compile(r"[_.](?:jpe?g|png|bmp|webp|tiff?)\.rf\.[0-9A-Za-z]+$", re.IGNORECASE)
"""End of the names of Roboflow's images: those of one original differ in it alone."""
_NUMBER_AT_END = re.compile(r"[\W_]*\d+$")


def split_image_set(image_set: ImageSet, fraction: float) -> tuple[ImageSet, ImageSet, str]:
    """Splits images into a training and a validation part; the same images are always split alike.

    A scene is a folder and a name without the number at its end: clip1_0001.jpg and clip1_0002.jpg are of one scene,
    and so are Roboflow's copies of one image. Whole scenes are held out, in such a way that each class stays in the
    training part. Where names tell no scenes, or scenes are classes (dog_1.jpg), the last images are held out, so that
    frames that follow each other stay together as far as possible.

    Args:
        image_set: All images.
        fraction: The fraction of them, from 0 to 1, that is held out; about so many are.

    Returns:
        The training part, the validation part, and a sentence that says what was held out.

    Raises:
        InputError: There are fewer than two images.
    """
    images = image_set.images
    if len(images) < 2:
        raise InputError("a single image cannot be split into training and validation: label more, or give val")
    count = min(max(1, round(fraction * len(images))), len(images) - 1)
    names = [scene_name(image.path) for image in images]
    scenes = [group for _, group in sorted((names[group[0]], group) for group in _groups(names))]
    is_val = _whole_scenes(images, scenes, count) if len(scenes) > 1 else None
    if is_val is not None:
        held_out = sum(is_val[rows[0]] for rows in scenes)
        rule = f"{held_out} of {len(scenes)} scenes, by their names"
    else:
        is_val, rule = _last_of_each(images, count)
    val = [image for image, held in zip(images, is_val, strict=True) if held]
    train = [image for image, held in zip(images, is_val, strict=True) if not held]
    sentence = f"{len(val)} of {len(images)} images are held out for validation: {rule}"
    categories = image_set.categories
    return ImageSet(categories, tuple(train)), ImageSet(categories, tuple(val)), sentence


def scene_name(path: Path) -> tuple[str, str]:
    """Returns the folder and the name of the scene that an image is of.

    Example:
        >>> scene_name(Path("a/clip1_0001.jpg")) == scene_name(Path("a/clip1_0002_jpg.rf.5Xy.jpg"))
        True
    """
    stem = UPLOAD_PREFIX.sub("", _ROBOFLOW.sub("", path.stem))
    return str(path.parent), _NUMBER_AT_END.sub("", stem)


def _groups(keys: Sequence[Hashable]) -> list[list[int]]:
    """Returns the indices of equal keys, in the order of the first of each."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        groups[key].append(index)
    return list(groups.values())


def _whole_scenes(
    images: Sequence[AnnotatedImage], scenes: Sequence[Sequence[int]], count: int
) -> NDArray[np.bool_] | None:
    """Returns, bool (N,), which images are held out; None if no choice of scenes leaves each class in training.

    Scenes are taken in an order that their names do not influence, as long as they bring the number closer to `count`.
    """
    remaining: dict[int, int] = defaultdict(int)
    for image in images:
        for label in set(image.labels.tolist()):
            remaining[label] += 1
    is_val = np.zeros(len(images), np.bool_)
    for number in np.random.default_rng(0).permutation(len(scenes)).tolist():
        rows = list(scenes[number])
        held = int(is_val.sum())
        labels = [label for row in rows for label in set(images[row].labels.tolist())]
        leaves_all = all(remaining[label] > labels.count(label) for label in set(labels))
        if leaves_all and abs(held + len(rows) - count) < abs(held - count):
            is_val[rows] = True
            for label in labels:
                remaining[label] -= 1
    return (
        is_val
        if is_val.any() and any(len(image.boxes) for image, held in zip(images, is_val, strict=True) if held)
        else None
    )


def _last_of_each(images: Sequence[AnnotatedImage], count: int) -> tuple[NDArray[np.bool_], str]:
    """Holds the last images out or, where one part would then lack a class, the last ones with each set of classes."""
    order = sorted(range(len(images)), key=lambda row: natural_sort_key(images[row].path))
    is_val = np.zeros(len(images), np.bool_)
    is_val[order[len(order) - count :]] = True
    if _have_same_classes(images, is_val):
        return is_val, "the last ones by name, since the names tell no scenes"
    is_val[:] = False
    by_classes = _groups([tuple(sorted(set(images[row].labels.tolist()))) for row in order])
    for group in by_classes:
        held = min(round(count / len(images) * len(group)), len(group) - 1)
        is_val[[order[position] for position in group[len(group) - held :]]] = True
    if not is_val.any():
        is_val[order[-count:]] = True
    return is_val, "the last ones by name of each class, since the names tell no scenes"


def _have_same_classes(images: Sequence[AnnotatedImage], is_val: NDArray[np.bool_]) -> bool:
    parts: tuple[set[int], set[int]] = (set(), set())
    for image, held in zip(images, is_val, strict=True):
        parts[int(held)].update(image.labels.tolist())
    return parts[0] == parts[1]
