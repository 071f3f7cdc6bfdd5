"""Docstrings open with a plain sentence, and the package keeps its shape."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import tracker

ROOT = Path(tracker.__file__).parent
QUESTIONS = {"What", "How", "Which", "Whether", "Where", "Who", "When", "As", "From"}
COMMON_NAMES = {"__init__", "data", "train", "module", "report", "plots"}


def docstrings() -> Iterator[tuple[str, str]]:
    """Yields place and text of every docstring: of modules, classes, functions, and attributes."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for statement in getattr(node, "body", None) or () if not isinstance(node, ast.Lambda | ast.IfExp) else ():
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    text = statement.value.value
                    if isinstance(text, str):
                        yield f"{path.relative_to(ROOT)}:{statement.lineno}", text.strip()


def test_docstrings_open_with_a_plain_sentence() -> None:
    texts = dict(docstrings())
    assert len(texts) > 1000
    questions = [f"{place}: {text.splitlines()[0]}" for place, text in texts.items() if text.split()[0] in QUESTIONS]
    assert len(questions) <= 0.01 * len(texts), "\n".join(questions)


def test_a_module_name_occurs_in_two_folders_at_most() -> None:
    folders: dict[str, set[Path]] = defaultdict(set)
    for path in ROOT.rglob("*.py"):
        folders[path.stem].add(path.parent)
    many = {stem for stem, places in folders.items() if len(places) > 2} - COMMON_NAMES
    assert not many
