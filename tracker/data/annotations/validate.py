"""Judges annotations: which labels are bad, which classes they become, and what of them is learned."""

import logging
from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from tracker.data.annotations.image_set import AnnotatedImage, ImageSet
from tracker.data.annotations.schema import Annotated, Annotations, Box, Object, Problem
from tracker.data.image_files import image_size
from tracker.errors import InputError, did_you_mean
from tracker.structures.boxes import clip

log = logging.getLogger(__name__)

ROUNDING = 2.0  # pixels by which a box may stick out of its picture, and is clipped


def judged(annotations: Annotations, classes: Mapping[str, str]) -> tuple[ImageSet, list[Problem]]:
    """The pictures with what is sound of their labels, and what is wrong.

    Args:
        annotations: As they were read.
        classes: See `read_pictures`.

    Returns:
        The pictures that can be opened, and all problems: the annotations' own first.

    Raises:
        InputError: `classes` names no class that is there.
    """
    known = annotations.categories
    unknown = [name for name in classes if name not in known]
    if classes and len(unknown) == len(classes):
        raise InputError(f"there is no class {unknown[0]!r}{did_you_mean(unknown[0], list(known))}")
    for name in unknown:
        log.warning("some pictures have no class %r to be mapped%s", name, did_you_mean(name, list(known)))
    judge = _Judge(annotations, classes or {name: name for name in known})
    pictures = tuple(picture for annotated in annotations.pictures for picture in judge.judged(annotated))
    return ImageSet(judge.categories, pictures), judge.problems


class _Judge:
    def __init__(self, annotations: Annotations, names: Mapping[str, str]) -> None:
        self.problems = list(annotations.problems)
        self.categories = tuple(dict.fromkeys(name for name in names.values() if name))
        self._known = annotations.categories
        self._names = names
        # What none of the set's own classes becomes was not annotated in it.
        present = {names.get(name) for name in annotations.categories}
        self._absent = {label for label, name in enumerate(self.categories) if name not in present}

    def judged(self, annotated: Annotated) -> list[AnnotatedImage]:
        """One picture, or none where its file cannot be opened."""
        try:
            size = image_size(annotated.path)
        except InputError as error:
            self.problems.append(Problem(str(annotated.source), str(error)))
            return []
        if min(annotated.size) > 0 and annotated.size != size:
            said, real = (f"{width}x{height}" for width, height in (annotated.size, size))
            self._add(annotated, "size", f"the picture is said to be {said}, and is {real} (upright, as its EXIF says)")
            return []
        return [self._picture(annotated, *size)]

    def _picture(self, annotated: Annotated, width: int, height: int) -> AnnotatedImage:
        scale = (width, height) if annotated.shares else (1, 1)
        learned: list[Object] = []
        ignored: list[Object] = []
        for thing in annotated.objects:
            wrong = box_error(_scaled(thing.box, scale), width, height) or self._unknown(thing)
            if wrong:
                self._add(annotated, thing.place, wrong)
            elif thing.ignored or self._names.get(thing.name) == "":
                ignored.append(thing)
            elif thing.name in self._names:
                learned.append(thing)
        factor = np.array(scale, np.float32)
        return AnnotatedImage(
            name=annotated.name,
            path=annotated.path,
            boxes=_boxes(learned, scale, width, height),
            labels=np.array([self._label_of(thing.name) for thing in learned], np.int64),
            outlines=tuple(tuple(polygon * factor for polygon in thing.outline) for thing in learned),
            ignore=_boxes(ignored, scale, width, height),
            unlabelled=self._unlabelled(annotated),
        )

    def _add(self, annotated: Annotated, place: str, what: str) -> None:
        self.problems.append(Problem(f"{annotated.source}, {place} ({annotated.name})", what))

    def _unknown(self, thing: Object) -> str:
        return "" if thing.ignored or thing.name in self._known else f"there is no class {thing.name!r}"

    def _label_of(self, name: str) -> int:
        return self.categories.index(self._names[name])

    def _unlabelled(self, annotated: Annotated) -> tuple[int, ...]:
        for name in annotated.unlabelled:
            if name not in self._known:
                self._add(annotated, "unlabelled", f"there is no class {name!r}")
        named = {self._label_of(name) for name in annotated.unlabelled if self._names.get(name)}
        return tuple(sorted(named | self._absent))


def _scaled(box: Box, scale: tuple[int, int]) -> Box:
    (x1, y1, x2, y2), (width, height) = box, scale
    return x1 * width, y1 * height, x2 * width, y2 * height


def _boxes(things: Sequence[Object], scale: tuple[int, int], width: int, height: int) -> NDArray[np.float32]:
    rows = np.array([_scaled(thing.box, scale) for thing in things], np.float32).reshape(-1, 4)
    return clip(rows, width, height).astype(np.float32)


def box_error(box: Box, width: int, height: int) -> str:
    """What is wrong with a box, xyxy, in a picture of width x height pixels; nothing: ""."""
    x1, y1, x2, y2 = box
    text = "(" + ", ".join(f"{value:g}" for value in box) + ")"
    if not all(map(isfinite, box)):
        return f"the box {text} is not four finite numbers"
    if x2 <= x1 or y2 <= y1:
        return f"the box {text} has no area"
    outside = max(-x1, -y1, x2 - width, y2 - height) > ROUNDING
    if outside or x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        return f"the box {text} reaches out of its picture of {width}x{height}"
    return ""
