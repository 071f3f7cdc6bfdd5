"""Datasets of a detector's training: augmented training images, and validation images as they are."""

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
from tracker.structures.boxes import Rectangle
from tracker.training.detector.copy_paste import paste
from tracker.training.detector.targets import BoxTargets, concatenate, rasterize

PADDING = 114  # gray around an image that does not fill its mosaic cell
Pixels = NDArray[np.uint8]

COLOR_AUGMENTATIONS: Mapping[str, v2.Transform] = {
    "jitter": v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4),
    "distort": v2.RandomPhotometricDistort(),
    "degrade": v2.Compose(
        [
            v2.ColorJitter(brightness=0.5, contrast=0.5, saturation=0.5),
            v2.RandomGrayscale(0.15),
            v2.RandomApply([v2.GaussianBlur(5, (0.3, 2.0))], 0.15),
            v2.RandomApply([v2.JPEG((20, 80))], 0.25),
        ]
    ),
    "none": v2.Identity(),
}


def sampling_weights(
    images: Sequence[AnnotatedImage],
    repeat_factor_threshold: float,
    crowd_sampling_weight: float,
    class_sampling_weights: Mapping[int, float],
) -> NDArray[np.float64]:
    """Returns the relative sampling frequency of each of all training images, float64 (N,).

    The settings are those of `DetectorTrainingConfig`, but with factors by label instead of class name, of which the
    largest factor of an image's labels counts.
    """
    present = [np.unique(image.labels) for image in images]
    counts = np.bincount(np.concatenate(present)) if present else np.zeros(1)
    repeat_factors = np.maximum(1.0, np.sqrt(repeat_factor_threshold * len(images) / np.maximum(counts, 1)))
    weights = np.array([repeat_factors[labels].max(initial=1.0) for labels in present])
    factors = [[class_sampling_weights.get(int(label), 1.0) for label in labels] for labels in present]
    weights *= [max(each, default=1.0) for each in factors]
    has_crowd = np.array([len(image.labels) > 0 and np.bincount(image.labels).max() > 1 for image in images])
    return np.where(has_crowd, weights * crowd_sampling_weight, weights)


