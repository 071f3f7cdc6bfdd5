"""Annotations from COCO's JSON of object instances."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from tracker.data.annotations.polygons import decode_segmentation
from tracker.data.annotations.schema import Annotations, ImageRecord, ObjectRecord, Problem
from tracker.data.coco_file import Entry, bbox_to_xyxy, describe_error, image_size_of, is_crowd, load_json
from tracker.errors import InputError


def read_coco_annotations(path: Path) -> Annotations:
    """Reads a COCO file of images, annotations and categories; the classes are in order of category id.

    Besides COCO's own keys, an image may have `unlabelled`: names of classes that were not annotated on it. Its
    `file_name` is relative to the folder of the JSON, or to one of those that COCO uses (see `_image_folder`).
    """
    with path.open(encoding="utf-8-sig") as file:
        content = load_json(file, path)
    try:
        return _Reader(path, content).annotations()
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"{path} is no COCO detection file: {describe_error(error)}") from None


class _Reader:
    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self._path = path
        self._images: list[Entry] = content["images"]
        self._annotations: list[Entry] = content["annotations"]
        self._categories = sorted(content["categories"], key=lambda category: category["id"])
        self._names: dict[int, str] = {category["id"]: str(category["name"]) for category in self._categories}
        self._problems: list[Problem] = []

    def annotations(self) -> Annotations:
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
                objects[entry["image_id"]].append(self._object(entry))
        folder = _image_folder(self._path, self._images)
        images = [self._image(image, folder, objects[image["id"]]) for image in self._images]
        return Annotations(categories, images, self._problems)

    def _add_problem(self, entry: Entry, message: str) -> None:
        self._problems.append(Problem(f"{self._path}, {_position(entry)}", message))

    def _image(self, entry: Entry, folder: Path, objects: list[ObjectRecord]) -> ImageRecord:
        name, unlabeled = str(entry["file_name"]), tuple(entry.get("unlabelled", ()))
        return ImageRecord(name, folder / name, self._path, image_size_of(entry), objects, unlabeled)

    def _object(self, entry: Entry) -> ObjectRecord:
        category, box = self._names[entry["category_id"]], bbox_to_xyxy(entry.get("bbox") or ())
        crowd = is_crowd(entry)
        segmentation = () if crowd else decode_segmentation(entry.get("segmentation") or ())
        return ObjectRecord(_position(entry), category, box, segmentation, ignore=crowd)


def _position(entry: Entry) -> str:
    return f"annotation {entry.get('id', '')}".rstrip()


def _image_folder(path: Path, images: list[Entry]) -> Path:
    """Returns the images' folder: the JSON's or, for annotations/instances_NAME.json, ../NAME or ../images/NAME."""
    if images:
        split = path.stem.rpartition("_")[2]
        for folder in (path.parent, path.parent.parent / split, path.parent.parent / "images" / split):
            if (folder / str(images[0]["file_name"])).is_file():
                return folder
    return path.parent
