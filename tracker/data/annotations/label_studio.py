"""Annotations from Label Studio's JSON and JSON-MIN.

Source: https://labelstud.io/guide/task_format and https://labelstud.io/tags/rectanglelabels
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tracker.data.annotations.coco import MALFORMED
from tracker.data.annotations.image_set import Segmentation
from tracker.data.annotations.locate import ImageLocator
from tracker.data.annotations.polygons import bounding_box, turned_rectangle
from tracker.data.annotations.schema import Annotations, ImageRecord, ObjectRecord, Problem
from tracker.data.coco_file import Box, describe_error
from tracker.data.image_files import IMAGE_SUFFIXES
from tracker.parsing import to_number, to_whole_number

Entry = dict[str, Any]
_LABELS = ("rectanglelabels", "polygonlabels", "ellipselabels", "labels")
"""Keys of a region's class names; `labels` is that of a region drawn with one tool and named with another."""
_OTHER_REGIONS = ("brush", "keypoint", "rectangle", "polygon", "ellipse", "vector", "bitmask")
"""Beginnings of the types of regions that may show an object; others, such as choices, are about the whole image."""
_PERCENT = 100.0  # coordinates are percent of the image's width and height


def is_label_studio(content: Any) -> bool:
    """Checks whether JSON may be a list of Label Studio's tasks, in JSON or JSON-MIN."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(task, dict) and _is_task(task) for task in content)
    )


def _is_task(task: Entry) -> bool:
    has_regions = any(isinstance(value, list) and _are_regions(value) for value in task.values())
    return "data" in task or (_stated_image(task) != "" and ("annotation_id" in task or has_regions))


def read_label_studio_annotations(path: Path, content: list[Entry], locator: ImageLocator) -> Annotations:
    """Reads the tasks of a project; the classes are those that occur, by name.

    Rectangles, also turned ones, polygons and ellipses are objects; other regions, such as brush strokes, are left out.
    Of several annotations of a task, the ground truth counts or else the last one that was updated. Tasks without
    annotations, and those that were skipped, are not labelled and left out; predictions are no annotations.
    """
    reader = _Reader(path)
    for number, task in enumerate(reader.last_of_each(content), 1):
        position = f"task {task.get('id', number)}"
        try:
            reader.add(task, position, locator)
        except MALFORMED as error:
            reader.problems.append(Problem(f"{path}, {position}", describe_error(error)))
    names = {record.category for image in reader.images for record in image.objects if record.category}
    return Annotations(tuple(sorted(names)), reader.images, reader.problems, reader.notes())


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.images: list[ImageRecord] = []
        self.problems: list[Problem] = []
        self._not_labeled = 0
        self._several = 0
        self._left_out: Counter[str] = Counter()

    def notes(self) -> list[str]:
        """Returns sentences about what was left out."""
        notes = []
        if self._not_labeled:
            notes.append(f"{self._not_labeled} tasks of {self._path} have no annotation: their images are left out")
        if self._several:
            notes.append(f"{self._several} tasks of {self._path} have several annotations: the last one counts")
        if self._left_out:
            kinds = ", ".join(f"{count} of the kind {kind}" for kind, count in sorted(self._left_out.items()))
            notes.append(f"{self._path}: regions that are no boxes or polygons are left out: {kinds}")
        return notes

    def last_of_each(self, tasks: list[Entry]) -> list[Entry]:
        """Returns the tasks with one annotation each: JSON-MIN has an entry for each annotation."""
        by_id: dict[Any, Entry] = {}
        for number, task in enumerate(tasks):
            key = ("", number) if "data" in task or "id" not in task else ("id", str(task["id"]))
            self._several += key in by_id
            if str(task.get("updated_at", "")) >= str(by_id.get(key, {}).get("updated_at", "")):
                by_id[key] = task
        return list(by_id.values())

    def add(self, task: Entry, position: str, locator: ImageLocator) -> None:
        """Reads a task."""
        regions = self._regions(task)
        if regions is None:
            self._not_labeled += 1
            return
        stated = _stated_image(task.get("data", task)) or str(task.get("file_upload") or "")
        path, problem = locator.find([stated], [self._path.parent / "images", self._path.parent])
        objects: list[ObjectRecord] = []
        sizes = set()
        for region in regions:
            for record in _objects(region, position):
                objects.append(record)
                sizes.add(tuple(to_whole_number(region.get(f"original_{side}")) or 0 for side in ("width", "height")))
        named = {region.get("id") for region in regions if _label_names(region.get("value"))}
        for region in regions:
            if region.get("id") not in named and str(region.get("type")).startswith(_OTHER_REGIONS):
                self._left_out[str(region["type"])] += 1
        width, height = sizes.pop() if len(sizes) == 1 else (0, 0)
        self.images.append(
            ImageRecord(path.name, path, self._path, (width, height), objects, normalized=True, problem=problem)
        )

    def _regions(self, task: Entry) -> list[Entry] | None:
        """Returns the regions of a task; None if it was not annotated."""
        if "data" not in task:  # JSON-MIN
            lists = [value for value in task.values() if isinstance(value, list) and _are_regions(value)]
            return [{**one, "value": one} for regions in lists for one in regions]
        stated = task.get("annotations", task.get("completions")) or ()
        done = [one for one in stated if not one.get("was_cancelled")]
        if not done:
            return None
        self._several += len(done) > 1
        done.sort(key=lambda one: (bool(one.get("ground_truth")), str(one.get("updated_at", ""))))
        return list(done[-1]["result"])


def _are_regions(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(one, dict) and _label_names(one) for one in values)


def _label_names(value: Any) -> list[Any]:
    if not isinstance(value, dict):
        return []
    return next((value[key] for key in _LABELS if isinstance(value.get(key), list)), [])


def _stated_image(data: Entry) -> str:
    """Returns the image's path or address in a task: that under `image`, or one with the suffix of an image."""
    texts = [data.get("image"), *data.values()] if isinstance(data, dict) else []
    for text in texts:
        if isinstance(text, str) and Path(text.split("?d=")[-1].split("?")[0]).suffix.lower() in IMAGE_SUFFIXES:
            return text
    return str(texts[0]) if texts and isinstance(texts[0], str) else ""


