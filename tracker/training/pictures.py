"""Detection pictures with boxes, read in place, and put together into training pictures."""

import json
import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from tracker.config import DetectorTraining
from tracker.errors import InputError, did_you_mean

GREY = 114  # what surrounds a picture that does not fill its place
MIN_VISIBLE = 0.35  # of a box's area, below which a cut box is ignored instead of learned
MIN_SIDE = 6.0  # pixels, below which a box is ignored


@dataclass(frozen=True)
class Picture:
    """One annotated file.

    Attributes:
        image_id: COCO id.
        path: The picture.
        boxes: float32 (N, 4) xyxy pixels.
        labels: int64 (N,), from 1.
        ignore: float32 (K, 4) xyxy, crowds and difficult objects.
        unlabelled: Labels that were not annotated in this picture.
    """

    image_id: int
    path: Path
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    ignore: NDArray[np.float32]
    unlabelled: tuple[int, ...]


def read_coco(file: Path) -> tuple[list[Picture], list[str]]:
    """Reads a COCO detection file.

    Returns:
        The pictures, and the class names; label n is the n-th name, counted from 1, in order of category id.

    Raises:
        InputError: The file is missing, is no COCO JSON, or speaks of unknown categories or pictures.
    """
    try:
        coco = json.loads(file.read_text(encoding="utf-8"))
        categories = sorted(coco["categories"], key=lambda c: c["id"])
        label_of = {c["id"]: n for n, c in enumerate(categories, 1)}
        number_of = {c["name"]: n for n, c in enumerate(categories, 1)}
        rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in coco["annotations"]:
            rows[row["image_id"]].append(row)
        pictures = [_picture(image, rows[image["id"]], file.parent, label_of, number_of) for image in coco["images"]]
    except OSError as error:
        raise InputError(f"cannot read the annotations {file}: {error.strerror}") from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{file} is not a COCO detection file: {type(error).__name__} {error}") from None
    if not pictures:
        raise InputError(f"{file} names no pictures")
    return pictures, [c["name"] for c in categories]


def _picture(
    image: dict[str, Any], rows: list[dict[str, Any]], folder: Path, label_of: dict[int, int], number_of: dict[str, int]
) -> Picture:
    xywh = np.array([row["bbox"] for row in rows], np.float32).reshape(-1, 4)
    boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)
    crowd = np.array([bool(row.get("iscrowd", 0)) for row in rows], bool)
    labels = np.array([label_of[row["category_id"]] for row in rows], np.int64)
    unlabelled = tuple(number_of[name] for name in image.get("unlabelled", []))
    return Picture(image["id"], folder / image["file_name"], boxes[~crowd], labels[~crowd], boxes[crowd], unlabelled)


def read_image(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) RGB.

    Raises:
        InputError: The file is missing or is no picture.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except OSError as error:
        raise InputError(f"cannot read the picture {path}: {error}") from None


def sampling_weights(
    pictures: list[Picture], repeat: float, crowded: float, favour: Mapping[int, float]
) -> NDArray[np.float64]:
    """How often each picture is drawn, relative to the others.

    Args:
        pictures: All of them.
        repeat: See `DetectorTraining.repeat`.
        crowded: See `DetectorTraining.crowded`.
        favour: Factors by label; of a picture's labels the largest factor counts.
    """
    present = [np.unique(p.labels) for p in pictures]
    counts = np.bincount(np.concatenate(present)) if present else np.zeros(1)
    factor = np.maximum(1.0, np.sqrt(repeat * len(pictures) / np.maximum(counts, 1)))
    weights = np.array([factor[labels].max(initial=1.0) for labels in present])
    weights *= [max((favour.get(int(label), 1.0) for label in labels), default=1.0) for labels in present]
    several = np.array([len(p.labels) > 0 and np.bincount(p.labels).max() > 1 for p in pictures])
    return np.where(several, weights * crowded, weights)


