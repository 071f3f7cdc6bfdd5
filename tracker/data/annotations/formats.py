"""The formats of annotated images: which one a file or a folder has, by its content, and who reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from tracker.data.annotations import voc
from tracker.data.annotations.coco import is_coco, read_coco_annotations
from tracker.data.annotations.cvat import read_cvat_annotations
from tracker.data.annotations.fiftyone import is_fiftyone, read_fiftyone_annotations
from tracker.data.annotations.label_studio import is_label_studio, read_label_studio_annotations
from tracker.data.annotations.labelme import is_labelme, read_labelme_annotations
from tracker.data.annotations.locate import ImageLocator
from tracker.data.annotations.mot import list_sequences, read_mot_annotations
from tracker.data.annotations.schema import Annotations
from tracker.data.annotations.yolo import NAME_FILES
from tracker.data.annotations.yolo_datasets import YAML_NAMES, read_yolo_folder
from tracker.errors import InputError
from tracker.parsing import read_head, read_json, read_lines, read_xml

FORMATS = (
    "a COCO JSON file, YOLO's data.yaml (data.yaml:train for one of its splits), obj.data or folder of images/ and "
    "labels/, a folder of Pascal VOC (or its ImageSets/Main/NAME.txt), CVAT's XML, JSON of Label Studio, FiftyOne or "
    "LabelMe, or a sequence of the MOTChallenge with img1/"
)
_SPLIT_FOLDERS = ("train", "valid", "val", "test")
_ANNOTATION_FOLDERS = ("Annotations", "annotations", "labels")
_NO_ANNOTATIONS = ("metadata.json", "frames.json", "notes.json", "dataset_meta.json")
"""JSON files of FiftyOne, Label Studio and Datumaro beside those of the annotations."""


class JsonFormat(NamedTuple):
    """A format of JSON: what tells it, and its reader, which gets the file and its content."""

    matches: Callable[[Any], bool]
    read: Callable[[Path, Any, ImageLocator], Annotations]


JSON_FORMATS = (
    JsonFormat(is_labelme, lambda path, content, locator: read_labelme_annotations([path], locator)),
    JsonFormat(is_fiftyone, read_fiftyone_annotations),
    JsonFormat(is_label_studio, read_label_studio_annotations),
    JsonFormat(is_coco, read_coco_annotations),
)
XML_FORMATS: dict[str, Callable[[Path, Element, ImageLocator], Annotations]] = {
    "annotations": read_cvat_annotations,
    "annotation": lambda path, root, locator: voc.read_voc_annotations([path], locator),
}
"""The readers by the tag of an XML file's first element."""


def read_file(path: Path, locator: ImageLocator) -> Annotations:
    """Reads a file of annotations that is no description of a YOLO dataset.

    Raises:
        InputError: It cannot be read, or is of no known format.
    """
    if path.suffix == ".txt" and path.parent.parent.name == "ImageSets":
        root = path.parent.parent.parent
        stems = [line.split()[0] for line in read_lines(path, "a list of images") if line]
        return voc.read_voc_annotations([root / "Annotations" / f"{stem}.xml" for stem in stems], locator)
    start = read_head(path, "a file of annotations").lstrip()
    if start.startswith("<"):
        root_element = read_xml(path, "a file of annotations")
        if root_element.tag not in XML_FORMATS:
            raise InputError(f"{path} is XML that begins with {root_element.tag!r}, and no annotations: give {FORMATS}")
        return XML_FORMATS[root_element.tag](path, root_element, locator)
    content = read_json(path, "a file of annotations")
    for one in JSON_FORMATS:
        if one.matches(content):
            return one.read(path, content, locator)
    raise InputError(f"{path} is JSON, but holds no annotations of a known kind: give {FORMATS}")


