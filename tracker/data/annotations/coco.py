"""Annotations from COCO's JSON of object instances."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tracker.data.annotations.image_set import Segmentation
from tracker.data.annotations.locate import ImageLocator
from tracker.data.annotations.polygons import bounding_box, decode_segmentation
from tracker.data.annotations.schema import Annotations, ImageRecord, ObjectRecord, Problem
from tracker.data.coco_file import Box, Entry, bbox_to_xyxy, describe_error, image_size_of, is_crowd
from tracker.errors import InputError

MALFORMED = (KeyError, TypeError, AttributeError, IndexError, ValueError, OverflowError)
"""Errors of access to JSON whose values are not of the expected kinds."""


def is_coco(content: Any) -> bool:
    """Checks whether JSON may be a COCO file of object instances."""
    return isinstance(content, dict) and ("images" in content or "annotations" in content)


def read_coco_annotations(path: Path, content: Any, locator: ImageLocator) -> Annotations:
    """Reads a COCO file of images, annotations and categories; the classes are in order of category id.

    Besides COCO's own keys, an image may have `unlabelled`: names of classes that were not annotated on it; and an
    annotation `observed`, as those of tracks have it: where it is false, the box is an ignore region. An image's
    `file_name` is relative to the folder of the JSON, or to one of those that COCO and other tools use (see
    `_image_folders`). A category without boxes that is only the group of others (Roboflow's category 0) is no class.
    """
    try:
        return _Reader(path, content).annotations(locator)
    except MALFORMED as error:
        raise InputError(f"{path} is no COCO detection file: {describe_error(error)}") from None


class _Reader:
    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self._path = path
        self._images: list[Entry] = content["images"]
        self._annotations: list[Entry] = content["annotations"]
        self._problems: list[Problem] = []
        self._notes: list[str] = []
        self._categories = self._classes(content["categories"])
        self._names: dict[int, str] = {category["id"]: str(category["name"]) for category in self._categories}

    def annotations(self, locator: ImageLocator) -> Annotations:
        categories = tuple(dict.fromkeys(self._names.values()))
        if len(categories) < len(self._categories):
            self._problems.append(Problem(str(self._path), "two categories have the same id or name"))
        image_ids = {image["id"] for image in self._images}
        if len(image_ids) < len(self._images):
            self._problems.append(Problem(str(self._path), "two images have the same id"))
        objects: dict[Any, list[ObjectRecord]] = defaultdict(list)
        for entry in self._annotations:
            if entry.get("image_id") not in image_ids:
                self._add_problem(entry, f"there is no image {entry.get('image_id')!r}")
            elif entry.get("category_id") not in self._names:
                self._add_problem(entry, f"there is no category {entry.get('category_id')!r}")
            else:
                objects[entry["image_id"]] += self._object(entry)
        folders = list(_image_folders(self._path))
        images = [self._image(image, locator, folders, objects[image["id"]]) for image in self._images]
        return Annotations(categories, images, self._problems, self._notes)

    def _classes(self, categories: list[Entry]) -> list[Entry]:
        """Returns the categories by id, without those that no annotation has and that only group others."""
        used = {entry.get("category_id") for entry in self._annotations}
        groups = [
            category
            for category in categories
            if category["id"] not in used
            and any(o.get("supercategory") == category["name"] and o is not category for o in categories)
        ]
        for group in groups:
            name, number = group["name"], group["id"]
            self._notes.append(
                f"{self._path}: the category {name!r} (id {number}) has no boxes and groups others: left out"
            )
        return sorted((one for one in categories if one not in groups), key=lambda category: category["id"])

    def _add_problem(self, entry: Entry, message: str) -> None:
        self._problems.append(Problem(f"{self._path}, {_position(entry)}", message))

    def _image(
        self, entry: Entry, locator: ImageLocator, folders: list[Path], objects: list[ObjectRecord]
    ) -> ImageRecord:
        name, unlabeled = str(entry["file_name"]), tuple(map(str, entry.get("unlabelled", ())))
        path, problem = locator.find([name], folders)
        size = image_size_of(entry)
        return ImageRecord(name, path, self._path, size, objects, unlabeled, problem=problem)

    def _object(self, entry: Entry) -> list[ObjectRecord]:
        """Returns the object of an annotation; none if it is malformed, which is a problem.

        A box of a track that was not observed in this frame is ignored: nobody has seen that the object is there.
        """
        category, crowd = self._names[entry["category_id"]], is_crowd(entry)
        try:
            segmentation = () if crowd else decode_segmentation(entry.get("segmentation") or ())
        except MALFORMED as error:
            self._add_problem(entry, describe_error(error))
            return []
        ignore = crowd or entry.get("observed") is False
        return [ObjectRecord(_position(entry), category, _box(entry, segmentation), segmentation, ignore=ignore)]


def _box(entry: Entry, segmentation: Segmentation) -> Box:
    """Returns the box of an annotation, or that of its polygons where it states none."""
    if "bbox" not in entry and segmentation:
        return bounding_box(segmentation)
    return bbox_to_xyxy(entry.get("bbox") or ())


def _position(entry: Entry) -> str:
    return f"annotation {entry.get('id', '')}".rstrip()


def _image_folders(path: Path) -> Iterator[Path]:
    """Yields the folders that file names may be relative to.

    The JSON's own; its images/ (as CVAT and Label Studio have it) or data/ (FiftyOne); and for
    annotations/instances_NAME.json, ../NAME or ../images/NAME (COCO), or ../images.
    """
    folder, above, split = path.parent, path.absolute().parent.parent, path.stem.rpartition("_")[2]
    yield from (folder, folder / "images", folder / "data", folder / split)
    yield from (above / split, above / "images" / split, above / "images", above)
