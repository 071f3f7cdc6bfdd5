"""Pascal VOC: an XML file for each picture."""

from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from tracker.data.annotations.schema import Annotated, Annotations, Object, Problem, number
from tracker.data.image_files import SUFFIXES

_LINE = "line"  # attribute that carries an element's line number


def read_voc(files: list[Path], pictures: Path) -> Annotations:
    """Reads VOC's XML; the classes are those that occur, by name.

    Difficult objects are ignored, truncated ones are kept. VOC counts pixels from 1 and includes the last one, so that
    xmin 1 and xmax 10 are 0 to 10 here.

    Args:
        files: One XML file for each picture.
        pictures: The folder of the pictures.

    Source: Everingham et al. 2010, The Pascal Visual Object Classes Challenge; its development kit, section 5.
    """
    read: list[Annotated] = []
    problems: list[Problem] = []
    for file in files:
        try:
            read.append(_picture(_parsed(file), file, pictures))
        except FileNotFoundError:
            problems.append(Problem(str(file), "there is no such file"))
        except expat.ExpatError as error:
            problems.append(
                Problem(f"{file}, line {error.lineno}", f"this is not XML ({expat.ErrorString(error.code)})")
            )
    names = {thing.name for picture in read for thing in picture.objects if thing.name}
    return Annotations(tuple(sorted(names)), read, problems)


def _parsed(file: Path) -> Element:
    """The root of an XML file, each of whose elements carries its line number."""
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda tag, _: builder.start(tag, {_LINE: str(parser.CurrentLineNumber)})
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    with file.open("rb") as opened:
        parser.ParseFile(opened)
    return builder.close()


def _picture(root: Element, file: Path, folder: Path) -> Annotated:
    width, height = (number(root.findtext(f"size/{side}", "0")) for side in ("width", "height"))
    size = (int(width), int(height)) if width > 0 and height > 0 else (0, 0)
    path = _file_of(root.findtext("filename", "").strip(), file.stem, folder)
    return Annotated(path.name, path, file, size, [_object(thing) for thing in root.iterfind("object")])


def _file_of(name: str, stem: str, folder: Path) -> Path:
    """The picture that the XML names or, where it was renamed since, the one that is called like the XML."""
    same = [folder / f"{stem}{suffix}" for suffix in SUFFIXES]
    named = folder / name if name else same[0]
    return next((path for path in (named, *same) if path.is_file()), named)


def _object(thing: Element) -> Object:
    left, top, right, bottom = (
        number(thing.findtext(f"bndbox/{edge}", "")) for edge in ("xmin", "ymin", "xmax", "ymax")
    )
    return Object(
        place=f"line {thing.get(_LINE)}",
        name=thing.findtext("name", "").strip(),
        box=(left - 1, top - 1, right, bottom),
        ignored=thing.findtext("difficult", "0").strip() == "1",
    )
