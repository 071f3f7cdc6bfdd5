"""COCO's JSON of object instances and of results: the structure that its two readers and its writer share.

Ids count from 1, since COCO's tools take 0 for "none": a category's id is its label + 1, an image's id its frame + 1.
A `bbox` is left, top, width, height in pixels, from 0 at the left and top edge of the image.

Source: https://cocodataset.org/#format-data
"""

from collections.abc import Iterable, Mapping, Sequence
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.parsing import to_number, to_whole_number

FIRST_ID = 1

Entry = dict[str, Any]
"""An image, an annotation or a category as JSON has it."""

Box = tuple[float, float, float, float]


def describe_error(error: Exception) -> str:
    """Returns what is wrong with an entry that could not be read, for an error message."""
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def category_entries(names: Sequence[str]) -> list[Entry]:
    """Returns the entries of categories, which are given by label."""
    return [{"id": label + FIRST_ID, "name": name} for label, name in enumerate(names)]


def image_entry(frame: int, time: float, size: tuple[int, int], video: str) -> Entry:
    """Returns the entry of a video's frame; its keys `frame_index` and `time_s` (seconds) are not COCO's own.

    The frame counts from 0, the size is width and height in pixels.
    """
    return {
        "id": frame + FIRST_ID,
        "frame_index": frame,
        "time_s": round(time, 6),
        "width": size[0],
        "height": size[1],
        "file_name": f"{video}/{frame:06d}.jpg",
    }


def image_size_of(image: Mapping[str, Any]) -> tuple[int, int]:
    """Returns width and height of an image's entry, pixels; 0 where it does not say them."""
    return to_whole_number(image.get("width")) or 0, to_whole_number(image.get("height")) or 0


def frames_of(image_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the frames, from 0, that image ids stand for. Ids count from 1, or from 0 where there is a 0."""
    return image_ids if (image_ids == 0).any() else image_ids - FIRST_ID


def is_crowd(annotation: Mapping[str, Any]) -> bool:
    """Returns True for the annotation of a group of objects, which stands for no single one."""
    return to_number(annotation.get("iscrowd") or 0) != 0


def bbox_to_xyxy(bbox: Sequence[Any]) -> Box:
    """Converts a `bbox` to x1, y1, x2, y2; NaN where it is not four numbers."""
    if not isinstance(bbox, Sequence) or len(bbox) != 4:
        return nan, nan, nan, nan
    left, top, width, height = map(to_number, bbox)
    return left, top, left + width, top + height


def xyxy_to_bbox(box: Iterable[float]) -> list[float]:
    """Converts x1, y1, x2, y2 to a `bbox`, rounded to 1/100 pixel."""
    x1, y1, x2, y2 = box
    return [round(float(value), 2) for value in (x1, y1, x2 - x1, y2 - y1)]
