"""COCO's JSON of object instances."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from tracker.data.annotations.polygons import outline_of
from tracker.data.annotations.schema import Annotated, Annotations, Object, Problem, number, xyxy
from tracker.errors import InputError


def read_coco(file: Path) -> Annotations:
    """Reads a COCO file of images, annotations and categories; the classes are in order of category id.

    Beside COCO's own keys, an image may have `unlabelled`: names of classes that were not annotated on it. Its
    `file_name` is looked for in the folder of the JSON and where COCO itself keeps pictures (see `_folder`).

    Raises:
        InputError: The file cannot be read, or is no such JSON.
    """
    try:
        coco = json.loads(file.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(f"{file}, line {error.lineno}: this is not valid JSON ({error.msg}): write it again") from None
    except (UnicodeDecodeError, RecursionError):
        raise InputError(f"{file} is no COCO detection file: it is not JSON text") from None
    try:
        return _Reader(file, coco).annotations()
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        missing = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{file} is no COCO detection file: {missing}") from None


class _Reader:
    def __init__(self, file: Path, coco: dict[str, Any]) -> None:
        self._file = file
        self._images: list[dict[str, Any]] = coco["images"]
        self._rows: list[dict[str, Any]] = coco["annotations"]
        self._categories = sorted(coco["categories"], key=lambda category: category["id"])
        self._names: dict[int, str] = {category["id"]: str(category["name"]) for category in self._categories}
        self._problems: list[Problem] = []

    def annotations(self) -> Annotations:
        categories = tuple(dict.fromkeys(self._names.values()))
        if len(categories) < len(self._categories):
            self._problems.append(Problem(str(self._file), "two categories have the same id or name"))
        known = {image["id"] for image in self._images}
        if len(known) < len(self._images):
            self._problems.append(Problem(str(self._file), "two images have the same id"))
        objects: dict[Any, list[Object]] = defaultdict(list)
        for row in self._rows:
            if row.get("image_id") not in known:
                self._wrong(row, f"there is no image {row.get('image_id')!r}")
            elif row.get("category_id") not in self._names:
                self._wrong(row, f"there is no category {row.get('category_id')!r}")
            else:
                objects[row["image_id"]].append(self._object(row))
        folder = _folder(self._file, self._images)
        pictures = [self._picture(image, folder, objects[image["id"]]) for image in self._images]
        return Annotations(categories, pictures, self._problems)

    def _wrong(self, row: dict[str, Any], what: str) -> None:
        self._problems.append(Problem(f"{self._file}, annotation {row.get('id', '')}".rstrip(), what))

    def _picture(self, image: dict[str, Any], folder: Path, objects: list[Object]) -> Annotated:
        name = str(image["file_name"])
        size = int(image.get("width", 0)), int(image.get("height", 0))
        return Annotated(name, folder / name, self._file, size, objects, tuple(image.get("unlabelled", ())))

    def _object(self, row: dict[str, Any]) -> Object:
        crowd = bool(row.get("iscrowd", 0))
        return Object(
            place=f"annotation {row.get('id', '')}".rstrip(),
            name=self._names[row["category_id"]],
            box=xyxy([number(value) for value in row.get("bbox") or ()]),
            outline=() if crowd else outline_of(row.get("segmentation") or ()),
            ignored=crowd,
        )


def _folder(file: Path, images: list[dict[str, Any]]) -> Path:
    """Where the pictures lie: beside the JSON; of annotations/instances_NAME.json in ../NAME or ../images/NAME."""
    if images:
        split = file.stem.rpartition("_")[2]
        for folder in (file.parent, file.parent.parent / split, file.parent.parent / "images" / split):
            if (folder / str(images[0]["file_name"])).is_file():
                return folder
    return file.parent
