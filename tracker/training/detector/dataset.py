"""Annotated pictures, put together into training pictures, or as they are for scoring."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from tracker.config import DetectorTrainingConfig
from tracker.data import AnnotatedImage, ImageSet, read_image
from tracker.errors import InputError, did_you_mean
from tracker.training.detector.copy_paste import paste
from tracker.training.detector.targets import BoxTargets, Rectangle, joined, mask_of, objects_of

GREY = 114  # what surrounds a picture that does not fill its place
Pixels = NDArray[np.uint8]

PHOTOMETRIC: Mapping[str, v2.Transform] = {
    "jitter": v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4),
    "distort": v2.RandomPhotometricDistort(),
    "none": v2.Identity(),
}


def sampling_weights(
    pictures: Sequence[AnnotatedImage],
    repeat: float,
    crowd_sampling_weight: float,
    class_sampling_weights: Mapping[int, float],
) -> NDArray[np.float64]:
    """How often each picture is drawn, relative to the others.

    Args:
        pictures: All of them.
        repeat: See `DetectorTrainingConfig.repeat`.
        crowd_sampling_weight: See `DetectorTrainingConfig.crowd_sampling_weight`.
        class_sampling_weights: Factors by label; of a picture's labels the largest factor counts.
    """
    present = [np.unique(p.labels) for p in pictures]
    counts = np.bincount(np.concatenate(present)) if present else np.zeros(1)
    factor = np.maximum(1.0, np.sqrt(repeat * len(pictures) / np.maximum(counts, 1)))
    weights = np.array([factor[labels].max(initial=1.0) for labels in present])
    weights *= [
        max((class_sampling_weights.get(int(label), 1.0) for label in labels), default=1.0) for labels in present
    ]
    several = np.array([len(p.labels) > 0 and np.bincount(p.labels).max() > 1 for p in pictures])
    return np.where(several, weights * crowd_sampling_weight, weights)


class TrainingPictures(Dataset[tuple[Tensor, dict[str, Tensor]]]):
    """Training pictures of one size: one annotated picture, or a mosaic of two or four, changed at random.

    Each is uint8 (3, H, W) RGB, with a target of
        boxes: float32 (N, 4) xyxy pixels; labels: int64 (N,), from 1;
        masks: uint8 (N, H, W), where they are wanted;
        ignore (K, 4), regions (R, 4) and unlabelled (R, C): see `tracker.detection.partial`;
        sources: int64 (P,), the annotated pictures that it is made of, by their number in the set.
    """

    def __init__(self, pictures: ImageSet, config: DetectorTrainingConfig, masks: bool = False) -> None:
        """Takes annotated pictures.

        Args:
            pictures: All that may be drawn.
            config: How they are drawn and changed.
            masks: Whether targets hold the objects' masks.

        Raises:
            InputError: No object is annotated, a favoured class is unknown, or masks are wanted of what has no outline.
        """
        categories = list(pictures.categories)
        for name in config.class_sampling_weights:
            if name not in categories:
                raise InputError(f"cannot favour the unknown class {name!r}{did_you_mean(name, categories)}")
        if not any(len(picture.labels) for picture in pictures.pictures):
            raise InputError("there is no object on any of the training pictures: there is nothing to learn")
        if masks:
            _check_outlines(pictures)
        self.pictures = pictures.pictures
        self.num_classes = len(categories) + 1
        self.config = config
        self.masks = masks
        class_sampling_weights = {
            categories.index(name): factor for name, factor in config.class_sampling_weights.items()
        }
        weights = sampling_weights(self.pictures, config.repeat, config.crowd_sampling_weight, class_sampling_weights)
        self.cumulative = np.cumsum(weights) / weights.sum()
        self.cached: dict[Path, Pixels] = {}
        self.photometric = PHOTOMETRIC[config.photometric]

    def __len__(self) -> int:
        return self.config.steps * self.config.batch_size

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Picture `index` of the whole training: the same one whichever worker makes it, and after a resume."""
        rng = random.Random(f"{self.config.seed}-{index}")
        torch.manual_seed(rng.getrandbits(31))
        width, height = self.config.canvas
        canvas = np.full((height, width, 3), GREY, np.uint8)
        sources, parts, regions = [], [], []
        for cell in self._cells(rng):
            sources.append(self._draw(rng))
            parts.append(self._place(canvas, cell, self.pictures[sources[-1]], rng))
            regions.append(np.array(cell, np.float32))
        objects, pasted = joined(parts), 0
        if self.config.copy_paste and rng.random() < self.config.copy_paste:
            sources.append(self._draw(rng))
            picture = self.pictures[sources[-1]]
            objects, pasted = paste(canvas, objects, picture, self._pixels(picture.path), rng)
            regions += list(objects.boxes[len(objects.boxes) - pasted :])
        self._check(objects, sources)
        owners = sources[: len(parts)] + sources[-1:] * pasted
        target = self._target(objects, regions, owners, sources)
        if self.masks:
            target["masks"] = torch.from_numpy(_masks(objects, pasted, width, height))
        return self.photometric(torch.from_numpy(canvas).permute(2, 0, 1)), target

    def _draw(self, rng: random.Random) -> int:
        return int(np.searchsorted(self.cumulative, rng.random()))

    def _pixels(self, path: Path) -> Pixels:
        if not self.config.cache:
            return read_image(path)
        if path not in self.cached:
            self.cached[path] = read_image(path)
        return self.cached[path]

    def _cells(self, rng: random.Random) -> list[Rectangle]:
        width, height = self.config.canvas
        if rng.random() >= self.config.mosaic:
            return [(0, 0, width, height)]
        x = int(width * rng.uniform(0.35, 0.65))
        if rng.random() < 0.5:
            return [(0, 0, x, height), (x, 0, width, height)]
        y = int(height * rng.uniform(0.35, 0.65))
        return [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]

    def _place(self, canvas: Pixels, cell: Rectangle, picture: AnnotatedImage, rng: random.Random) -> BoxTargets:
        """Draws a picture into a cell of the canvas; returns what is to be seen of its objects there."""
        pixels, objects = self._window(picture, rng)
        x1, y1, x2, y2 = cell
        height, width = pixels.shape[:2]
        low, high = np.log(self.config.scale)
        scale = float(np.exp(rng.uniform(low, high)))
        # Between the size at which the picture just fits its cell and the one at which it just covers it.
        fit = scale * ((x2 - x1) / width * (y2 - y1) / height) ** 0.5
        stretch = float(np.exp(rng.uniform(-0.15, 0.15)))
        size = (max(8, round(width * fit * stretch)), max(8, round(height * fit / stretch)))
        objects = objects.scaled((size[0] / width, size[1] / height))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        if rng.random() < self.config.flip:
            pixels, objects = pixels[:, ::-1], objects.mirrored(size[0])
        # The picture's corner in the cell: negative where the picture is larger and a part is cut off.
        left, top = (round(rng.uniform(min(0, room), max(0, room))) for room in (x2 - x1 - size[0], y2 - y1 - size[1]))
        inner = (x1 + max(0, left), y1 + max(0, top), min(x2, x1 + left + size[0]), min(y2, y1 + top + size[1]))
        canvas[inner[1] : inner[3], inner[0] : inner[2]] = pixels[
            inner[1] - y1 - top : inner[3] - y1 - top, inner[0] - x1 - left : inner[2] - x1 - left
        ]
        return objects.shifted(x1 + left, y1 + top).cut(inner)

    def _window(self, picture: AnnotatedImage, rng: random.Random) -> tuple[Pixels, BoxTargets]:
        """The whole picture or, by chance, a part of it; its objects are not cut yet."""
        pixels, objects = self._pixels(picture.path), objects_of(picture)
        if not (self.config.iou_crop and len(picture.boxes) and rng.random() < self.config.iou_crop):
            return pixels, objects
        boxes = tv_tensors.BoundingBoxes(picture.boxes, format="XYXY", canvas_size=pixels.shape[:2])
        part = v2.RandomIoUCrop().make_params([Image.fromarray(pixels), boxes])
        if not part:  # it chose to leave the picture whole
            return pixels, objects
        left, top = part["left"], part["top"]
        window = pixels[top : top + part["height"], left : left + part["width"]]
        return np.ascontiguousarray(window), objects.shifted(-left, -top)

    def _check(self, objects: BoxTargets, sources: Sequence[int]) -> None:
        """A box that is not sane now was made so here: all were sane when they were read."""
        width, height = self.config.canvas
        low, high = objects.boxes[:, :2], objects.boxes[:, 2:]
        sane = (low >= 0).all() and (high <= (width, height)).all() and (high > low).all()
        if not (sane and np.isfinite(objects.boxes).all()):
            names = ", ".join(self.pictures[number].name for number in sources)
            raise RuntimeError(f"augmenting {names} made bad boxes: {objects.boxes.tolist()}")

    def _target(
        self, objects: BoxTargets, regions: list[NDArray[np.float32]], owners: list[int], sources: list[int]
    ) -> dict[str, Tensor]:
        """The target without masks; each region belongs to the picture that is its owner."""
        unlabelled = np.zeros((len(regions), self.num_classes), bool)
        for row, owner in enumerate(owners):
            unlabelled[row, [label + 1 for label in self.pictures[owner].unlabelled]] = True
        arrays = {
            "boxes": objects.boxes,
            "labels": objects.labels + 1,
            "ignore": objects.ignore,
            "regions": np.stack(regions),
            "unlabelled": unlabelled,
            "sources": np.array(sources, np.int64),
        }
        return {key: torch.from_numpy(array) for key, array in arrays.items()}


def _check_outlines(pictures: ImageSet) -> None:
    for picture in pictures.pictures:
        if not all(picture.outlines):
            raise InputError(
                f"masks are learned from outlines, and {picture.name} has objects without: give outlines to all of "
                "them, or train a network without masks"
            )


def _masks(objects: BoxTargets, pasted: int, width: int, height: int) -> NDArray[np.uint8]:
    """uint8 (N, height, width); what was pasted, the last ones, hides what lies below."""
    masks = np.zeros((len(objects.boxes), height, width), np.uint8)
    for row, (outline, box) in enumerate(zip(objects.outlines, objects.boxes, strict=True)):
        masks[row] = mask_of(outline, box, width, height)
        if row >= len(masks) - pasted:
            masks[:row][:, masks[row] > 0] = 0
    return masks


class ScoredPictures(Dataset[tuple[int, Pixels]]):
    """Whole pictures, as they are, each with its number in the set."""

    def __init__(self, pictures: ImageSet) -> None:
        self.pictures = pictures.pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[int, Pixels]:
        return index, read_image(self.pictures[index].path)