def list_sets(path: Path) -> list[Path]:
    """Returns the sets of a folder that is none itself: its files of annotations, or its folders of splits."""
    if not path.is_dir() or _is_set(path):
        return [path]
    for folder in (path, *(path / name for name in _ANNOTATION_FOLDERS)):
        files = [file for file in sorted(folder.glob("*.json")) if file.name not in _NO_ANNOTATIONS]
        if files := files or _several_of_cvat(folder):
            return files
    splits = [path / name for name in _SPLIT_FOLDERS if (path / name).is_dir()]
    found = [one for folder in splits for one in list_sets(folder) if one != folder or _is_set(folder)]
    return found or [path]


def read_folder(folder: Path, locator: ImageLocator, images: Path | None) -> Annotations:
    """Reads a folder that is a set of annotated images, as the files in it tell.

    Raises:
        InputError: It holds none.
    """
    for one in FOLDER_FORMATS:
        if files := one.find(folder):
            return one.read(files, folder, locator, images)
    raise InputError(f"the folder {folder} holds no annotated images: give {FORMATS}")


def find_description(folder: Path) -> Path | None:
    """Returns the data.yaml or obj.data of a folder, if it has one."""
    named = [folder / name for name in YAML_NAMES]
    return next((file for file in (*named, *sorted(folder.glob("*.data"))) if file.is_file()), None)


def _is_set(folder: Path) -> bool:
    """Checks whether a folder is a set, or has a description of its splits."""
    return find_description(folder) is not None or any(one.find(folder) for one in FOLDER_FORMATS)


def _several_of_cvat(folder: Path) -> list[Path]:
    """Returns the XML files of a folder if they are several of CVAT, each of which is a set."""
    files = sorted(folder.glob("*.xml"))
    is_cvat = len(files) > 1 and "<annotations" in read_head(files[0], "a file of annotations")
    return files if is_cvat else []


def _xml_inside(folder: Path) -> list[Path]:
    """Returns the XML files in a folder's Annotations/ or the like."""
    return next((files for name in _ANNOTATION_FOLDERS if (files := sorted((folder / name).rglob("*.xml")))), [])


def _yolo_files(folder: Path) -> list[Path]:
    """Returns a folder labels/, or text files of labels beside a file of class names."""
    labels = folder / "labels"
    if labels.is_dir() and not next(labels.glob("*.json"), None):
        return [labels]
    has_names = any((folder / name).is_file() for name in NAME_FILES)
    return [file for file in sorted(folder.glob("*.txt")) if has_names and file.name not in NAME_FILES]


def _labelme_files(folder: Path) -> list[Path]:
    """Returns LabelMe's files in a folder or in its labels/; [] where the first JSON there is of another format."""
    for place in (folder, *(folder / name for name in _ANNOTATION_FOLDERS)):
        if files := sorted(place.glob("*.json")):
            try:
                return files if is_labelme(read_json(files[0], "a file of annotations")) else []
            except InputError:
                return []
    return []


def _xml_beside(folder: Path) -> list[Path]:
    """Returns the XML files in a folder, if they are one set."""
    return [] if _several_of_cvat(folder) else sorted(folder.glob("*.xml"))


def _read_xml_files(files: list[Path], folder: Path, locator: ImageLocator, images: Path | None) -> Annotations:
    """Reads a folder's XML files: one of CVAT, or those of Pascal VOC."""
    if len(files) == 1:
        return read_file(files[0], locator)
    return voc.read_voc_annotations(files, locator)


class FolderFormat(NamedTuple):
    """A layout of a folder: what finds its files, none where it is another one, and its reader.

    The reader gets these files, the folder, what finds images, and the folder of images that a user gave.
    """

    find: Callable[[Path], list[Path]]
    read: Callable[[list[Path], Path, ImageLocator, Path | None], Annotations]


FOLDER_FORMATS = (
    FolderFormat(_xml_inside, _read_xml_files),
    FolderFormat(_yolo_files, lambda files, folder, locator, images: read_yolo_folder(folder, locator, images)),
    FolderFormat(list_sequences, lambda files, folder, locator, images: read_mot_annotations(files)),
    FolderFormat(_labelme_files, lambda files, folder, locator, images: read_labelme_annotations(files, locator)),
    FolderFormat(_xml_beside, _read_xml_files),
)
