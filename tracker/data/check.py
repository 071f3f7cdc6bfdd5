"""Checks sets of annotated pictures: every label, every file, what shows twice, and what they hold."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.data.annotations.image_set import AnnotatedImage, ImageSet
from tracker.data.annotations.load import load_with_problems, split_paths
from tracker.data.annotations.schema import Problem
from tracker.data.duplicates import SIDE, Kind, find_twins, thumbnail
from tracker.data.image_files import read_image
from tracker.errors import InputError
from tracker.structures.boxes import area

SMALL, MEDIUM = 32.0**2, 96.0**2
"""Areas below which an object is small, or medium, square pixels. Source: Lin et al. 2014, COCO."""


@dataclass(frozen=True, eq=False)
class Checked:
    """One set.

    Attributes:
        path: As it was given; of a data.yaml with its split.
        pictures: All pictures that have a readable head, with their sound labels.
        problems: Bad labels, and files that are missing or damaged.
    """

    path: Path
    pictures: ImageSet
    problems: list[Problem]


@dataclass(frozen=True)
class Copies:
    """A picture and another one that shows the same; `where` and `others` are the sets that they belong to."""

    name: str
    where: str
    other: str
    others: str
    kind: Kind


@dataclass(frozen=True, eq=False)
class Check:
    """All sets, and the pictures that show the same: in two sets, in files of one set, and in one set otherwise."""

    sets: list[Checked]
    across: list[Copies] = field(default_factory=list)
    same_files: list[Copies] = field(default_factory=list)
    similar: list[Copies] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether there is nothing that spoils a training or its score.

        Pictures of one set that are only similar, as frames of a video are, do neither.
        """
        return not (self.across or self.same_files or any(checked.problems for checked in self.sets))


@dataclass(frozen=True, eq=False)
class _Look:
    """What a file is like: its problem ("": none), a digest of its bytes, and a (32, 32) thumbnail."""

    problem: str
    digest: bytes
    thumbnail: NDArray[np.uint8]


def check_pictures(paths: Sequence[Path], watch: Callable[[int, int], None] = lambda done, total: None) -> Check:
    """Reads sets of annotated pictures, decodes every picture, and compares all with each other.

    Args:
        paths: As `read_pictures` takes them; a data.yaml without a split stands for all its splits.
        watch: Called with the number of pictures looked at, and of all.

    Raises:
        InputError: A path holds nothing that can be read.
    """
    sets = [Checked(path, *load_with_problems(path, {})) for given in paths for path in split_paths(given)]
    pictures = [(number, picture) for number, checked in enumerate(sets) for picture in checked.pictures.pictures]
    looks = _looks([picture.path for _, picture in pictures], watch)
    sound = []
    for (number, picture), look in zip(pictures, looks, strict=True):
        if look.problem:
            sets[number].problems.append(Problem(str(sets[number].path), look.problem))
        else:
            sound.append((number, picture, look))
    return _with_copies(Check(sets), sound)


def _looks(files: Sequence[Path], watch: Callable[[int, int], None]) -> list[_Look]:
    looks: list[_Look] = []
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for look in pool.map(_look, files):
            looks.append(look)
            watch(len(looks), len(files))
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C too
    return looks


def _look(file: Path) -> _Look:
    try:
        digest = hashlib.blake2b(file.read_bytes()).digest()
        return _Look("", digest, thumbnail(read_image(file)))
    except InputError as error:
        return _Look(str(error), b"", np.zeros((SIDE, SIDE), np.uint8))
    except OSError as error:
        return _Look(f"cannot read the picture {file}: {error.strerror}", b"", np.zeros((SIDE, SIDE), np.uint8))


def _with_copies(check: Check, sound: Sequence[tuple[int, AnnotatedImage, _Look]]) -> Check:
    """The check, with the pictures that show the same: each named once for every set that holds one like it."""
    thumbnails = np.array([look.thumbnail for _, _, look in sound]).reshape(-1, SIDE, SIDE)
    twins = find_twins(thumbnails, [look.digest for _, _, look in sound], [number for number, _, _ in sound])
    for later, earlier, kind in twins:
        (where, picture, _), (others, other, _) = sound[later], sound[earlier]
        copies = Copies(picture.name, str(check.sets[where].path), other.name, str(check.sets[others].path), kind)
        if where != others:
            check.across.append(copies)
        elif kind == "same file":
            check.same_files.append(copies)
        else:
            check.similar.append(copies)
    return check


@dataclass(frozen=True)
class ClassCounts:
    """Of one class in one set: objects, pictures that show one, and pictures on which it was not annotated."""

    objects: int
    pictures: int
    unlabelled: int


def class_counts(pictures: ImageSet) -> dict[str, ClassCounts]:
    """Counts for each class of a set."""
    counts = {}
    for label, name in enumerate(pictures.categories):
        found = [int((picture.labels == label).sum()) for picture in pictures.pictures]
        unlabelled = sum(label in picture.unlabelled for picture in pictures.pictures)
        counts[name] = ClassCounts(sum(found), sum(number > 0 for number in found), unlabelled)
    return counts


@dataclass(frozen=True)
class Totals:
    """Of one set: pictures, those without objects, objects by size, regions to be ignored, most objects on one."""

    pictures: int
    empty: int
    objects: int
    small: int
    medium: int
    large: int
    ignored: int
    most: int


def totals(pictures: ImageSet) -> Totals:
    """Counts over all classes of a set."""
    numbers = np.array([len(picture.boxes) for picture in pictures.pictures], np.int64)
    areas = np.concatenate([area(picture.boxes) for picture in pictures.pictures] or [np.zeros(0)])
    small, medium = int((areas < SMALL).sum()), int(((areas >= SMALL) & (areas < MEDIUM)).sum())
    return Totals(
        pictures=len(numbers),
        empty=int((numbers == 0).sum()),
        objects=len(areas),
        small=small,
        medium=medium,
        large=len(areas) - small - medium,
        ignored=sum(len(picture.ignore) for picture in pictures.pictures),
        most=int(numbers.max(initial=0)),
    )
