"""Annotated images, independent of the format that they were annotated in."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Segmentation = tuple[NDArray[np.float32], ...]
"""The polygons of one object, (P, 2) x y pixels each; none where only its box is known."""


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image file with its N objects.

    Attributes:
        name: Its name in the annotation, for messages.
        path: The file.
        boxes: float32 (N, 4) xyxy pixels.
        labels: int64 (N,), indices into the categories.
        segmentations: Polygons of each of the N objects.
        ignore: float32 (K, 4) xyxy, crowds and difficult objects: detections of them are not scored.
        unlabeled: Labels that were not annotated here: such objects are neither background nor false positives.
        uncertain: float32 (U, 4) xyxy, boxes that may show an object: a detector takes its class there neither for
            an object nor for background in training.
        uncertain_labels: int64 (U,), the class of each.
    """

    name: str
    path: Path
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    segmentations: tuple[Segmentation, ...]
    ignore: NDArray[np.float32]
    unlabeled: tuple[int, ...]
    uncertain: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    uncertain_labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Annotated images and the class names of their labels."""

    categories: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]

    def with_categories(self, categories: tuple[str, ...]) -> "ImageSet":
        """Returns the images with labels that are indices into other categories, which contain all present ones.

        A class that the present categories lack counts as not annotated.
        """
        new_labels = np.array([categories.index(name) for name in self.categories], np.int64)
        absent = tuple(label for label, name in enumerate(categories) if name not in self.categories)

        def relabel(image: AnnotatedImage) -> AnnotatedImage:
            unlabeled = tuple(sorted((*new_labels[list(image.unlabeled)].tolist(), *absent)))
            uncertain = new_labels[image.uncertain_labels]
            return replace(image, labels=new_labels[image.labels], unlabeled=unlabeled, uncertain_labels=uncertain)

        return ImageSet(categories, tuple(map(relabel, self.images)))
