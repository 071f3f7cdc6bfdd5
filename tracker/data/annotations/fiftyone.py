"""Annotations from FiftyOne's own formats: FiftyOneImageDetectionDataset and FiftyOneDataset.

Source: https://docs.voxel51.com/user_guide/export_datasets.html
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tracker.data.annotations.coco import MALFORMED
from tracker.data.annotations.locate import ImageLocator
from tracker.data.annotations.schema import Annotations, ImageRecord, ObjectRecord, Problem
from tracker.data.coco_file import bbox_to_xyxy, describe_error
from tracker.parsing import to_whole_number

Entry = dict[str, Any]


def is_fiftyone(content: Any) -> bool:
    """Checks whether JSON may be labels.json of images by name, or samples.json of a whole dataset."""
    if not isinstance(content, dict):
        return False
    return isinstance(content.get("labels"), dict) or isinstance(content.get("samples"), list)


def read_fiftyone_annotations(path: Path, content: Entry, locator: ImageLocator) -> Annotations:
    """Reads labels.json or samples.json, with images in data/.

    Boxes are relative to the image's width and height. The classes are those that the file lists, and those that occur.
    Of a dataset, all fields with detections count but those that are predictions, whose detections have a confidence.
    """
    images: list[ImageRecord] = []
    problems: list[Problem] = []
    classes = content.get("classes")
    listed = [str(name) for name in classes] if isinstance(classes, list) else []
    for name, entries, size in _samples(content):
        try:
            located, problem = locator.find([name], [path.parent / "data", path.parent])
            objects = [_object(entry, listed, f"{name}, detection {n}") for n, entry in enumerate(entries, 1)]
            images.append(ImageRecord(located.name, located, path, size, objects, normalized=True, problem=problem))
        except MALFORMED as error:
            problems.append(Problem(f"{path}, {name}", describe_error(error)))
    used = {record.category for image in images for record in image.objects if record.category}
    return Annotations(tuple(dict.fromkeys([*listed, *sorted(used)])), images, problems)


def _samples(content: Entry) -> Iterator[tuple[str, list[Any], tuple[int, int]]]:
    """Yields name, detections and stated size of each image."""
    if isinstance(content.get("labels"), dict):
        for name, entries in content["labels"].items():
            yield name, entries if isinstance(entries, list) else [], (0, 0)
        return
    for sample in content["samples"]:
        if not isinstance(sample, dict):
            continue
        fields = [field for field in sample.values() if isinstance(field, dict)]
        lists = [field["detections"] for field in fields if isinstance(field.get("detections"), list)]
        entries = [entry for detections in lists for entry in detections if not _is_prediction(entry)]
        stated = sample.get("metadata")
        metadata = stated if isinstance(stated, dict) else {}
        width, height = (to_whole_number(metadata.get(side)) or 0 for side in ("width", "height"))
        yield str(sample.get("filepath", "")), entries, (width, height)


def _is_prediction(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("confidence") is not None


def _object(entry: Entry, classes: list[str], position: str) -> ObjectRecord:
    label = entry["label"]
    number = to_whole_number(label) if not isinstance(label, str) else None
    name = classes[number] if number is not None and 0 <= number < len(classes) else str(label)
    box = bbox_to_xyxy(entry["bounding_box"])
    crowd = bool(entry.get("iscrowd") or (entry.get("attributes") or {}).get("iscrowd"))
    return ObjectRecord(position, name, box if np.isfinite(box).all() else (np.nan,) * 4, ignore=crowd)
