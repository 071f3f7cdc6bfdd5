"""Checks annotated images: every label, every file, duplicates, and the number of objects."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.data.annotations.image_set import AnnotatedImage, ImageSet
from tracker.data.annotations.load import LoadedSet, load_with_problems, split_paths
from tracker.data.annotations.schema import Problem
from tracker.data.duplicates import SIZE, Kind, find_duplicates, thumbnail
from tracker.data.image_files import read_image
from tracker.errors import InputError
from tracker.structures.boxes import area

SMALL, MEDIUM = 32.0**2, 96.0**2
"""Areas below which an object is small, or medium, square pixels. Source: Lin et al. 2014, COCO."""


@dataclass(frozen=True, eq=False)
class CheckedSet:
    """The result for one set."""

    path: Path  # the one that was given; for a data.yaml with its split
    image_set: ImageSet  # all images whose header can be read, with their valid labels
    problems: list[Problem]  # malformed labels, and files or splits that are missing or damaged
    notes: list[str]  # sentences about what was left out, mended or assumed, which is no problem


@dataclass(frozen=True)
class DuplicatePair:
    """The name of an image and the path of its set, and those of the earlier image that shows the same."""

    image: str
    dataset: str
    original: str
    original_dataset: str
    kind: Kind


@dataclass(frozen=True, eq=False)
class CheckReport:
    """The result for all sets."""

    sets: list[CheckedSet]
    across_sets: list[DuplicatePair] = field(default_factory=list)  # in different sets
    same_files: list[DuplicatePair] = field(default_factory=list)  # copies of a file in one set
    similar: list[DuplicatePair] = field(default_factory=list)  # other duplicates in one set

    @property
    def clean(self) -> bool:
        """True if nothing was found that spoils a training or its score.

        Images of one set that are only similar, as frames of a video are, do neither.
        """
        return not (self.across_sets or self.same_files or any(checked.problems for checked in self.sets))


@dataclass(frozen=True, eq=False)
class _ImageSummary:
    """The problem of a file ("": none), a digest of its bytes, and a (32, 32) thumbnail."""

    problem: str
    digest: bytes
    thumbnail: NDArray[np.uint8]


def check_image_sets(
    paths: Sequence[Path],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    image_folder: Path | None = None,
) -> CheckReport:
    """Reads sets of annotated images, decodes every image, and compares all with each other.

    A set that cannot be read at all is one problem, as long as there is another one.

    Args:
        paths: Paths as for `read_image_set`; a data.yaml without a split stands for all its splits.
        on_progress: Called with the number of images that are done, and of all.
        image_folder: Folder in which to look for the images before all others.

    Raises:
        InputError: None of the sets can be read.
    """
    sets: list[CheckedSet] = []
    errors: list[InputError] = []
    for path in (path for given in paths for path in split_paths(given)):
        try:
            loaded = load_with_problems(path, {}, image_folder)
        except InputError as error:
            errors.append(error)
            loaded = LoadedSet(ImageSet((), ()), [Problem.from_error(path, error)], [])
        sets.append(CheckedSet(path, loaded.image_set, loaded.problems, loaded.notes))
    if len(errors) == len(sets):
        raise errors[0]
    images = [(number, image) for number, checked in enumerate(sets) for image in checked.image_set.images]
    summaries = _summarize_all([image.path for _, image in images], on_progress)
    valid = []
    for (number, image), summary in zip(images, summaries, strict=True):
        if summary.problem:
            sets[number].problems.append(Problem(str(sets[number].path), summary.problem))
        else:
            valid.append((number, image, summary))
    return _add_duplicates(CheckReport(sets), valid)


def _summarize_all(files: Sequence[Path], on_progress: Callable[[int, int], None]) -> list[_ImageSummary]:
    summaries: list[_ImageSummary] = []
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for summary in pool.map(_summarize, files):
            summaries.append(summary)
            on_progress(len(summaries), len(files))
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C too
    return summaries


def _summarize(file: Path) -> _ImageSummary:
    try:
        digest = hashlib.blake2b(file.read_bytes()).digest()
        return _ImageSummary("", digest, thumbnail(read_image(file)))
    except (InputError, OSError) as error:
        problem = str(error) if isinstance(error, InputError) else f"cannot read the image {file}: {error.strerror}"
        return _ImageSummary(problem, b"", np.zeros((SIZE, SIZE), np.uint8))


def _add_duplicates(report: CheckReport, valid: Sequence[tuple[int, AnnotatedImage, _ImageSummary]]) -> CheckReport:
    """Adds the duplicates to a report: each image once for every set that holds a duplicate of it."""
    thumbnails = np.array([summary.thumbnail for _, _, summary in valid]).reshape(-1, SIZE, SIZE)
    digests = [summary.digest for _, _, summary in valid]
    for index, original, kind in find_duplicates(thumbnails, digests, [number for number, _, _ in valid]):
        (number, image, _), (original_number, original_image, _) = valid[index], valid[original]
        dataset, original_dataset = (str(report.sets[n].path) for n in (number, original_number))
        pair = DuplicatePair(image.name, dataset, original_image.name, original_dataset, kind)
        if number != original_number:
            report.across_sets.append(pair)
        elif kind == "same file":
            report.same_files.append(pair)
        else:
            report.similar.append(pair)
    return report


@dataclass(frozen=True)
class ClassCounts:
    """Counts of one class in one set: objects, images that show one, and images on which it was not annotated."""

    objects: int
    images: int
    unlabeled: int


def class_counts(image_set: ImageSet) -> dict[str, ClassCounts]:
    """Returns the counts of each class of a set."""
    counts = {}
    for label, name in enumerate(image_set.categories):
        per_image = [int((image.labels == label).sum()) for image in image_set.images]
        unlabeled = sum(label in image.unlabeled for image in image_set.images)
        counts[name] = ClassCounts(sum(per_image), sum(number > 0 for number in per_image), unlabeled)
    return counts


@dataclass(frozen=True)
class TotalCounts:
    """Counts of one set: images, those without objects, objects by size, ignored regions, most objects per image."""

    images: int
    empty: int
    objects: int
    small: int
    medium: int
    large: int
    ignored: int
    max_objects: int


def total_counts(image_set: ImageSet) -> TotalCounts:
    """Returns the counts over all classes of a set."""
    per_image = np.array([len(image.boxes) for image in image_set.images], np.int64)
    areas = np.concatenate([area(image.boxes) for image in image_set.images] or [np.zeros(0)])
    small, medium = int((areas < SMALL).sum()), int(((areas >= SMALL) & (areas < MEDIUM)).sum())
    return TotalCounts(
        images=len(per_image),
        empty=int((per_image == 0).sum()),
        objects=len(areas),
        small=small,
        medium=medium,
        large=len(areas) - small - medium,
        ignored=sum(len(image.ignore) for image in image_set.images),
        max_objects=int(per_image.max(initial=0)),
    )
