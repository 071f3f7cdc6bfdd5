"""What is known of annotated pictures, in whatever form they were annotated."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Outline = tuple[NDArray[np.float32], ...]
"""The polygons of one object, (P, 2) x y pixels each; none where only its box is known."""


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One annotated file.

    Attributes:
        name: What its annotation calls it, for messages.
        path: The file.
        boxes: float32 (N, 4) xyxy pixels.
        labels: int64 (N,), indices into the categories.
        outlines: Of each of the N objects.
        ignore: float32 (K, 4) xyxy, crowds and difficult objects: what is found there is neither right nor wrong.
        unlabelled: Labels that were not annotated here: such objects are neither background nor false alarms.
    """

    name: str
    path: Path
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    outlines: tuple[Outline, ...]
    ignore: NDArray[np.float32]
    unlabelled: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Annotated pictures and the class names that their labels stand for."""

    categories: tuple[str, ...]
    pictures: tuple[AnnotatedImage, ...]

    def with_categories(self, categories: tuple[str, ...]) -> "ImageSet":
        """The same pictures with labels that are indices into other categories, which hold all of the present ones.

        A class that the pictures do not know was not annotated on them.
        """
        numbers = np.array([categories.index(name) for name in self.categories], np.int64)
        absent = tuple(label for label, name in enumerate(categories) if name not in self.categories)

        def renumbered(picture: AnnotatedImage) -> AnnotatedImage:
            unlabelled = tuple(sorted((*numbers[list(picture.unlabelled)].tolist(), *absent)))
            return replace(picture, labels=numbers[picture.labels], unlabelled=unlabelled)

        return ImageSet(categories, tuple(map(renumbered, self.pictures)))
