"""Copy-paste: objects of one picture laid over another. Source: Ghiasi et al. 2021, arXiv 2012.07177."""

import random

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.data.annotations.image_set import AnnotatedImage
from tracker.structures.boxes import area, clip, expand, intersection
from tracker.training.detector.targets import MIN_SIDE, MIN_VISIBLE, BoxTargets, Rectangle, joined, mask_of, objects_of

MOST = 3  # objects that are pasted at once
FADE = 0.12  # of a box's sides: the margin over which a pasted box fades into what it lies on
ALONE = 0.2  # of a box's area that others may share, for the box to be cut out with what surrounds the object
JITTER = (0.6, 1.4)  # of the size that an object would have if its picture filled the canvas

Pixels = NDArray[np.uint8]


def paste_candidates(picture: AnnotatedImage) -> list[int]:
    """Rows of the objects that can be cut out: along an outline, or alone in their box."""
    everything = np.concatenate([picture.boxes, picture.ignore])
    shared = intersection(picture.boxes, everything).sum(1) - area(picture.boxes)
    alone = shared <= ALONE * area(picture.boxes)
    return [row for row, outline in enumerate(picture.outlines) if outline or alone[row]]


def paste(
    canvas: Pixels, below: BoxTargets, picture: AnnotatedImage, pixels: Pixels, rng: random.Random
) -> tuple[BoxTargets, int]:
    """Pastes up to three objects of a picture at random places; draws on the canvas.

    Args:
        canvas: uint8 (H, W, 3), changed in place.
        below: What is on it.
        picture: Where the objects are taken from.
        pixels: Of that picture, uint8 (h, w, 3).
        rng: Source of everything random.

    Returns:
        What is on the canvas now, pasted objects last, without what they cover; and how many they are.
    """
    rows = paste_candidates(picture)
    count = 0
    for row in rng.sample(rows, min(len(rows), rng.randint(1, MOST))):
        pasted = _paste_one(canvas, _only(objects_of(picture), row), pixels, rng)
        if len(pasted.boxes):
            covered = intersection(below.boxes, pasted.boxes)[:, 0] > (1 - MIN_VISIBLE) * area(below.boxes)
            count += 1 - int(covered[len(covered) - count :].sum())
            below = joined([below.hidden(covered), pasted])
    return below, count


def _only(objects: BoxTargets, row: int) -> BoxTargets:
    chosen = slice(row, row + 1)
    return BoxTargets(objects.boxes[chosen], objects.labels[chosen], objects.outlines[chosen], objects.ignore[:0])


def _paste_one(canvas: Pixels, thing: BoxTargets, pixels: Pixels, rng: random.Random) -> BoxTargets:
    """Pastes one object somewhere; gives it back in its place, or nothing where it does not fit."""
    height, width = canvas.shape[:2]
    scale = rng.uniform(*JITTER) * (width * height / (pixels.shape[0] * pixels.shape[1])) ** 0.5
    x1, y1, x2, y2 = _surroundings(thing, pixels)
    size = max(1, round(scale * (x2 - x1))), max(1, round(scale * (y2 - y1)))
    patch = cv2.resize(pixels[y1:y2, x1:x2], size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    thing = thing.shifted(-x1, -y1).scaled((size[0] / (x2 - x1), size[1] / (y2 - y1)))
    room = (width, height) - (thing.boxes[0, 2:] - thing.boxes[0, :2])
    if room.min() < 0 or (thing.boxes[0, 2:] - thing.boxes[0, :2]).min() < MIN_SIDE:
        return _only(thing, 1)
    left, top = (int(rng.uniform(0, float(most)) - start) for most, start in zip(room, thing.boxes[0, :2], strict=True))
    # The patch's margin may reach beyond the canvas.
    inner = max(0, left), max(0, top), min(width, left + size[0]), min(height, top + size[1])
    of_patch = slice(inner[1] - top, inner[3] - top), slice(inner[0] - left, inner[2] - left)
    alpha = _alpha(thing, *size)[of_patch][:, :, None]
    under = canvas[inner[1] : inner[3], inner[0] : inner[2]]
    under[:] = np.rint(alpha * patch[of_patch] + (1 - alpha) * under)
    return thing.shifted(left, top).cut((0, 0, width, height))


def _surroundings(thing: BoxTargets, pixels: Pixels) -> Rectangle:
    """The object's box with the margin in which it fades, inside its picture."""
    grown = clip(expand(thing.boxes, FADE), pixels.shape[1], pixels.shape[0])[0]
    (x1, y1), (x2, y2) = np.floor(grown[:2]).astype(int).tolist(), np.ceil(grown[2:]).astype(int).tolist()
    return x1, y1, x2, y2


def _alpha(thing: BoxTargets, width: int, height: int) -> NDArray[np.float32]:
    """(height, width), 1 on the object, 0 away from it: along its outline, or fading out around its box."""
    if thing.outlines[0]:
        return mask_of(thing.outlines[0], thing.boxes[0], width, height).astype(np.float32)
    x1, y1, x2, y2 = thing.boxes[0].tolist()
    columns, rows = np.arange(width) + 0.5, np.arange(height) + 0.5
    across = np.maximum(np.maximum(x1 - columns, columns - x2), 0) / (FADE * (x2 - x1))
    down = np.maximum(np.maximum(y1 - rows, rows - y2), 0) / (FADE * (y2 - y1))
    return np.asarray(np.maximum(1 - np.hypot(down[:, None], across[None]), 0), np.float32)
