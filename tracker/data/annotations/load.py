"""Reading of annotated images in any known format."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tracker.data.annotations.formats import FORMATS, find_description, list_sets, read_file, read_folder
from tracker.data.annotations.image_set import ImageSet
from tracker.data.annotations.locate import ImageLocator
from tracker.data.annotations.schema import Annotations, Problem
from tracker.data.annotations.validate import validate_annotations
from tracker.data.annotations.yolo_datasets import is_description, list_splits, read_yolo_split, split_name
from tracker.errors import InputError

log = logging.getLogger(__name__)

_INNER_FOLDERS = ("annotations", "labels", "main")
"""Folders of a dataset, in small letters, that hold its annotations and not its images."""


def read_image_set(path: Path, classes: Mapping[str, str], images: Path | None = None, tell: bool = True) -> ImageSet:
    """Reads annotated images in place; the files at the path tell the format.

    Args:
        path: One of
            a COCO JSON file, or the folder that holds it (see `read_coco_annotations`);
            a Pascal VOC folder: Annotations/ and JPEGImages/, or XML files beside their images; or, for one split,
            its ImageSets/Main/NAME.txt (see `read_voc_annotations`);
            a YOLO data.yaml or obj.data, or the folder that holds it, with the split after a colon where it lists
            several: data.yaml:train (see `read_yolo_split`); or a folder of images/, labels/ and classes.txt
            (see `read_yolo_annotations`);
            CVAT's XML of images or of a video (see `read_cvat_annotations`);
            JSON of Label Studio, FiftyOne or LabelMe (see `read_label_studio_annotations`, `read_fiftyone_annotations`
            and `read_labelme_annotations`), or the folder that holds it;
            a MOTChallenge sequence, or a folder of them: NAME/gt/gt.txt and NAME/img1/ (see `read_mot_annotations`).
        classes: New class names by those of the file; {} keeps all names. Several classes may become one.
            Objects of a class that is not named are background, and the detector learns that.
            A class with an empty new name is ignored: detections of it are neither true nor false positives. One
            mapping may serve sets that name their classes differently: a new name that none of a set's classes gets
            counts as not annotated in that set.
        images: Folder in which to look for the images before all others (see `ImageLocator`).
        tell: Log what was left out, mended or assumed; False where the same set was read before.

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
    loaded = load_with_problems(path, classes, images)
    if loaded.problems:
        count = len(loaded.problems) - 1
        more = f"; {count} more are listed by: track data check {path}" if count else ""
        raise InputError(f"{loaded.problems[0]}: mend or remove it{more}")
    for note in loaded.notes if tell else ():
        log.warning("%s", note)
    return loaded.image_set


@dataclass(frozen=True, eq=False)
class LoadedSet:
    """A set of annotated images as far as it can be read.

    Attributes:
        image_set: The images that can be opened, with their valid labels.
        problems: What has to be mended before a training.
        notes: Sentences about what was left out, mended or assumed.
    """

    image_set: ImageSet
    problems: list[Problem]
    notes: list[str]


def load_with_problems(path: Path, classes: Mapping[str, str], images: Path | None = None) -> LoadedSet:
    """Reads as `read_image_set`, but leaves malformed labels out and lists them; raises if nothing can be read."""
    root = _root_of(path)
    locator = ImageLocator([root], images)
    try:
        annotations = _read(path, locator, images)
    except OSError as error:
        raise InputError(f"cannot read the annotations {path}: {error.strerror or error}") from None
    if not annotations.images and not annotations.problems:
        raise InputError(f"{path} names no images: give {FORMATS}")
    image_set, problems, notes = validate_annotations(annotations, classes)
    return LoadedSet(image_set, problems, [*annotations.notes, *notes, *locator.notes()])


def split_paths(path: Path) -> list[Path]:
    """Returns the sets that a path stands for: all splits of a dataset without a chosen one, or the path itself."""
    file = (find_description(path) or path) if path.is_dir() else path
    if is_description(file) and file.is_file():
        return [file.with_name(f"{file.name}:{split}") for split in list_splits(file)]
    return list_sets(path)


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


def _read(path: Path, locator: ImageLocator, images: Path | None) -> Annotations:
    name, _, split = path.name.rpartition(":")
    if split_name(split) and is_description(path.with_name(name or path.name)):
        return read_yolo_split(path.with_name(name), split_name(split), locator, images)
    if not os.path.exists(path):  # not exists(), which raises for names that are too long
        raise InputError(f"{path} does not exist: give {FORMATS}")
    sets = split_paths(path)
    if len(sets) > 1:
        names = ", ".join(one.name.rpartition(":")[2] for one in sets)
        raise InputError(f"{path} lists {names}: choose one, as in {sets[0]}")
    if sets != [path]:
        return _read(sets[0], locator, images)
    return read_folder(path, locator, images) if path.is_dir() else read_file(path, locator)


def _root_of(path: Path) -> Path:
    """Returns the folder in which images are looked for by name: that of the annotations, or of their dataset."""
    folder = path if path.is_dir() else path.parent
    return folder.absolute().parent if folder.name.lower() in _INNER_FOLDERS else folder
