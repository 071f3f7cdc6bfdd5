"""What a file of annotations says, before it is judged: the common form of all layouts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

from tracker.data.annotations.image_set import Outline

Box = tuple[float, float, float, float]


class Problem(NamedTuple):
    """Something wrong with annotations or pictures: where (file, and line or number), and what."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class Object(NamedTuple):
    """One annotated object.

    Attributes:
        place: Where it is written inside its file: "line 12", "annotation 7".
        name: Of its class, as the annotation has it.
        box: x1 y1 x2 y2, pixels, 0 at the picture's edge; not yet known to be sane.
        outline: Its polygons, (P, 2) x y pixels each; none where only the box is known.
        ignored: A crowd, or difficult: found or not, it does not count.
    """

    place: str
    name: str
    box: Box
    outline: Outline = ()
    ignored: bool = False


@dataclass(frozen=True, eq=False)
class Annotated:
    """One picture as its annotation describes it.

    Attributes:
        name: What the annotation calls it.
        path: The file.
        source: The file of annotations.
        size: Width and height, pixels; (0, 0) where the annotation does not say.
        objects: What is on it.
        unlabelled: Names of classes that were not annotated in this picture.
        shares: Whether boxes and outlines are shares of width and height instead of pixels.
    """

    name: str
    path: Path
    source: Path
    size: tuple[int, int]
    objects: Sequence[Object]
    unlabelled: tuple[str, ...] = ()
    shares: bool = False


@dataclass(frozen=True, eq=False)
class Annotations:
    """A set of annotated pictures, and what could not even be read."""

    categories: tuple[str, ...]
    pictures: list[Annotated]
    problems: list[Problem] = field(default_factory=list)


def number(value: Any) -> float:
    """A number or its text; NaN, which no check lets pass, for anything else."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return nan


def xyxy(xywh: Sequence[float]) -> Box:
    """Left, top, width and height as a box; NaN where they are not four."""
    if len(xywh) != 4:
        return nan, nan, nan, nan
    x, y, width, height = xywh
    return x, y, x + width, y + height
