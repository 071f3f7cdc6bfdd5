"""Annotations from YOLO's text files: one for each image, with a row for each object."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracker.config import read_yaml
from tracker.data.annotations.schema import Annotations, ImageRecord, ObjectRecord, Problem
from tracker.data.coco_file import to_number
from tracker.data.image_files import list_images
from tracker.errors import InputError

SPLITS = ("train", "val", "test")


def read_yolo_annotations(sources: Sequence[Path], names: Mapping[int, str]) -> Annotations:
    """Reads the labels of images: rows of `class x y w h`, or of `class x y x y ...` for a polygon.

    Coordinates are relative to the image's width and height, from 0 to 1; x y w h are center and size. The labels of
    .../images/NAME.jpg are .../labels/NAME.txt, or lie beside the image; an image without them has no objects. The
    sources are folders of images, or text files that list them.

    Raises:
        InputError: None of the images has labels.
    """
    problems: list[Problem] = []
    paths = [path for source in sources for path in _image_paths(source, problems)]
    files = [label_path(path) for path in paths]
    if paths and not any(file.is_file() for file in files):
        raise InputError(f"there are no labels: those of {paths[0]} should be {files[0]}")
    images = [
        ImageRecord(path.name, path, file, (0, 0), _objects(file, names, problems), normalized=True)
        for path, file in zip(paths, files, strict=True)
    ]
    return Annotations(tuple(names[key] for key in sorted(names)), images, problems)


def _image_paths(source: Path, problems: list[Problem]) -> list[Path]:
    """Returns the images of a folder, where labels without an image are a problem, or those of a list."""
    if not source.is_dir():
        lines = source.read_text(encoding="utf-8-sig").splitlines()
        return [source.parent / line.strip() for line in lines if line.strip()]
    paths = list_images(source)
    expected = {label_path(path) for path in paths}
    existing = {file for folder in {file.parent for file in expected} for file in folder.glob("*.txt")}
    unused = sorted(file for file in existing - expected if file.name != "classes.txt")
    problems += [Problem(str(file), "there is no image of these labels") for file in unused]
    return paths


def label_path(image: Path) -> Path:
    """Returns the path of an image's labels: with `labels` for the last `images` in it, and the suffix .txt."""
    folders = image.parent.parts
    for index in range(len(folders) - 1, -1, -1):
        if folders[index] == "images":
            return Path(*folders[:index], "labels", *folders[index + 1 :], f"{image.stem}.txt")
    return image.with_suffix(".txt")


def _objects(file: Path, names: Mapping[int, str], problems: list[Problem]) -> list[ObjectRecord]:
    if not file.is_file():
        return []
    objects = []
    for line, row in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
        columns = row.split()
        error = _row_error(columns, names) if columns else ""
        if error:
            problems.append(Problem(f"{file}, line {line}", error))
        elif columns:
            objects.append(_object(columns, f"line {line}", names))
    return objects


def _row_error(columns: list[str], names: Mapping[int, str]) -> str:
    if len(columns) != 5 and (len(columns) < 7 or len(columns) % 2 == 0):
        return f"{len(columns)} columns, where a box has 5, and a polygon an odd number from 7"
    if not columns[0].isdecimal() or int(columns[0]) not in names:
        return f"there is no class {columns[0]}: they are {', '.join(map(str, sorted(names)))}"
    return ""


def _object(columns: list[str], position: str, names: Mapping[int, str]) -> ObjectRecord:
    values = np.array([to_number(text) for text in columns[1:]]).reshape(-1, 2)
    name = names[int(columns[0])]
    if len(values) == 2:
        (x, y), (width, height) = values.tolist()
        return ObjectRecord(position, name, (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    (x1, y1), (x2, y2) = values.min(0).tolist(), values.max(0).tolist()
    return ObjectRecord(position, name, (x1, y1, x2, y2), (values.astype(np.float32),))


def list_splits(file: Path) -> list[str]:
    """Returns those of train, val and test that a data.yaml lists, at least one."""
    values = read_yaml(file)
    splits = [name for name in SPLITS if values.get(name)]
    if not splits:
        raise InputError(f"{file} names no images: it needs train:, val: or test:")
    return splits


def read_yolo_split(file: Path, split: str) -> Annotations:
    """Reads one split of the dataset that a data.yaml describes: `path`, `train`, `val`, `test`, and `names`."""
    splits = list_splits(file)
    if split not in splits:
        raise InputError(f"{file} has no {split}: it lists {', '.join(splits)}")
    values = read_yaml(file)
    root = file.parent / str(values.get("path") or ".")
    sources = values[split] if isinstance(values[split], list) else [values[split]]
    names = _class_names(values.get("names"), file)
    return read_yolo_annotations([_resolve(root, str(source), file) for source in sources], names)


def _class_names(names: Any, file: Path) -> dict[int, str]:
    by_number = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(by_number, dict) or not by_number or not all(isinstance(key, int) for key in by_number):
        raise InputError(f"{file} does not name the classes: it needs names:, a list, or numbers with names")
    return {key: str(name) for key, name in by_number.items()}


def _resolve(root: Path, source: str, file: Path) -> Path:
    """Returns the path of a folder or list of images; some tools write ../train/images for train/images."""
    candidates = [root / source, file.parent / source.removeprefix("../")]
    for path in candidates:
        if path.exists():
            return path
    raise InputError(f"{file} names {source}, but there is no {candidates[0]}")
