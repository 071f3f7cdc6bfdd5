"""Annotations from Pascal VOC: an XML file for each image."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from tracker.data.annotations.locate import ImageLocator
from tracker.data.annotations.schema import Annotations, ImageRecord, ObjectRecord, Problem
from tracker.errors import InputError
from tracker.parsing import line_of, read_xml, to_number, to_whole_number

KIND = "an annotation of Pascal VOC"
_IMAGE_FOLDERS = ("JPEGImages", "images", "data")
"""Folders of images beside that of the XML files: those of Pascal VOC, Label Studio and FiftyOne."""


def read_voc_annotations(files: Sequence[Path], locator: ImageLocator) -> Annotations:
    """Reads Pascal VOC's XML; the classes are those that occur, by name.

    There is one XML file for each image. Difficult objects are ignored, truncated ones are not. VOC counts pixels from
    1 and includes the last one, so that xmin 1 and xmax 10 are 0 to 10 here. The image is the one that the XML names
    or, where that was renamed since, the one with the XML's own name.

    Source: Everingham et al. 2010, The Pascal Visual Object Classes Challenge; its development kit, section 5.
    """
    images: list[ImageRecord] = []
    problems: list[Problem] = []
    for file in files:
        if not file.is_file():
            problems.append(Problem(str(file), "there is no such file"))
            continue
        try:
            root = read_xml(file, KIND)
        except InputError as error:
            problems.append(Problem.from_error(file, error))
            continue
        if root.tag == "annotation":
            images.append(_image(root, file, locator))
        else:
            problems.append(Problem(str(file), f"this is not {KIND}: its first element is {root.tag!r}"))
    names = {record.category for image in images for record in image.objects if record.category}
    return Annotations(tuple(sorted(names)), images, problems)


def _image(root: Element, file: Path, locator: ImageLocator) -> ImageRecord:
    width, height = (to_whole_number(root.findtext(f"size/{side}", "0")) or 0 for side in ("width", "height"))
    size = (width, height) if width > 0 and height > 0 else (0, 0)
    name = root.findtext("filename", "").strip()
    path, problem = locator.find([name, file.stem] if name else [file.stem], _image_folders(file.parent))
    objects = [_object(element) for element in root.iterfind("object")]
    return ImageRecord(path.name, path, file, size, objects, problem=problem)


def _image_folders(folder: Path) -> list[Path]:
    """Returns the folders of images that belong to a folder of XML files."""
    candidates = (above / name for above in (folder.parent, folder) for name in _IMAGE_FOLDERS)
    return [*(path for path in candidates if path.is_dir()), folder]


def _object(element: Element) -> ObjectRecord:
    edges = ("xmin", "ymin", "xmax", "ymax")
    left, top, right, bottom = (to_number(element.findtext(f"bndbox/{edge}", "")) for edge in edges)
    return ObjectRecord(
        position=f"line {line_of(element)}",
        category=element.findtext("name", "").strip(),
        box=(left - 1, top - 1, right, bottom),
        ignore=to_number(element.findtext("difficult", "0")) == 1,
    )