def _objects(region: Entry, position: str) -> Iterator[ObjectRecord]:
    """Yields an object of each class of a region."""
    value = region.get("value", {})
    for name in _label_names(value):
        box, polygons = _shape(value, _ratio(region))
        if box is not None:
            yield ObjectRecord(f"{position}, region {region.get('id', '')}".rstrip(), str(name), box, polygons)


def _ratio(region: Entry) -> float:
    """Returns the width of the image relative to its height: turning a rectangle needs it."""
    width, height = (to_number(region.get(f"original_{side}")) for side in ("width", "height"))
    return width / height if width > 0 and height > 0 else 1.0


def _shape(value: Entry, ratio: float) -> tuple[Box | None, Segmentation]:
    """Returns the box, relative to the image, and the polygons of a region; no box if it is of another kind."""
    if "points" in value:
        polygon = np.array([[to_number(x), to_number(y)] for x, y in value["points"]]).reshape(-1, 2) / _PERCENT
        return (bounding_box([polygon]), (_as_float32(polygon),)) if len(polygon) > 2 else (None, ())
    x, y, width, height, radius_x, radius_y = (
        to_number(value.get(key)) / _PERCENT for key in ("x", "y", "width", "height", "radiusX", "radiusY")
    )
    if "radiusX" in value:
        return (x - radius_x, y - radius_y, x + radius_x, y + radius_y), ()
    if "width" not in value:
        return None, ()
    box = (x, y, x + width, y + height)
    degrees = to_number(value.get("rotation") or 0)
    if not degrees:
        return box, ()
    scaled = (box[0] * ratio, box[1], box[2] * ratio, box[3])  # a turn keeps angles only where pixels are square
    corners = np.asarray(turned_rectangle(scaled, degrees, scaled[:2]), np.float64) / (ratio, 1)
    return bounding_box([corners]), (_as_float32(corners),)


def _as_float32(points: Any) -> Any:
    with np.errstate(over="ignore"):  # validation refuses its box
        return np.asarray(points, np.float32)
