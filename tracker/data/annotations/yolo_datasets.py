"""Datasets of YOLO: a data.yaml (Ultralytics), an obj.data (Darknet, CVAT's YOLO 1.1), or folders with class names."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tracker.data.annotations.locate import ImageLocator, path_parts
from tracker.data.annotations.schema import Annotations, Problem
from tracker.data.annotations.yolo import NAME_FILES, read_class_names, read_yolo_annotations, unused_labels
from tracker.data.image_files import list_images
from tracker.errors import InputError
from tracker.parsing import read_lines, read_yaml_file, to_whole_number

YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
"""Names of descriptions of datasets; any other name is accepted where the file itself is given."""
SPLITS = ("train", "val", "test")
_OTHER_NAMES = {"valid": "val", "validation": "val"}
_SPLIT_WORD = re.compile(r"(train|val|valid|validation|test)\d*$", re.IGNORECASE)
_ABSENT = ("", "null", "~", "none")  # texts of a split that is not there, in any case


def split_name(name: str) -> str:
    """Returns the name of a split, train, val or test, that a word means; "" if it means none."""
    known = _OTHER_NAMES.get(name, name)
    return known if known in SPLITS else ""


def list_splits(file: Path) -> list[str]:
    """Returns those of train, val and test that a data.yaml or an obj.data lists, at least one."""
    splits = [name for name in SPLITS if name in _sources(_read_description(file))]
    if not splits:
        raise InputError(f"{file} names no images: it needs train:, val: or test:")
    return splits


def read_yolo_split(file: Path, split: str, locator: ImageLocator, images: Path | None) -> Annotations:
    """Reads one split of the dataset that a file describes; `images` is a folder in which to look for the images.

    data.yaml has `path`, `train`, `val`, `test`, `names`, and `kpt_shape` of poses; a split is a folder, a text file
    that lists images, or several of them. obj.data has `train`, `valid` and `names`, which are files.

    Raises:
        InputError: There is no such split, none of its folders and lists exists, or the classes have no names.
    """
    splits = list_splits(file)
    if split not in splits:
        raise InputError(f"{file} has no {split}: it lists {', '.join(splits)}")
    values = _read_description(file)
    names = _class_names(values.get("names"), file)
    sources = _sources(values)[split]
    found = {source: _find_folder(source, str(values.get("path") or ""), file.parent, images) for source in sources}
    missing = [source for source, path in found.items() if path is None]
    if len(missing) == len(sources):
        raise InputError(f"{file} names {missing[0]}, but there is no {file.parent.joinpath(*path_parts(missing[0]))}")
    key_points = _key_points(values.get("kpt_shape"), file)
    annotations = _read_sources([path for path in found.values() if path], names, key_points, locator)
    problems = [Problem(str(file), f"it names {source}, but there is no such folder or file") for source in missing]
    return replace(annotations, problems=[*problems, *annotations.problems])


def read_yolo_folder(folder: Path, locator: ImageLocator, images: Path | None) -> Annotations:
    """Reads a folder of images/ and labels/, or one with images and labels side by side, and a file of class names."""
    names_file = find_names_file(folder)
    if names_file is None:
        raise InputError(f"{folder} has labels, but no data.yaml or classes.txt that names the classes")
    names = read_class_names(names_file)
    inside = next((folder / name for name in ("images", "Images", "JPEGImages") if (folder / name).is_dir()), folder)
    if images:
        return read_yolo_annotations(list_images(images), names, label_folder=folder)
    return _read_sources([inside], names, None, locator)


def find_names_file(folder: Path) -> Path | None:
    """Returns the file of class names of a folder: inside it, or up to two folders above."""
    above = folder.absolute()
    for place in (folder, above.parent, above.parent.parent):
        for name in NAME_FILES:
            if (place / name).is_file():
                return place / name
    return None


def is_description(file: Path) -> bool:
    """Checks whether a file may be a data.yaml or an obj.data."""
    return file.suffix.lower() in (".yaml", ".yml") or (file.suffix == ".data" and file.is_file())


def _read_description(file: Path) -> Mapping[str, Any]:
    if file.suffix != ".data":
        values = read_yaml_file(file, as_text=True)
        if not isinstance(values, dict):
            raise InputError(f"{file} describes no dataset: it needs names:, and train:, val: or test:")
        return values
    pairs = (line.partition("=") for line in read_lines(file, "a description of a dataset"))
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def _sources(values: Mapping[str, Any]) -> dict[str, list[str]]:
    """Returns the folders and lists of images of each split that is there."""
    sources: dict[str, list[str]] = {}
    for key, value in values.items():
        texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
        stated = [text for text in texts if text.lower() not in _ABSENT]
        if split_name(key) and stated:
            sources.setdefault(split_name(key), stated)
    return sources


def _class_names(names: Any, file: Path) -> dict[int, str]:
    if isinstance(names, str) and names:  # obj.data
        found = _find_folder(names, "", file.parent, None)
        if found is None or found.is_dir():
            raise InputError(f"{file} says that the classes are named in {names}, but there is no such file")
        return read_class_names(found)
    by_number = dict(enumerate(names)) if isinstance(names, list) else names
    numbers = {to_whole_number(key): name for key, name in by_number.items()} if isinstance(by_number, dict) else {}
    if not numbers or None in numbers or not all(isinstance(name, str) for name in numbers.values()):
        raise InputError(f"{file} does not name the classes: it needs names:, a list, or numbers with names")
    return {number: str(name) for number, name in numbers.items() if number is not None}


def _key_points(shape: Any, file: Path) -> tuple[int, int] | None:
    if shape is None:
        return None
    numbers = [to_whole_number(value) for value in shape] if isinstance(shape, list) else []
    if len(numbers) != 2 or numbers[0] is None or numbers[1] not in (2, 3) or numbers[0] < 1:
        raise InputError(f"{file}: kpt_shape is {shape}, not the number of key points and of their values, 2 or 3")
    return numbers[0], numbers[1]


def _find_folder(stated: str, root: str, folder: Path, images: Path | None) -> Path | None:
    """Returns the folder or list that a description names, or None.

    It is relative to `path` or to the description. Some tools write ../train/images for train/images, and many files
    were made on another computer or in another folder: the longest end of the stated path that exists counts, but never
    one without the name of its split.
    """
    for place in (folder.joinpath(*path_parts(root)), folder / root, folder):
        if os.path.exists(place / stated):  # not exists(), which raises for names that are too long
            return place / stated
    parts = tuple(part for part in (*path_parts(root), *path_parts(stated)) if part != "..")
    last_start = next((n for n, part in enumerate(parts) if _SPLIT_WORD.match(part)), len(parts) - 1)
    for place in (folder, *([images] if images else [])):
        for start in range(last_start + 1):
            if os.path.exists(path := place.joinpath(*parts[start:])):
                return path
    return None


def _read_sources(
    sources: Iterable[Path], names: Mapping[int, str], key_points: tuple[int, int] | None, locator: ImageLocator
) -> Annotations:
    """Reads the images of folders, where labels without an image are a problem, and of lists."""
    images: list[Path] = []
    problems: list[Problem] = []
    for source in sources:
        if source.is_dir():
            inside = list_images(source)
            problems += unused_labels(inside)
        else:
            inside = _listed_images(source, locator, problems)
        images += inside
    unique = list(dict.fromkeys(images))
    repeated = len(images) - len(unique)
    notes = [f"{repeated} images are listed twice: they count once"] if repeated else []
    annotations = read_yolo_annotations(unique, names, key_points)
    return replace(annotations, problems=[*problems, *annotations.problems], notes=[*notes, *annotations.notes])


def _listed_images(file: Path, locator: ImageLocator, problems: list[Problem]) -> list[Path]:
    images = []
    for number, line in enumerate(read_lines(file, "a list of images"), 1):
        if not line:
            continue
        located = locator.find([line], [file.parent])
        if located.problem:
            problems.append(Problem(f"{file}, line {number}", located.problem))
        else:
            images.append(located.path)
    return images
