"""Annotations as a file states them, before they are validated: the common form of all formats."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tracker.data.annotations.image_set import Segmentation
from tracker.data.coco_file import Box
from tracker.errors import InputError


class Problem(NamedTuple):
    """Something wrong with annotations or images."""

    location: str  # the file, and the line or the number in it
    message: str

    def __str__(self) -> str:
        return f"{self.location}: {self.message}"

    @classmethod
    def from_error(cls, file: Path, error: InputError) -> "Problem":
        """Returns the problem that an error about a file tells; its message may begin with "FILE, line N: "."""
        name, text = str(file), str(error)
        if not text.startswith(name):
            return cls(name, text)
        position, _, message = text.removeprefix(name).partition(": ")
        return cls(f"{name}{position}", message) if position.startswith(",") or not position else cls(name, text)


class ObjectRecord(NamedTuple):
    """An annotated object."""

    position: str  # in the file: "line 12", "annotation 7"
    category: str  # the class name in the file
    box: Box  # x1 y1 x2 y2, pixels from 0 at the edge of the image; not validated
    segmentation: Segmentation = ()
    ignore: bool = False  # a crowd or a difficult object, which is neither learned nor scored


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """An image as its annotation describes it."""

    name: str  # in the annotation
    path: Path
    source: Path  # the file of annotations
    size: tuple[int, int]  # width and height, pixels; (0, 0) where the annotation does not say
    objects: Sequence[ObjectRecord]
    unlabeled: tuple[str, ...] = ()  # names of classes that were not annotated in this image
    normalized: bool = False  # boxes and polygons are relative to width and height, from 0 to 1, instead of pixels
    problem: str = ""  # why the image cannot be used, such as that two files have its name; "" if nothing is known


@dataclass(frozen=True, eq=False)
class Annotations:
    """A set of annotated images, and what could not be parsed.

    Attributes:
        categories: The class names.
        images: The images.
        problems: What has to be mended before a training.
        notes: Sentences about what was left out, mended or assumed, which hinders no training.
    """

    categories: tuple[str, ...]
    images: list[ImageRecord]
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
