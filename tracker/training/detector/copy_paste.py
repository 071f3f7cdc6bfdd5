"""Copy-paste augmentation: objects of one image pasted into another. Source: Ghiasi et al. 2021, arXiv 2012.07177."""

import random

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.data.annotations.image_set import AnnotatedImage
from tracker.structures.boxes import Rectangle, area, clip, expand, intersection
from tracker.training.detector.targets import MIN_SIDE, MIN_VISIBLE, BoxTargets, concatenate, rasterize

MAX_PASTED = 3  # objects per training image
FADE_MARGIN = 0.12  # width of the soft edge around a pasted box, relative to its sides
MAX_OVERLAP = 0.2  # fraction of a box that others may cover, for it to be pasted without polygons
SCALE_JITTER = (0.6, 1.4)  # relative to the size that the object would have if its image filled the canvas

Pixels = NDArray[np.uint8]


def paste_candidates(image: AnnotatedImage) -> list[int]:
    """Returns the indices of the objects that can be pasted: those with polygons, or that are alone in their box."""
    all_boxes = np.concatenate([image.boxes, image.ignore])
    overlap = intersection(image.boxes, all_boxes).sum(1) - area(image.boxes)
    alone = overlap <= MAX_OVERLAP * area(image.boxes)
    return [index for index, polygons in enumerate(image.segmentations) if polygons or alone[index]]


def paste(
    canvas: Pixels, targets: BoxTargets, source: AnnotatedImage, pixels: Pixels, rng: random.Random
) -> tuple[BoxTargets, int]:
    """Pastes up to three objects of an image at random positions into a canvas.

    Args:
        canvas: uint8 (H, W, 3), changed in place.
        targets: Objects on the canvas.
        source: The image from which the objects are taken.
        pixels: Pixels of that image, uint8 (h, w, 3).
        rng: Random number generator.

    Returns:
        The objects on the canvas, without the covered ones and with the pasted ones last; and the number of the latter.
    """
    candidates = paste_candidates(source)
    count = 0
    for index in rng.sample(candidates, min(len(candidates), rng.randint(1, MAX_PASTED))):
        pasted = _paste_object(canvas, _select(BoxTargets.from_image(source), index), pixels, rng)
        if len(pasted.boxes):
            overlap = intersection(targets.boxes, pasted.boxes)[:, 0]
            covered = overlap > (1 - MIN_VISIBLE) * area(targets.boxes)
            count += 1 - int(covered[len(covered) - count :].sum())
            targets = concatenate([targets.ignore_covered(covered), pasted])
    return targets, count


def _select(targets: BoxTargets, index: int) -> BoxTargets:
    """Returns one object alone; none if the index is out of range."""
    one = slice(index, index + 1)
    return BoxTargets(targets.boxes[one], targets.labels[one], targets.segmentations[one], targets.ignore[:0])


def _paste_object(canvas: Pixels, target: BoxTargets, pixels: Pixels, rng: random.Random) -> BoxTargets:
    """Pastes one object at a random position; returns it there, or nothing if it does not fit."""
    height, width = canvas.shape[:2]
    scale = rng.uniform(*SCALE_JITTER) * (width * height / (pixels.shape[0] * pixels.shape[1])) ** 0.5
    x1, y1, x2, y2 = _patch_box(target, pixels)
    size = max(1, round(scale * (x2 - x1))), max(1, round(scale * (y2 - y1)))
    patch = cv2.resize(pixels[y1:y2, x1:x2], size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    target = target.translate(-x1, -y1).scale((size[0] / (x2 - x1), size[1] / (y2 - y1)))
    box = target.boxes[0]
    free = (width, height) - (box[2:] - box[:2])
    if free.min() < 0 or (box[2:] - box[:2]).min() < MIN_SIDE:
        return _select(target, 1)
    left, top = (int(rng.uniform(0, float(limit)) - offset) for limit, offset in zip(free, box[:2], strict=True))
    # The patch's margin may reach beyond the canvas.
    visible = max(0, left), max(0, top), min(width, left + size[0]), min(height, top + size[1])
    in_patch = slice(visible[1] - top, visible[3] - top), slice(visible[0] - left, visible[2] - left)
    alpha = _alpha(target, *size)[in_patch][:, :, None]
    background = canvas[visible[1] : visible[3], visible[0] : visible[2]]
    background[:] = np.rint(alpha * patch[in_patch] + (1 - alpha) * background)
    return target.translate(left, top).crop((0, 0, width, height))


def _patch_box(target: BoxTargets, pixels: Pixels) -> Rectangle:
    """Returns the object's box with its soft edge, inside the image."""
    expanded = clip(expand(target.boxes, FADE_MARGIN), pixels.shape[1], pixels.shape[0])[0]
    (x1, y1), (x2, y2) = np.floor(expanded[:2]).astype(int).tolist(), np.ceil(expanded[2:]).astype(int).tolist()
    return x1, y1, x2, y2


def _alpha(target: BoxTargets, width: int, height: int) -> NDArray[np.float32]:
    """Returns the opacity (height, width): the object's mask or, without polygons, its box with a soft edge."""
    if target.segmentations[0]:
        return rasterize(target.segmentations[0], target.boxes[0], width, height).astype(np.float32)
    x1, y1, x2, y2 = target.boxes[0].tolist()
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    dx = np.maximum(np.maximum(x1 - x, x - x2), 0) / (FADE_MARGIN * (x2 - x1))
    dy = np.maximum(np.maximum(y1 - y, y - y2), 0) / (FADE_MARGIN * (y2 - y1))
    return np.asarray(np.maximum(1 - np.hypot(dy[:, None], dx[None]), 0), np.float32)
