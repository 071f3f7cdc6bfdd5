"""Annotations from YOLO's text files: one for each image, with a row for each object."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tracker.data.annotations.polygons import bounding_box
from tracker.data.annotations.schema import Annotations, ImageRecord, ObjectRecord, Problem
from tracker.data.image_files import IMAGE_SUFFIXES
from tracker.errors import InputError
from tracker.parsing import read_text, split_numbers, to_number, to_whole_number

NAME_FILES = ("classes.txt", "obj.names", "classes.names", "labels.txt", "_darknet.labels")
"""Files that name the classes, one a line: of LabelImg and Label Studio, of CVAT and Darknet, of Roboflow."""
_BOX_COLUMNS = 5  # class, center x, center y, width, height
_MOST_CLASSES = 10  # that a message lists


def read_yolo_annotations(
    images: Sequence[Path],
    names: Mapping[int, str],
    key_points: tuple[int, int] | None = None,
    label_folder: Path | None = None,
) -> Annotations:
    """Reads the labels of images: rows of `class x y w h`, or of `class x y x y ...` for a polygon.

    Coordinates are relative to the image's width and height, from 0 to 1; x y w h are center and size. Numbers may be
    separated by spaces, commas or semicolons. The labels of .../images/NAME.jpg are .../labels/NAME.txt, or lie beside
    the image; an image without them has no objects.

    Args:
        images: The images.
        names: Class names by number.
        key_points: The `kpt_shape` of a dataset of poses, the number of key points and of the values of each: rows with
            so many more columns are boxes, and the key points are left out.
        label_folder: Folder in which labels are looked for by name if they are not where they should be.

    Raises:
        InputError: None of the images has labels.
    """
    reader = _Reader(names, key_points)
    files = _label_files(images, label_folder)
    if images and not any(file.is_file() for file in files):
        raise InputError(f"there are no labels: those of {images[0]} should be {label_path(images[0])}")
    records = [
        ImageRecord(path.name, path, file, (0, 0), reader.objects(file), normalized=True)
        for path, file in zip(images, files, strict=True)
    ]
    categories = tuple(names[key] for key in sorted(names))
    return Annotations(categories, records, reader.problems, _shared_labels(images, files))


def label_path(image: Path) -> Path:
    """Returns the path of an image's labels: with `labels` for the last `images` in it, and the suffix .txt.

    If they lie beside the image, it is that path.

    Example:
        >>> label_path(Path("pets/images/train/1.jpg")).as_posix()
        'pets/labels/train/1.txt'
    """
    beside = image.with_suffix(".txt")
    folders = image.parent.parts
    for index in range(len(folders) - 1, -1, -1):
        if folders[index].lower() == "images":
            labels = "labels" if folders[index] == "images" else "Labels"
            path = Path(*folders[:index], labels, *folders[index + 1 :], beside.name)
            return beside if beside.is_file() and not path.is_file() else path
    return beside


def unused_labels(images: Sequence[Path]) -> list[Problem]:
    """Returns the label files, in the folders of the images' labels, that belong to none of the images."""
    expected = {label_path(path) for path in images}
    existing = {file for folder in {file.parent for file in expected} for file in folder.glob("*.txt")}
    unused = sorted(file for file in existing - expected if file.name not in NAME_FILES)
    return [Problem(str(file), "there is no image of these labels") for file in unused if not _lists_images(file)]


def read_class_names(file: Path) -> dict[int, str]:
    """Reads a file that names a class on each line; blank lines name none."""
    lines = read_text(file, "a list of class names").splitlines()
    return {number: line.strip() for number, line in enumerate(lines) if line.strip()}


def _lists_images(file: Path) -> bool:
    """Checks whether a text file beside images is a list of images, such as Darknet's train.txt."""
    with file.open("rb") as opened:
        first = opened.readline(1000).decode("utf-8", "replace").strip()
    return Path(first).suffix.lower() in IMAGE_SUFFIXES


def _label_files(images: Sequence[Path], folder: Path | None) -> list[Path]:
    files = [label_path(image) for image in images]
    if folder is None or all(file.is_file() for file in files):
        return files
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*.txt")):
        by_stem[path.stem].append(path)
    alone = {stem: paths[0] for stem, paths in by_stem.items() if len(paths) == 1}
    return [file if file.is_file() else alone.get(file.stem, file) for file in files]


def _shared_labels(images: Sequence[Path], files: Sequence[Path]) -> list[str]:
    """Returns a sentence about images that have the same file of labels, such as a.jpg and a.png."""
    by_file: dict[Path, list[Path]] = defaultdict(list)
    for image, file in zip(images, files, strict=True):
        by_file[file].append(image)
    shared = [(file, paths) for file, paths in by_file.items() if len(paths) > 1 and file.is_file()]
    if not shared:
        return []
    file, paths = shared[0]
    example = f"{file} is that of {' and '.join(path.name for path in paths[:3])}"
    return [f"{len(shared)} files of labels are shared by several images, which all get the same boxes: {example}"]


class _Reader:
    """Reads files of labels, and collects their problems."""

    def __init__(self, names: Mapping[int, str], key_points: tuple[int, int] | None) -> None:
        self.problems: list[Problem] = []
        self._names = names
        self._pose_columns = _BOX_COLUMNS + key_points[0] * key_points[1] if key_points else 0
        self._key_points = key_points

    def objects(self, file: Path) -> list[ObjectRecord]:
        """Returns the objects of a file; none if it does not exist."""
        if not file.is_file():
            return []
        try:
            lines = read_text(file, "a file of labels").splitlines()
        except InputError as error:
            self.problems.append(Problem.from_error(file, error))
            return []
        objects = []
        for line, row in enumerate(lines, 1):
            columns = split_numbers(row)
            if not columns:
                continue
            if error_text := self._row_error(columns):
                self.problems.append(Problem(f"{file}, line {line}", error_text))
            else:
                objects.append(self._object(columns, f"line {line}"))
        return objects

    def _row_error(self, columns: list[str]) -> str:
        count = len(columns)
        is_polygon = count >= 7 and count % 2 == 1
        if count not in (_BOX_COLUMNS, self._pose_columns) and (self._pose_columns or not is_polygon):
            if self._key_points:
                shape = list(self._key_points)
                return f"{count} columns, where a box has 5, and with kpt_shape {shape} {self._pose_columns}"
            return f"{count} columns, where a box has 5, and a polygon an odd number from 7"
        if to_whole_number(columns[0]) not in self._names:
            known = sorted(self._names)
            more = f", ... {known[-1]}" if len(known) > _MOST_CLASSES else ""
            return f"there is no class {columns[0]}: they are {', '.join(map(str, known[:_MOST_CLASSES]))}{more}"
        return ""

    def _object(self, columns: list[str], position: str) -> ObjectRecord:
        name = self._names[int(to_number(columns[0]))]
        values = np.array([to_number(text) for text in columns[1:]])
        if len(columns) in (_BOX_COLUMNS, self._pose_columns):
            x, y, width, height = values[:4].tolist()
            return ObjectRecord(position, name, (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
        with np.errstate(over="ignore"):  # validation refuses its box
            polygon = values.reshape(-1, 2).astype(np.float32)
        return ObjectRecord(position, name, bounding_box([values.reshape(-1, 2)]), (polygon,))
