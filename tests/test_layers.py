"""Who may import whom: a stage knows no other stage, nothing knows what is built on it, and few know torch."""

import ast
from collections.abc import Iterator
from pathlib import Path

import tracker

ROOT = Path(tracker.__file__).parent
STAGES = {"video", "stored", "data", "detection", "appearance", "tracking", "output"}

LEVEL = {
    **dict.fromkeys(("types", "boxes", "masks", "config", "errors", "motchallenge", "weights", "flow"), 0),
    "networks": 1,
    **dict.fromkeys(STAGES, 2),
    **dict.fromkeys(("summary", "record", "voting", "looking", "remembered", "demo"), 3),
    "stages": 4,
    **dict.fromkeys(("results", "sharing"), 5),
    **dict.fromkeys(("pipeline", "retracking"), 6),
    **dict.fromkeys(("several", "evaluation", "collecting"), 7),
    "training": 8,
    **dict.fromkeys(("screen", "reports", "scores", "accuracy", "trials", "checks", "sheet", "harvest"), 9),
    **dict.fromkeys(("watching", "resemblance", "exporting", "benching", "cli"), 9),
}

# What a room sees of tracker besides itself, where its level alone would allow more.
ONLY = {
    **{room: {"types", "boxes", "config", "errors"} for room in ("video", "tracking")},
    "output": {"types", "boxes", "masks", "config", "errors"},
    **{room: {"types", "boxes", "config", "errors", "motchallenge"} for room in ("stored", "data")},
    **{room: {"types", "boxes", "config", "errors", "weights", "networks"} for room in ("detection", "appearance")},
    "networks": {"errors", "weights"},
    **{room: {"types"} for room in ("summary", "voting")},
    "demo": {"errors"},
    "record": {"config", "errors"},
    "training": {"types", "boxes", "config", "errors", "weights", "networks", *STAGES, "evaluation"},
}
BESIDE = {"training": {"data", "detection", "appearance"}}  # stages that a room may know, where that is not all of them
HEAVY = {"torch", "torchvision", "lightning"}
MAY_LOAD_HEAVY = {"networks", "detection", "appearance", "training", "evaluation"}


def modules() -> Iterator[tuple[str, str, ast.Module]]:
    """Room, file and syntax tree of each module; the lazy `tracker/__init__.py` belongs to no room."""
    for path in sorted(ROOT.rglob("*.py")):
        inside = path.relative_to(ROOT)
        if str(inside) != "__init__.py":
            yield inside.parts[0].removesuffix(".py"), str(inside), ast.parse(path.read_text(encoding="utf-8"))


def imported(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Dotted names of all modules that are imported; of `from a import b`, both a and a.b."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a name comes from"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when a module is imported: not the bodies of functions."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from at_import(node)


def rooms_of(tree: ast.Module) -> set[str]:
    names = [name.split(".") for name in imported(ast.walk(tree)) if name.startswith("tracker.")]
    return {parts[1] for parts in names} & LEVEL.keys()


def test_every_room_has_its_level() -> None:
    assert {room for room, _, _ in modules()} == LEVEL.keys()


def test_nothing_knows_what_is_built_on_it() -> None:
    for room, file, tree in modules():
        above = {other for other in rooms_of(tree) - {room} if LEVEL[other] > LEVEL[room]}
        assert not above, f"{file} imports {above}"


def test_rooms_know_only_what_they_need() -> None:
    for room, file, tree in modules():
        if room in ONLY:
            more = rooms_of(tree) - {room} - ONLY[room]
            assert not more, f"{file} imports {more}"
        if room in BESIDE:
            stages = (rooms_of(tree) & STAGES) - BESIDE[room]
            assert not stages, f"{file} imports {stages}"


def test_torch_is_loaded_by_few() -> None:
    for room, file, tree in modules():
        loaded = {name.split(".")[0] for name in imported(at_import(tree))} & HEAVY
        assert not loaded or room in MAY_LOAD_HEAVY, f"{file} imports {loaded}"


def test_stages_without_networks_never_touch_torch() -> None:
    for room, file, tree in modules():
        if room in {"video", "stored", "data", "tracking", "output"}:
            assert not {name.split(".")[0] for name in imported(ast.walk(tree))} & HEAVY, file
