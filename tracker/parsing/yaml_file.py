"""YAML files: booleans as YAML 1.2 has them, keys as text, and limits to what a small file can stand for."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import InputError
from tracker.parsing.errors import explain_errors
from tracker.parsing.text import read_text

if TYPE_CHECKING:
    from yaml.nodes import Node

MOST_CHARACTERS = 200_000
"""Longest file that is parsed, which takes seconds; a file of settings or of a dataset has a few thousand of them."""
MOST_VALUES = 100_000
"""Most values of a file after its aliases are replaced by what they stand for."""

_TAG = "tag:yaml.org,2002:"
_WORDS = (f"{_TAG}bool", f"{_TAG}timestamp", f"{_TAG}value")
_VALUES = (f"{_TAG}null", f"{_TAG}int", f"{_TAG}float")


def read_yaml_file(path: Path, as_text: bool = False) -> Any:
    """Reads a YAML file.

    Booleans are true and false alone: yes, no, on and off are words, which may be names of classes, and settings that
    are booleans understand them. Dates are words too, and keys are always text.

    Args:
        path: The file.
        as_text: Return every value as it is written, and never as a number, boolean or null.

    Raises:
        InputError: It cannot be read, is not YAML, is too long, or holds itself; says which line.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "data.yaml").write_text("names: {0: no, 1: 1.0}")
        ...     read_yaml_file(Path(folder, "data.yaml"), as_text=True), read_yaml_file(Path(folder, "data.yaml"))
        ({'names': {'0': 'no', '1': '1.0'}}, {'names': {'0': 'no', '1': 1.0}})
    """
    import yaml

    text = read_text(path, "a YAML file")
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"{path} is too long for a YAML file of settings ({len(text):,} characters): give another one")
    try:
        with explain_errors(path, "a YAML file"):
            return _parse(text, path, as_text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise InputError(f"{path}{line} is not valid YAML: {problem}") from None


def _parse(text: str, path: Path, as_text: bool) -> Any:
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _prepare(node, as_text, path, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _prepare(node: "Node", as_text: bool, path: Path, sizes: dict[int, int]) -> int:
    """Makes words of what is no value in YAML 1.2; returns how many values the node and its children stand for.

    `sizes` are those of the nodes that were seen before, by `id`: an alias is the same node as its anchor.
    """
    from yaml.nodes import MappingNode, ScalarNode, SequenceNode

    if id(node) in sizes:
        return sizes[id(node)]
    sizes[id(node)] = MOST_VALUES  # a node that holds itself is too large
    size = 1
    if isinstance(node, ScalarNode):
        if as_text or node.value.lower() not in ("true", "false"):
            _make_word(node, (*_WORDS, *_VALUES) if as_text else _WORDS)
    elif isinstance(node, SequenceNode):
        size += sum(_prepare(child, as_text, path, sizes) for child in node.value)
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode):
                _make_word(key, (*_WORDS, *_VALUES))
            size += _prepare(key, as_text, path, sizes) + _prepare(value, as_text, path, sizes)
    if size >= MOST_VALUES:
        line = node.start_mark.line + 1
        raise InputError(f"{path}, line {line}: this stands for more than {MOST_VALUES:,} values: write it again")
    sizes[id(node)] = size
    return size


def _make_word(node: "Node", tags: tuple[str, ...]) -> None:
    if node.tag in tags:
        node.tag = f"{_TAG}str"
