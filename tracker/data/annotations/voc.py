"""Annotations from Pascal VOC: an XML file for each image."""

from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from tracker.data.annotations.schema import Annotations, ImageRecord, ObjectRecord, Problem
from tracker.data.coco_file import to_number
from tracker.data.image_files import IMAGE_SUFFIXES

_LINE = "line"  # attribute that carries an element's line number


def read_voc_annotations(files: list[Path], image_folder: Path) -> Annotations:
    """Reads Pascal VOC's XML; the classes are those that occur, by name.

    There is one XML file for each image. Difficult objects are ignored, truncated ones are not. VOC counts pixels from
    1 and includes the last one, so that xmin 1 and xmax 10 are 0 to 10 here.

    Source: Everingham et al. 2010, The Pascal Visual Object Classes Challenge; its development kit, section 5.
    """
    images: list[ImageRecord] = []
    problems: list[Problem] = []
    for file in files:
        try:
            images.append(_image(_parse(file), file, image_folder))
        except FileNotFoundError:
            problems.append(Problem(str(file), "there is no such file"))
        except expat.ExpatError as error:
            message = f"this is not XML ({expat.ErrorString(error.code)})"
            problems.append(Problem(f"{file}, line {error.lineno}", message))
    names = {record.category for image in images for record in image.objects if record.category}
    return Annotations(tuple(sorted(names)), images, problems)


def _parse(file: Path) -> Element:
    """Returns the root of an XML file, each of whose elements carries its line number."""
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda tag, _: builder.start(tag, {_LINE: str(parser.CurrentLineNumber)})
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    with file.open("rb") as opened:
        parser.ParseFile(opened)
    return builder.close()


def _image(root: Element, file: Path, folder: Path) -> ImageRecord:
    width, height = (to_number(root.findtext(f"size/{side}", "0")) for side in ("width", "height"))
    size = (int(width), int(height)) if width > 0 and height > 0 else (0, 0)
    path = _image_path(root.findtext("filename", "").strip(), file.stem, folder)
    return ImageRecord(path.name, path, file, size, [_object(element) for element in root.iterfind("object")])


def _image_path(name: str, stem: str, folder: Path) -> Path:
    """Returns the image that the XML names or, where it was renamed since, the one with the XML's own name."""
    same_stem = [folder / f"{stem}{suffix}" for suffix in IMAGE_SUFFIXES]
    stated = folder / name if name else same_stem[0]
    return next((path for path in (stated, *same_stem) if path.is_file()), stated)


def _object(element: Element) -> ObjectRecord:
    edges = ("xmin", "ymin", "xmax", "ymax")
    left, top, right, bottom = (to_number(element.findtext(f"bndbox/{edge}", "")) for edge in edges)
    return ObjectRecord(
        position=f"line {element.get(_LINE)}",
        category=element.findtext("name", "").strip(),
        box=(left - 1, top - 1, right, bottom),
        ignore=element.findtext("difficult", "0").strip() == "1",
    )