class TrainingPictures(Dataset[tuple[Tensor, dict[str, Tensor]]]):
    """Training pictures of one size: one annotated picture, or a mosaic of two or four, scaled, cut and flipped."""

    def __init__(self, pictures: list[Picture], categories: list[str], config: DetectorTraining) -> None:
        """Takes annotated pictures, and the class names, of which label 1 is the first.

        Raises:
            InputError: The config favours a class that is not among them.
        """
        for name in config.favour:
            if name not in categories:
                raise InputError(f"cannot favour the unknown class {name!r}{did_you_mean(name, categories)}")
        self.pictures = pictures
        self.num_classes = len(categories) + 1
        self.config = config
        favour = {categories.index(name) + 1: factor for name, factor in config.favour.items()}
        weights = sampling_weights(pictures, config.repeat, config.crowded, favour)
        self.cumulative = np.cumsum(weights) / weights.sum()
        self.cached: dict[Path, NDArray[np.uint8]] = {}
        self.photometric = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4)

    def __len__(self) -> int:
        return self.config.steps * self.config.batch_size

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Picture `index` of the whole training: the same one whichever worker makes it, and after a resume."""
        rng = random.Random(f"{self.config.seed}-{index}")
        torch.manual_seed(rng.getrandbits(31))
        width, height = self.config.canvas
        canvas = np.full((height, width, 3), GREY, np.uint8)
        parts = [self._place(canvas, cell, rng) for cell in self._cells(rng)]
        image = self.photometric(torch.from_numpy(canvas).permute(2, 0, 1))
        target = {key: torch.from_numpy(np.concatenate([p[key] for p in parts])) for key in parts[0]}
        return image, target

    def _pixels(self, path: Path) -> NDArray[np.uint8]:
        if not self.config.cache:
            return read_image(path)
        if path not in self.cached:
            self.cached[path] = read_image(path)
        return self.cached[path]

    def _cells(self, rng: random.Random) -> list[tuple[int, int, int, int]]:
        width, height = self.config.canvas
        if rng.random() >= self.config.mosaic:
            return [(0, 0, width, height)]
        x = int(width * rng.uniform(0.35, 0.65))
        if rng.random() < 0.5:
            return [(0, 0, x, height), (x, 0, width, height)]
        y = int(height * rng.uniform(0.35, 0.65))
        return [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]

    def _place(
        self, canvas: NDArray[np.uint8], cell: tuple[int, int, int, int], rng: random.Random
    ) -> dict[str, NDArray[Any]]:
        """Draws one random picture into a cell of the canvas; returns its targets there."""
        picture = self.pictures[int(np.searchsorted(self.cumulative, rng.random()))]
        image = Image.fromarray(self._pixels(picture.path))
        x1, y1, x2, y2 = cell
        low, high = np.log(self.config.scale)
        scale = float(np.exp(rng.uniform(low, high)))
        # Between the size at which the picture just fits its cell and the one at which it just covers it.
        fit = scale * ((x2 - x1) / image.width * (y2 - y1) / image.height) ** 0.5
        stretch = float(np.exp(rng.uniform(-0.15, 0.15)))
        size = (max(8, round(image.width * fit * stretch)), max(8, round(image.height * fit / stretch)))
        factor = np.array([size[0] / image.width, size[1] / image.height] * 2, np.float32)
        pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
        boxes, ignore = picture.boxes * factor, picture.ignore * factor
        if rng.random() < 0.5:
            pixels = pixels[:, ::-1]
            boxes, ignore = (
                np.stack([size[0] - b[:, 2], b[:, 1], size[0] - b[:, 0], b[:, 3]], 1) for b in (boxes, ignore)
            )
        # The picture's corner in the cell: negative where the picture is larger and a part is cut off.
        left, top = (round(rng.uniform(min(0, room), max(0, room))) for room in (x2 - x1 - size[0], y2 - y1 - size[1]))
        inner = (x1 + max(0, left), y1 + max(0, top), min(x2, x1 + left + size[0]), min(y2, y1 + top + size[1]))
        canvas[inner[1] : inner[3], inner[0] : inner[2]] = pixels[
            inner[1] - y1 - top : inner[3] - y1 - top, inner[0] - x1 - left : inner[2] - x1 - left
        ]
        shift = np.array([x1 + left, y1 + top] * 2, np.float32)
        unlabelled = np.zeros((1, self.num_classes), bool)
        unlabelled[0, list(picture.unlabelled)] = True
        return {
            **visible_targets(boxes + shift, picture.labels, ignore + shift, inner),
            "regions": np.array([cell], np.float32),
            "unlabelled": unlabelled,
        }


def visible_targets(
    boxes: NDArray[np.float32], labels: NDArray[np.int64], ignore: NDArray[np.float32], inner: tuple[int, int, int, int]
) -> dict[str, NDArray[Any]]:
    """What is left of boxes inside a rectangle; those of which too little is left are to be ignored."""
    limit_low, limit_high = np.array(inner[:2] * 2, np.float32), np.array(inner[2:] * 2, np.float32)
    cut = np.clip(boxes, limit_low, limit_high)
    cut_ignore = np.clip(ignore, limit_low, limit_high)
    side = cut[:, 2:] - cut[:, :2]
    whole = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1e-6)
    keep = (side.min(1, initial=np.inf) >= MIN_SIDE) & (side.prod(1) / whole >= MIN_VISIBLE)
    gone = side.min(1, initial=np.inf) <= 0
    rest = np.concatenate([cut_ignore, cut[~keep & ~gone]])
    return {"boxes": cut[keep], "labels": labels[keep], "ignore": rest.astype(np.float32)}


class ScoredPictures(Dataset[tuple[int, NDArray[np.uint8]]]):
    """Whole pictures, as they are, each with its number in the list."""

    def __init__(self, pictures: list[Picture]) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[int, NDArray[np.uint8]]:
        return index, read_image(self.pictures[index].path)
