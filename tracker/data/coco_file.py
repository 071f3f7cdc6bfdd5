"""COCO's JSON of object instances and of results: the structure that its two readers and its writer share.

Ids count from 1, since COCO's tools take 0 for "none": a category's id is its label + 1, an image's id its frame + 1.
A `bbox` is left, top, width, height in pixels, from 0 at the left and top edge of the image.

Source: https://cocodataset.org/#format-data
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from tracker.errors import InputError

FIRST_ID = 1

Entry = dict[str, Any]
"""An image, an annotation or a category as JSON has it."""

Box = tuple[float, float, float, float]


def load_json(file: TextIO, path: Path, object_hook: Callable[[Entry], Any] | None = None) -> Any:
    """Parses the JSON of a COCO file; `object_hook` converts each of its objects as soon as it is read.

    Raises:
        InputError: It is not JSON; says which line.
    """
    try:
        return json.load(file, object_hook=object_hook)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: this is not valid JSON ({error.msg}): write it again") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no COCO file: it is not text") from None
    except RecursionError:
        raise InputError(f"{path} is nested too deeply for COCO's JSON: give another file") from None


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
    return int(image.get("width", 0)), int(image.get("height", 0))


def frames_of(image_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the frames, from 0, that image ids stand for. Ids count from 1, or from 0 where there is a 0."""
    return image_ids if (image_ids == 0).any() else image_ids - FIRST_ID


def is_crowd(annotation: Mapping[str, Any]) -> bool:
    """Returns True for the annotation of a group of objects, which stands for no single one."""
    return bool(annotation.get("iscrowd", 0))


def bbox_to_xyxy(bbox: Sequence[Any]) -> Box:
    """Converts a `bbox` to x1, y1, x2, y2; NaN where it is not four numbers."""
    if len(bbox) != 4:
        return nan, nan, nan, nan
    left, top, width, height = map(to_number, bbox)
    return left, top, left + width, top + height


def xyxy_to_bbox(box: Iterable[float]) -> list[float]:
    """Converts x1, y1, x2, y2 to a `bbox`, rounded to 1/100 pixel."""
    x1, y1, x2, y2 = box
    return [round(float(value), 2) for value in (x1, y1, x2 - x1, y2 - y1)]


def to_number(value: Any) -> float:
    """Converts a number or its text to a float; anything else to NaN, which no check of a box lets pass."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return nan
