"""Each folder imports only from folders on lower floors, and few of them import torch."""

import ast
from collections.abc import Iterator
from pathlib import Path

import tracker

ROOT = Path(tracker.__file__).parent
FLOOR = {
    **dict.fromkeys(("errors", "structures"), 0),
    "parsing": 1,
    "config": 2,
    "data": 3,
    **dict.fromkeys(("video", "models", "tracking", "output"), 4),
    "pipeline": 5,
    "analytics": 5,
    "web": 6,
    "evaluation": 6,
    "training": 7,
    "cli": 8,
    "__main__": 9,
}
HEAVY = {"torch", "torchvision", "lightning"}
MAY_LOAD_HEAVY = {"models", "training", "evaluation"}


def modules() -> Iterator[tuple[str, str, ast.Module]]:
    """Yields folder, file and syntax tree of each module; the lazy `tracker/__init__.py` belongs to no folder."""
    for path in sorted(ROOT.rglob("*.py")):
        inside = path.relative_to(ROOT)
        if str(inside) != "__init__.py":
            yield inside.parts[0].removesuffix(".py"), str(inside), ast.parse(path.read_text(encoding="utf-8"))


def imported(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Yields the dotted names of all modules that are imported; of `from a import b`, both a and a.b."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a name comes from"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Yields the nodes that run when a module is imported: not the bodies of functions."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from at_import(node)


def folders_imported(tree: ast.Module) -> set[str]:
    names = [name.split(".") for name in imported(ast.walk(tree)) if name.startswith("tracker.")]
    return {parts[1] for parts in names} & FLOOR.keys()


def test_every_folder_has_its_floor() -> None:
    assert {folder for folder, _, _ in modules()} == FLOOR.keys()


def test_folders_import_only_from_lower_floors() -> None:
    for folder, file, tree in modules():
        wrong = {other for other in folders_imported(tree) - {folder} if FLOOR[other] >= FLOOR[folder]}
        assert not wrong, f"{file} imports {wrong}"


def test_torch_is_imported_by_few() -> None:
    for folder, file, tree in modules():
        heavy = {name.split(".")[0] for name in imported(at_import(tree))} & HEAVY
        assert not heavy or folder in MAY_LOAD_HEAVY, f"{file} imports {heavy}"


def test_torch_is_never_imported_where_no_network_runs() -> None:
    for folder, file, tree in modules():
        if folder in {"structures", "parsing", "config", "video", "data", "tracking", "output"}:
            assert not {name.split(".")[0] for name in imported(ast.walk(tree))} & HEAVY, file
