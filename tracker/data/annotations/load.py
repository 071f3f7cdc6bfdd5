"""From a path to annotated pictures, whatever their layout."""

import logging
from collections.abc import Mapping
from pathlib import Path

from tracker.data.annotations.coco import read_coco
from tracker.data.annotations.image_set import ImageSet
from tracker.data.annotations.mot import read_mot, sequences_in
from tracker.data.annotations.schema import Annotations, Problem
from tracker.data.annotations.validate import judged
from tracker.data.annotations.voc import read_voc
from tracker.data.annotations.yolo import SPLITS, read_yaml_split, read_yolo, yaml_splits
from tracker.errors import InputError

log = logging.getLogger(__name__)

LAYOUTS = (
    "a COCO JSON file, a folder of Pascal VOC (or its ImageSets/Main/NAME.txt), a YOLO data.yaml (data.yaml:train for "
    "one of its splits) or a folder of images/ and labels/, or a sequence of the MOTChallenge with img1/"
)
YAML = (".yaml", ".yml")


def read_pictures(path: Path, classes: Mapping[str, str]) -> ImageSet:
    """Reads annotated pictures in place; the layout is told by what lies there.

    Args:
        path: One of
            a COCO JSON file (see `read_coco`);
            a Pascal VOC folder: Annotations/ and JPEGImages/, or XML files beside their pictures; or, for one split,
            its ImageSets/Main/NAME.txt (see `read_voc`);
            a YOLO data.yaml, or the folder that holds it, with the split after a colon where it lists several:
            data.yaml:train; or a folder of images/, labels/ and classes.txt (see `read_yolo`);
            a sequence of the MOTChallenge, or a folder of sequences: NAME/gt/gt.txt and NAME/img1/ (see `read_mot`).
        classes: What to make of the classes: {their name: our name}; {} keeps all as they are. Several may become one.
            An object of a class that is not named is background: it is none of ours, and the detector learns that.
            A class with an empty name of ours is ignored: what is found there is neither right nor wrong. The mapping
            may serve sets that name their classes differently: what none of a set's classes becomes was not annotated
            in that set.

    Returns:
        The pictures; boxes are clipped to them. The categories are in the layout's own order, or in that of `classes`.

    Raises:
        InputError: Nothing can be read, or a label is bad: says which, and how many more there are.
    """
    pictures, problems = load_with_problems(path, classes)
    if problems:
        more = f"; {len(problems) - 1} more are told by: track data check {path}" if len(problems) > 1 else ""
        raise InputError(f"{problems[0]}: mend or remove it{more}")
    return pictures


def load_with_problems(path: Path, classes: Mapping[str, str]) -> tuple[ImageSet, list[Problem]]:
    """As `read_pictures`, but bad labels are left out and listed.

    Raises:
        InputError: Nothing can be read at all.
    """
    try:
        annotations = _read(path)
    except FileNotFoundError as error:
        raise InputError(f"{error.filename or path} does not exist: give {LAYOUTS}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the annotations {path}: {getattr(error, 'strerror', None) or error}") from None
    if not annotations.pictures and not annotations.problems:
        raise InputError(f"{path} names no pictures: give {LAYOUTS}")
    return judged(annotations, classes)


def split_paths(path: Path) -> list[Path]:
    """The sets that a path stands for: the splits of a data.yaml, where none was chosen; else the path itself.

    Raises:
        InputError: The data.yaml cannot be read.
    """
    file = path / "data.yaml" if path.is_dir() else path
    if file.suffix in YAML and file.is_file():
        return [file.with_name(f"{file.name}:{split}") for split in yaml_splits(file)]
    return [path]


def same_classes(pictures: ImageSet, categories: tuple[str, ...], where: str) -> ImageSet:
    """The pictures with their labels in the order of other categories.

    Args:
        pictures: Of which some of the categories may never occur.
        categories: The names that the labels shall stand for.
        where: What the pictures are called in the error.

    Raises:
        InputError: A class of the pictures is not among the categories.
    """
    unknown = [name for name in pictures.categories if name not in categories]
    if unknown:
        raise InputError(
            f"{where} does not have the same categories: {', '.join(unknown)} is not among {', '.join(categories)}; "
            "map it with the setting classes"
        )
    absent = [name for name in categories if name not in pictures.categories]
    if absent:
        log.warning("%s does not know %s: taken as not annotated there", where, ", ".join(absent))
    return pictures.with_categories(categories)


def _read(path: Path) -> Annotations:
    name, _, split = path.name.rpartition(":")
    if split in SPLITS and name.endswith(YAML):
        return read_yaml_split(path.with_name(name), split)
    if path.is_dir():
        return _read_folder(path)
    if path.suffix in YAML:
        return _read_yaml(path)
    if path.suffix == ".txt" and path.parent.parent.name == "ImageSets":
        return _read_voc_split(path)
    return read_coco(path)


def _read_yaml(file: Path) -> Annotations:
    splits = yaml_splits(file)
    if len(splits) > 1:
        raise InputError(f"{file} lists {', '.join(splits)}: say which, as in {file}:{splits[0]}")
    return read_yaml_split(file, splits[0])


def _read_voc_split(file: Path) -> Annotations:
    root = file.parent.parent.parent
    stems = [line.split()[0] for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    return read_voc([root / "Annotations" / f"{stem}.xml" for stem in stems], root / "JPEGImages")


def _read_folder(folder: Path) -> Annotations:
    if (folder / "data.yaml").is_file():
        return _read_yaml(folder / "data.yaml")
    if (folder / "Annotations").is_dir():
        return read_voc(sorted((folder / "Annotations").glob("*.xml")), folder / "JPEGImages")
    if (folder / "labels").is_dir():
        return _read_yolo_folder(folder)
    if sequences := sequences_in(folder):
        return read_mot(sequences)
    files = sorted(folder.glob("*.xml"))
    if files:
        return read_voc(files, folder)
    raise InputError(f"the folder {folder} holds no annotated pictures: give {LAYOUTS}")


def _read_yolo_folder(folder: Path) -> Annotations:
    try:
        text = (folder / "classes.txt").read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{folder} has labels/, but no data.yaml or classes.txt that names the classes") from None
    names = dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    return read_yolo([folder / "images"], names)