class DetectionTrainDataset(Dataset[tuple[Tensor, dict[str, Tensor]]]):
    """Augmented training images of one size, each from one annotated image or a mosaic of two or four.

    Each is uint8 (3, H, W) RGB, with a target of
        boxes: float32 (N, 4) xyxy pixels; labels: int64 (N,), from 1;
        masks: uint8 (N, H, W), if requested;
        ignore (K, 4), regions (R, 4), unlabeled (R, C), uncertain (U, 4) and uncertain_labels (U,): see
            `tracker.models.detection.partial_labels`;
        sources: int64 (P,), indices of the annotated images in it.
    """

    def __init__(self, image_set: ImageSet, config: DetectorTrainingConfig, masks: bool = False) -> None:
        """Takes all training images, the settings, and True if targets shall have the objects' masks.

        Raises:
            InputError: No object is annotated, a class with a sampling weight is unknown, or masks are requested and an
                object has no polygons.
        """
        categories = list(image_set.categories)
        for name in config.class_sampling_weights:
            if name not in categories:
                raise InputError(f"class_sampling_weights: unknown class {name!r}{did_you_mean(name, categories)}")
        if not any(len(image.labels) for image in image_set.images):
            raise InputError("there is no object on any of the training images: there is nothing to learn")
        for image in image_set.images if masks else ():
            if not all(image.segmentations):
                raise InputError(
                    f"masks are learned from polygons, and {image.name} has objects without: annotate polygons of all "
                    "of them, or train a network without masks"
                )
        self.images = image_set.images
        self.num_classes = len(categories) + 1
        self.config = config
        self.masks = masks
        class_weights = {categories.index(name): factor for name, factor in config.class_sampling_weights.items()}
        weights = sampling_weights(
            self.images, config.repeat_factor_threshold, config.crowd_sampling_weight, class_weights
        )
        self.cumulative_weights = np.cumsum(weights) / weights.sum()
        self.cache: dict[Path, Pixels] = {}
        self.color_augmentation = COLOR_AUGMENTATIONS[config.color_augmentation]

    def __len__(self) -> int:
        return self.config.steps * self.config.batch_size

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns training image `index`: the same one in any worker, and after a resume."""
        rng = random.Random(f"{self.config.seed}-{index}")
        torch.manual_seed(rng.getrandbits(31))
        width, height = self.config.train_image_size
        canvas = np.full((height, width, 3), PADDING, np.uint8)
        sources, parts, regions = [], [], []
        for cell in self._mosaic_cells(rng):
            sources.append(self._sample_index(rng))
            parts.append(self._draw_image(canvas, cell, self.images[sources[-1]], rng))
            regions.append(np.array(cell, np.float32))
        targets, num_pasted = concatenate(parts), 0
        if self.config.copy_paste_prob and rng.random() < self.config.copy_paste_prob:
            sources.append(self._sample_index(rng))
            source = self.images[sources[-1]]
            targets, num_pasted = paste(canvas, targets, source, self._read_pixels(source.path), rng)
            regions += list(targets.boxes[len(targets.boxes) - num_pasted :])
        self._check_boxes(targets, sources)
        region_sources = sources[: len(parts)] + sources[-1:] * num_pasted
        target = self._to_tensors(targets, regions, region_sources, sources)
        if self.masks:
            target["masks"] = torch.from_numpy(_masks(targets, num_pasted, width, height))
        return self.color_augmentation(torch.from_numpy(canvas).permute(2, 0, 1)), target

    def _sample_index(self, rng: random.Random) -> int:
        return int(np.searchsorted(self.cumulative_weights, rng.random()))

    def _read_pixels(self, path: Path) -> Pixels:
        if not self.config.cache_images:
            return read_image(path)
        if path not in self.cache:
            self.cache[path] = read_image(path)
        return self.cache[path]

    def _mosaic_cells(self, rng: random.Random) -> list[Rectangle]:
        width, height = self.config.train_image_size
        if rng.random() >= self.config.mosaic_prob:
            return [(0, 0, width, height)]
        x = int(width * rng.uniform(0.35, 0.65))
        if rng.random() < 0.5:
            return [(0, 0, x, height), (x, 0, width, height)]
        y = int(height * rng.uniform(0.35, 0.65))
        return [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]

    def _draw_image(self, canvas: Pixels, cell: Rectangle, image: AnnotatedImage, rng: random.Random) -> BoxTargets:
        """Draws an image, scaled and flipped at random, into a cell of the canvas; returns its visible objects."""
        pixels, targets = self._random_window(image, rng)
        x1, y1, x2, y2 = cell
        height, width = pixels.shape[:2]
        low, high = np.log(self.config.scale_range)
        scale = float(np.exp(rng.uniform(low, high)))
        # At scale 1 the image has the area of its cell.
        factor = scale * ((x2 - x1) / width * (y2 - y1) / height) ** 0.5
        aspect = float(np.exp(rng.uniform(-0.15, 0.15)))
        size = (max(8, round(width * factor * aspect)), max(8, round(height * factor / aspect)))
        targets = targets.scale((size[0] / width, size[1] / height))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        if rng.random() < self.config.hflip_prob:
            pixels, targets = pixels[:, ::-1], targets.hflip(size[0])
        # Position in the cell: negative if the image is larger than the cell and a part is cut off.
        left, top = (round(rng.uniform(min(0, gap), max(0, gap))) for gap in (x2 - x1 - size[0], y2 - y1 - size[1]))
        visible = (x1 + max(0, left), y1 + max(0, top), min(x2, x1 + left + size[0]), min(y2, y1 + top + size[1]))
        canvas[visible[1] : visible[3], visible[0] : visible[2]] = pixels[
            visible[1] - y1 - top : visible[3] - y1 - top, visible[0] - x1 - left : visible[2] - x1 - left
        ]
        return targets.translate(x1 + left, y1 + top).crop(visible)

    def _random_window(self, image: AnnotatedImage, rng: random.Random) -> tuple[Pixels, BoxTargets]:
        """Returns the image or, with `iou_crop_prob`, a random window of it; the targets are not cropped yet."""
        pixels, targets = self._read_pixels(image.path), BoxTargets.from_image(image)
        probability = self.config.iou_crop_prob
        if not (probability and len(image.boxes) and rng.random() < probability):
            return pixels, targets
        boxes = tv_tensors.BoundingBoxes(image.boxes, format="XYXY", canvas_size=pixels.shape[:2])
        window = v2.RandomIoUCrop().make_params([Image.fromarray(pixels), boxes])
        if not window:  # one of the transform's options is not to crop
            return pixels, targets
        left, top = window["left"], window["top"]
        cropped = pixels[top : top + window["height"], left : left + window["width"]]
        return np.ascontiguousarray(cropped), targets.translate(-left, -top)

    def _check_boxes(self, targets: BoxTargets, sources: Sequence[int]) -> None:
        """Raises RuntimeError for an invalid box: the annotations were valid, so the augmentation is wrong."""
        width, height = self.config.train_image_size
        low, high = targets.boxes[:, :2], targets.boxes[:, 2:]
        valid = (low >= 0).all() and (high <= (width, height)).all() and (high > low).all()
        if not (valid and np.isfinite(targets.boxes).all()):
            names = ", ".join(self.images[index].name for index in sources)
            raise RuntimeError(f"augmenting {names} made bad boxes: {targets.boxes.tolist()}")

    def _to_tensors(
        self, targets: BoxTargets, regions: list[NDArray[np.float32]], region_sources: list[int], sources: list[int]
    ) -> dict[str, Tensor]:
        """Returns the target without masks; region_sources has the index of each region's annotated image."""
        unlabeled = np.zeros((len(regions), self.num_classes), bool)
        for region, source in enumerate(region_sources):
            unlabeled[region, [label + 1 for label in self.images[source].unlabeled]] = True
        arrays = {
            "boxes": targets.boxes,
            "labels": targets.labels + 1,
            "ignore": targets.ignore,
            "regions": np.stack(regions),
            "unlabeled": unlabeled,
            "uncertain": targets.uncertain,
            "uncertain_labels": targets.uncertain_labels + 1,
            "sources": np.array(sources, np.int64),
        }
        return {key: torch.from_numpy(array) for key, array in arrays.items()}


def _masks(targets: BoxTargets, num_pasted: int, width: int, height: int) -> NDArray[np.uint8]:
    """Returns masks uint8 (N, height, width); the pasted objects, which are the last ones, hide those below them."""
    masks = np.zeros((len(targets.boxes), height, width), np.uint8)
    for index, (polygons, box) in enumerate(zip(targets.segmentations, targets.boxes, strict=True)):
        masks[index] = rasterize(polygons, box, width, height)
        if index >= len(masks) - num_pasted:
            masks[:index][:, masks[index] > 0] = 0
    return masks


class DetectionValDataset(Dataset[tuple[int, Pixels]]):
    """Validation images without augmentation, each with its index: (index, uint8 (H, W, 3) RGB)."""

    def __init__(self, image_set: ImageSet) -> None:
        self.images = image_set.images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[int, Pixels]:
        return index, read_image(self.images[index].path)
