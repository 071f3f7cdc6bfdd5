"""XML files without entities of their own, whose elements carry their line."""

from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from tracker.errors import InputError
from tracker.parsing.errors import explain_errors

MOST_LEVELS = 64
"""Deepest nesting of elements; those of labelling tools have five levels."""
_LINE = "line number"  # an attribute that no element has, since its name has a space


def read_xml(path: Path, kind: str) -> Element:
    """Reads an XML file; `line_of` tells the line of each element.

    Args:
        path: The file.
        kind: What it should hold, with its article, for error messages.

    Raises:
        InputError: It cannot be read, is not XML, is nested too deeply, or declares entities, which can make a small
            file huge; says which line.
    """
    builder, depth = TreeBuilder(), 0
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MOST_LEVELS:
            raise InputError(f"{path}, line {parser.CurrentLineNumber} is nested too deeply for {kind}: write it again")
        builder.start(tag, {**attributes, _LINE: str(parser.CurrentLineNumber)})

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse_entity(*_: object) -> None:
        raise InputError(f"{path}, line {parser.CurrentLineNumber} declares an entity: remove it")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = refuse_entity
    with explain_errors(path, kind):
        with path.open("rb") as file:
            parser.ParseFile(file)
        return builder.close()


def line_of(element: Element) -> int:
    """Returns the line on which an element of `read_xml` begins."""
    return int(element.get(_LINE, "0"))
