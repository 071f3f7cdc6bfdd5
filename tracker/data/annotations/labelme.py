"""Annotations from LabelMe's JSON: a file for each image.

Source: https://github.com/wkentaro/labelme, the format of its files.
"""

from collections import Counter
from collections.abc import Sequence
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np

from tracker.data.annotations.coco import MALFORMED
from tracker.data.annotations.locate import ImageLocator
from tracker.data.annotations.polygons import bounding_box
from tracker.data.annotations.schema import Annotations, ImageRecord, ObjectRecord, Problem
from tracker.data.coco_file import describe_error
from tracker.errors import InputError
from tracker.parsing import read_json, to_number, to_whole_number

_BOXES = ("rectangle", "mask")  # kinds of shapes whose points are two corners, or four of a newer rectangle


def is_labelme(content: Any) -> bool:
    """Checks whether JSON may be a file of LabelMe."""
    return isinstance(content, dict) and "shapes" in content


def read_labelme_annotations(files: Sequence[Path], locator: ImageLocator) -> Annotations:
    """Reads LabelMe's files; the classes are those that occur, by name.

    Rectangles, polygons, circles and masks are objects (of masks the box alone); points and lines are left out. The
    image is the one that `imagePath` names or, where that was renamed since, the one with the JSON's own name.
    """
    images: list[ImageRecord] = []
    problems: list[Problem] = []
    left_out: Counter[str] = Counter()
    for file in files:
        try:
            content = read_json(file, "a file of LabelMe")
            if not is_labelme(content):
                raise InputError(f"{file}: this is not a file of LabelMe, as others of its folder are")
            images.append(_image(content, file, locator, left_out))
        except InputError as error:
            problems.append(Problem.from_error(file, error))
        except MALFORMED as error:
            problems.append(Problem(str(file), describe_error(error)))
    names = {record.category for image in images for record in image.objects if record.category}
    kinds = ", ".join(f"{count} of the kind {kind}" for kind, count in sorted(left_out.items()))
    notes = [f"shapes that are no boxes, polygons or masks are left out: {kinds}"] if kinds else []
    return Annotations(tuple(sorted(names)), images, problems, notes)


def _image(content: dict[str, Any], file: Path, locator: ImageLocator, left_out: Counter[str]) -> ImageRecord:
    name = str(content.get("imagePath") or file.stem)
    folders = [file.parent, file.parent.parent / "images", file.parent / "images"]
    path, problem = locator.find([name, file.stem], folders)
    size = (to_whole_number(content.get("imageWidth")) or 0, to_whole_number(content.get("imageHeight")) or 0)
    objects = []
    for number, shape in enumerate(content["shapes"], 1):
        record = _object(shape, f"shape {number}")
        if record is None:
            left_out[str(shape.get("shape_type"))] += 1
        else:
            objects.append(record)
    return ImageRecord(path.name, path, file, size, objects, problem=problem)


def _object(shape: dict[str, Any], position: str) -> ObjectRecord | None:
    """Returns the object of a shape; None if it is of a kind that has no box."""
    kind, label = shape.get("shape_type") or "polygon", str(shape.get("label", "")).strip()
    points = np.array([[to_number(x), to_number(y)] for x, y in shape["points"]]).reshape(-1, 2)
    if kind == "circle" and len(points) == 2:
        (x, y), (edge_x, edge_y) = points.tolist()
        radius = hypot(edge_x - x, edge_y - y)
        return ObjectRecord(position, label, (x - radius, y - radius, x + radius, y + radius))
    if kind in _BOXES and len(points) > 1:
        return ObjectRecord(position, label, bounding_box([points]))
    if kind == "polygon" and len(points):
        with np.errstate(over="ignore"):  # validation refuses its box
            polygon = points.astype(np.float32)
        return ObjectRecord(position, label, bounding_box([points]), (polygon,) if len(points) > 2 else ())
    return None
