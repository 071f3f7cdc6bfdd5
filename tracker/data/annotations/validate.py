"""Validation of annotations: finds malformed labels, maps classes, and decides what is learned."""

import logging
from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from tracker.data.annotations.image_set import AnnotatedImage, ImageSet
from tracker.data.annotations.schema import Annotations, ImageRecord, ObjectRecord, Problem
from tracker.data.broken_images import check_image
from tracker.data.coco_file import Box
from tracker.errors import InputError, did_you_mean
from tracker.structures.boxes import clip

log = logging.getLogger(__name__)

TOLERANCE = 2.0  # pixels by which a box may extend beyond its image, and is clipped


SAME_BOX = 0.01  # pixels up to which two boxes of one class are the same row, written twice


def validate_annotations(
    annotations: Annotations, classes: Mapping[str, str]
) -> tuple[ImageSet, list[Problem], list[str]]:
    """Returns the images that can be opened, with their valid labels, the problems, and what was mended.

    The problems of `annotations` come first. Objects that are written twice count once.

    Raises:
        InputError: `classes` (see `read_image_set`) names no existing class.
    """
    known = annotations.categories
    unknown = [name for name in classes if name not in known]
    if classes and len(unknown) == len(classes):
        raise InputError(f"there is no class {unknown[0]!r}{did_you_mean(unknown[0], list(known))}")
    for name in unknown:
        log.warning("some images have no class %r to be mapped%s", name, did_you_mean(name, list(known)))
    validator = _Validator(annotations, classes or {name: name for name in known})
    images = tuple(image for record in annotations.images for image in validator.validate(record))
    return ImageSet(validator.categories, images), validator.problems, validator.notes()


class _Validator:
    def __init__(self, annotations: Annotations, names: Mapping[str, str]) -> None:
        self.problems = list(annotations.problems)
        self._repeated: list[str] = []  # where objects are written again
        self.categories = tuple(dict.fromkeys(name for name in names.values() if name))
        self._known = annotations.categories
        self._names = names
        # A category that none of the set's own classes is mapped to was not annotated in it.
        present = {names.get(name) for name in annotations.categories}
        self._absent = {label for label, name in enumerate(self.categories) if name not in present}

    def notes(self) -> list[str]:
        """Returns a sentence about the objects that are written twice, if there are any."""
        if not self._repeated:
            return []
        return [f"{len(self._repeated)} objects are written twice, and count once: the first is {self._repeated[0]}"]

    def validate(self, record: ImageRecord) -> list[AnnotatedImage]:
        """Returns the image, or nothing if its file cannot be opened."""
        if record.problem:
            self.problems.append(Problem(str(record.source), record.problem))
            return []
        try:
            size = check_image(record.path)
        except InputError as error:
            self.problems.append(Problem(str(record.source), str(error)))
            return []
        if min(record.size) > 0 and record.size != size:
            stated, actual = (f"{width}x{height}" for width, height in (record.size, size))
            message = f"the image is said to be {stated}, and is {actual} (upright, as its EXIF says)"
            self._add_problem(record, "size", message)
            return []
        return [self._image(record, *size)]

    def _image(self, record: ImageRecord, width: int, height: int) -> AnnotatedImage:
        scale = (width, height) if record.normalized else (1, 1)
        objects: list[ObjectRecord] = []
        ignored: list[ObjectRecord] = []
        seen: set[tuple[object, ...]] = set()
        for item in record.objects:
            box = _scale(item.box, scale)
            if error := box_error(box, width, height) or _polygon_error(item):
                self._add_problem(record, item.position, error)
            elif self._is_repeated(item, box, seen):
                self._repeated.append(f"{record.source}, {item.position} ({record.name})")
            elif not item.ignore and item.category not in self._known:
                self._add_problem(record, item.position, f"there is no class {item.category!r}")
            elif item.ignore or self._names.get(item.category) == "":
                ignored.append(item)
            elif item.category in self._names:
                objects.append(item)
        factor = np.array(scale, np.float32)
        return AnnotatedImage(
            name=record.name,
            path=record.path,
            boxes=_boxes(objects, scale, width, height),
            labels=np.array([self._label(item.category) for item in objects], np.int64),
            segmentations=tuple(tuple(polygon * factor for polygon in item.segmentation) for item in objects),
            ignore=_boxes(ignored, scale, width, height),
            unlabeled=self._unlabeled(record),
        )

    def _is_repeated(self, item: ObjectRecord, box: Box, seen: set[tuple[object, ...]]) -> bool:
        key = (item.category, item.ignore, *(round(value / SAME_BOX) for value in box))
        is_repeated = key in seen
        seen.add(key)
        return is_repeated

    def _add_problem(self, record: ImageRecord, position: str, message: str) -> None:
        self.problems.append(Problem(f"{record.source}, {position} ({record.name})", message))

    def _label(self, category: str) -> int:
        return self.categories.index(self._names[category])

    def _unlabeled(self, record: ImageRecord) -> tuple[int, ...]:
        for name in record.unlabeled:
            if name not in self._known:
                self._add_problem(record, "unlabelled", f"there is no class {name!r}")
        labels = {self._label(name) for name in record.unlabeled if self._names.get(name)}
        return tuple(sorted(labels | self._absent))


def _scale(box: Box, scale: tuple[int, int]) -> Box:
    (x1, y1, x2, y2), (width, height) = box, scale
    return x1 * width, y1 * height, x2 * width, y2 * height


def _boxes(objects: Sequence[ObjectRecord], scale: tuple[int, int], width: int, height: int) -> NDArray[np.float32]:
    boxes = np.array([_scale(item.box, scale) for item in objects], np.float32).reshape(-1, 4)
    return clip(boxes, width, height).astype(np.float32)


def _polygon_error(item: ObjectRecord) -> str:
    is_finite = all(np.isfinite(polygon).all() for polygon in item.segmentation)
    return "" if is_finite else "its polygon is not of finite numbers"


def box_error(box: Box, width: int, height: int) -> str:
    """Returns what is wrong with an xyxy box in an image of width x height pixels; "" if nothing is."""
    x1, y1, x2, y2 = box
    text = "(" + ", ".join(f"{value:g}" for value in box) + ")"
    if not all(map(isfinite, box)):
        return f"the box {text} is not four finite numbers"
    if x2 <= x1 or y2 <= y1:
        return f"the box {text} has no area"
    is_outside = max(-x1, -y1, x2 - width, y2 - height) > TOLERANCE
    if is_outside or x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        return f"the box {text} reaches out of its image of {width}x{height}"
    return ""
