"""Reading of annotated images in any known format."""

import logging
from collections.abc import Mapping
from pathlib import Path

from tracker.data.annotations import yolo
from tracker.data.annotations.coco import read_coco_annotations
from tracker.data.annotations.image_set import ImageSet
from tracker.data.annotations.mot import list_sequences, read_mot_annotations
from tracker.data.annotations.schema import Annotations, Problem
from tracker.data.annotations.validate import validate_annotations
from tracker.data.annotations.voc import read_voc_annotations
from tracker.errors import InputError

log = logging.getLogger(__name__)

FORMATS = (
    "a COCO JSON file, a folder of Pascal VOC (or its ImageSets/Main/NAME.txt), a YOLO data.yaml (data.yaml:train for "
    "one of its splits) or a folder of images/ and labels/, or a sequence of the MOTChallenge with img1/"
)
YAML_SUFFIXES = (".yaml", ".yml")


def read_image_set(path: Path, classes: Mapping[str, str]) -> ImageSet:
    """Reads annotated images in place; the files at the path tell the format.

    Args:
        path: One of
            a COCO JSON file (see `read_coco_annotations`);
            a Pascal VOC folder: Annotations/ and JPEGImages/, or XML files beside their images; or, for one split,
            its ImageSets/Main/NAME.txt (see `read_voc_annotations`);
            a YOLO data.yaml, or the folder that holds it, with the split after a colon where it lists several:
            data.yaml:train; or a folder of images/, labels/ and classes.txt (see `read_yolo_annotations`);
            a MOTChallenge sequence, or a folder of them: NAME/gt/gt.txt and NAME/img1/ (see `read_mot_annotations`).
        classes: New class names by those of the file; {} keeps all names. Several classes may become one.
            Objects of a class that is not named are background, and the detector learns that.
            A class with an empty new name is ignored: detections of it are neither true nor false positives. One
            mapping may serve sets that name their classes differently: a new name that none of a set's classes gets
            counts as not annotated in that set.

    Returns:
        The images; boxes are clipped to them. The categories are in the format's own order, or in that of `classes`.

    Raises:
        InputError: Nothing can be read, or a label is malformed: says which, and how many more there are.

    Example:
        >>> import json, tempfile
        >>> from PIL import Image
        >>> content = {"images": [{"id": 1, "file_name": "1.png"}], "categories": [{"id": 1, "name": "cat"}]}
        >>> content["annotations"] = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 4, 16, 32]}]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (64, 48)).save(f"{folder}/1.png")
        ...     _ = Path(folder, "coco.json").write_text(json.dumps(content))
        ...     read_image_set(Path(folder, "coco.json"), {}).images[0].boxes.tolist()
        [[8.0, 4.0, 24.0, 36.0]]
    """
    image_set, problems = load_with_problems(path, classes)
    if problems:
        more = f"; {len(problems) - 1} more are listed by: track data check {path}" if len(problems) > 1 else ""
        raise InputError(f"{problems[0]}: mend or remove it{more}")
    return image_set


def load_with_problems(path: Path, classes: Mapping[str, str]) -> tuple[ImageSet, list[Problem]]:
    """Reads as `read_image_set`, but leaves malformed labels out and lists them; raises if nothing can be read."""
    try:
        annotations = _read(path)
    except FileNotFoundError as error:
        raise InputError(f"{error.filename or path} does not exist: give {FORMATS}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the annotations {path}: {getattr(error, 'strerror', None) or error}") from None
    if not annotations.images and not annotations.problems:
        raise InputError(f"{path} names no images: give {FORMATS}")
    return validate_annotations(annotations, classes)


def split_paths(path: Path) -> list[Path]:
    """Returns the sets that a path stands for: all splits of a data.yaml without a chosen one, or the path itself."""
    file = path / "data.yaml" if path.is_dir() else path
    if file.suffix in YAML_SUFFIXES and file.is_file():
        return [file.with_name(f"{file.name}:{split}") for split in yolo.list_splits(file)]
    return [path]


def align_categories(image_set: ImageSet, categories: tuple[str, ...], name: str) -> ImageSet:
    """Returns images with labels that are indices into other categories, of which some may never occur.

    Raises:
        InputError: A class of the images is not among the categories; the message calls the set `name`.
    """
    unknown = [category for category in image_set.categories if category not in categories]
    if unknown:
        raise InputError(
            f"{name} does not have the same categories: {', '.join(unknown)} is not among {', '.join(categories)}; "
            "map it with the setting classes"
        )
    absent = [category for category in categories if category not in image_set.categories]
    if absent:
        log.warning("%s lacks %s: taken as not annotated there", name, ", ".join(absent))
    return image_set.with_categories(categories)


def _read(path: Path) -> Annotations:
    name, _, split = path.name.rpartition(":")
    if split in yolo.SPLITS and name.endswith(YAML_SUFFIXES):
        return yolo.read_yolo_split(path.with_name(name), split)
    if path.is_dir():
        return _read_folder(path)
    if path.suffix in YAML_SUFFIXES:
        return _read_yaml(path)
    if path.suffix == ".txt" and path.parent.parent.name == "ImageSets":
        root = path.parent.parent.parent
        stems = [line.split()[0] for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        return read_voc_annotations([root / "Annotations" / f"{stem}.xml" for stem in stems], root / "JPEGImages")
    return read_coco_annotations(path)


def _read_yaml(file: Path) -> Annotations:
    splits = yolo.list_splits(file)
    if len(splits) > 1:
        raise InputError(f"{file} lists {', '.join(splits)}: choose one, as in {file}:{splits[0]}")
    return yolo.read_yolo_split(file, splits[0])


def _read_folder(folder: Path) -> Annotations:
    if (folder / "data.yaml").is_file():
        return _read_yaml(folder / "data.yaml")
    if (folder / "Annotations").is_dir():
        return read_voc_annotations(sorted((folder / "Annotations").glob("*.xml")), folder / "JPEGImages")
    if (folder / "labels").is_dir():
        return _read_yolo_folder(folder)
    if sequences := list_sequences(folder):
        return read_mot_annotations(sequences)
    if files := sorted(folder.glob("*.xml")):
        return read_voc_annotations(files, folder)
    raise InputError(f"the folder {folder} holds no annotated images: give {FORMATS}")


def _read_yolo_folder(folder: Path) -> Annotations:
    try:
        text = (folder / "classes.txt").read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{folder} has labels/, but no data.yaml or classes.txt that names the classes") from None
    names = dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    return yolo.read_yolo_annotations([folder / "images"], names)
