"""YOLO's text files: one for each picture, with a row for each object."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracker.config import read_yaml
from tracker.data.annotations.schema import Annotated, Annotations, Box, Object, Problem, number
from tracker.data.image_files import pictures_in
from tracker.errors import InputError

SPLITS = ("train", "val", "test")


def read_yolo(places: Sequence[Path], names: Mapping[int, str]) -> Annotations:
    """Reads the labels of pictures: rows of `class x y w h`, or of `class x y x y ...` for an outline.

    Coordinates are shares of the picture's width and height; x y w h are centre and size. The labels of
    .../images/NAME.jpg are .../labels/NAME.txt, or lie beside the picture; a picture without them shows no object.

    Args:
        places: Folders of pictures, or text files that list them.
        names: Of the classes, by their number in the rows.

    Raises:
        InputError: None of the pictures has labels.
    """
    problems: list[Problem] = []
    paths = [path for place in places for path in _listed(place, problems)]
    files = [label_file(path) for path in paths]
    if paths and not any(file.is_file() for file in files):
        raise InputError(f"there are no labels: those of {paths[0]} should be {files[0]}")
    read = [
        Annotated(path.name, path, file, (0, 0), _objects(file, names, problems), shares=True)
        for path, file in zip(paths, files, strict=True)
    ]
    return Annotations(tuple(names[key] for key in sorted(names)), read, problems)


def _listed(place: Path, problems: list[Problem]) -> list[Path]:
    """The pictures of a folder, all of whose labels must have one, or those of a list."""
    if not place.is_dir():
        lines = place.read_text(encoding="utf-8-sig").splitlines()
        return [place.parent / line.strip() for line in lines if line.strip()]
    paths = pictures_in(place)
    expected = {label_file(path) for path in paths}
    written = {file for folder in {file.parent for file in expected} for file in folder.glob("*.txt")}
    alone = sorted(file for file in written - expected if file.name != "classes.txt")
    problems += [Problem(str(file), "there is no picture of these labels") for file in alone]
    return paths


def label_file(picture: Path) -> Path:
    """Where a picture's labels are: with `labels` for the last `images` in its path, and the suffix .txt."""
    above = picture.parent.parts
    for place in range(len(above) - 1, -1, -1):
        if above[place] == "images":
            return Path(*above[:place], "labels", *above[place + 1 :], f"{picture.stem}.txt")
    return picture.with_suffix(".txt")


def _objects(file: Path, names: Mapping[int, str], problems: list[Problem]) -> list[Object]:
    if not file.is_file():
        return []
    objects = []
    for line, row in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
        columns = row.split()
        wrong = _fault(columns, names) if columns else ""
        if wrong:
            problems.append(Problem(f"{file}, line {line}", wrong))
        elif columns:
            objects.append(_object(columns, f"line {line}", names))
    return objects


def _fault(columns: list[str], names: Mapping[int, str]) -> str:
    if len(columns) != 5 and (len(columns) < 7 or len(columns) % 2 == 0):
        return f"{len(columns)} columns, where a box has 5, and an outline an odd number from 7"
    if not columns[0].isdecimal() or int(columns[0]) not in names:
        return f"there is no class {columns[0]}: they are {', '.join(map(str, sorted(names)))}"
    return ""


def _object(columns: list[str], place: str, names: Mapping[int, str]) -> Object:
    values = np.array([number(text) for text in columns[1:]]).reshape(-1, 2)
    if len(values) == 2:
        centre, size = values
        return Object(place, names[int(columns[0])], _box(centre - size / 2, centre + size / 2))
    outline = (values.astype(np.float32),)
    return Object(place, names[int(columns[0])], _box(values.min(0), values.max(0)), outline)


def _box(first: Any, last: Any) -> Box:
    (x1, y1), (x2, y2) = first.tolist(), last.tolist()
    return x1, y1, x2, y2


def yaml_splits(file: Path) -> list[str]:
    """Which of train, val and test a data.yaml lists.

    Raises:
        InputError: It cannot be read, or lists none.
    """
    values = read_yaml(file)
    splits = [name for name in SPLITS if values.get(name)]
    if not splits:
        raise InputError(f"{file} names no pictures: it needs train:, val: or test:")
    return splits


def read_yaml_split(file: Path, split: str) -> Annotations:
    """Reads one split of the set that a data.yaml describes: `path`, `train`, `val`, `test`, and `names`.

    Raises:
        InputError: The split, its pictures or the names are missing.
    """
    splits = yaml_splits(file)
    if split not in splits:
        raise InputError(f"{file} has no {split}: it lists {', '.join(splits)}")
    values = read_yaml(file)
    root = file.parent / str(values.get("path") or ".")
    given = values[split] if isinstance(values[split], list) else [values[split]]
    return read_yolo([_found(root, str(place), file) for place in given], _names(values.get("names"), file))


def _names(names: Any, file: Path) -> dict[int, str]:
    numbered = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(numbered, dict) or not numbered or not all(isinstance(key, int) for key in numbered):
        raise InputError(f"{file} does not name the classes: it needs names:, a list, or numbers with names")
    return {key: str(name) for key, name in numbered.items()}


def _found(root: Path, place: str, file: Path) -> Path:
    """A folder or list of pictures; some tools write ../train/images where they mean train/images."""
    candidates = [root / place, file.parent / place.removeprefix("../")]
    for path in candidates:
        if path.exists():
            return path
    raise InputError(f"{file} speaks of {place}, but there is no {candidates[0]}")
