"""The README and docs/: every command, flag, preset, program, name, path and link in them exists."""

import re
from pathlib import Path

import pytest
from cyclopts import App

import benchmarks.commands
import tracker
from doc_commands import PAGES, fenced_blocks, shell_commands
from paths import REPOSITORY
from tracker.cli.app import app
from tracker.cli.usage import normalize_tokens
from tracker.config.base import find_config

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
ARCHITECTURE = (REPOSITORY / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
OTHER_FLAGS = {"--fast", "--python", "--oldest", "--help", "--help-all"}
"""Flags of scripts/check, and of all commands."""


def all_flags(commands: App) -> set[str]:
    """Returns the flags of a program and of all of its commands."""
    flags = {flag for name in commands if not name.startswith("-") for flag in all_flags(commands[name])}
    if commands.default_command:
        flags |= {flag for argument in commands.assemble_argument_collection() for flag in argument.names}
    return flags


def benchmark_app() -> App:
    """Returns the commands of scripts/benchmark.py."""
    text = (REPOSITORY / "scripts" / "benchmark.py").read_text(encoding="utf-8")
    commands = App()
    commands.default(benchmarks.commands.stages)
    for name in re.findall(r"app\.command\(commands\.(\w+)\)", text):
        commands.command(getattr(benchmarks.commands, name))
    return commands


def anchors(page: Path) -> set[str]:
    """Returns the anchors that the headings of a page have on GitHub."""
    headings = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@each_page
def test_commands_are_accepted(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    zones = tmp_path / "zones.yaml"  # which is read at once
    zones.write_text("zones: {a: [[0, 0], [1, 0], [1, 1]]}")
    for arguments in shell_commands(text, "track"):
        words = zip(["", *arguments[:-1]], arguments, strict=True)
        arguments = [str(zones) if flag == "--roi" else word for flag, word in words]
        _, bound, _ = app.parse_args(normalize_tokens(arguments), exit_on_error=False, print_error=False)
        config = bound.arguments.get("config")
        if config and not config.suffix and arguments[:2] not in (["train", "embedder"], ["train", "classifier"]):
            assert find_config(config).is_file()  # those two also take folders
    inline = [code.split()[2:] for code in re.findall(r"`(python scripts/benchmark\.py [^`]*)`", text)]
    for arguments in shell_commands(text, "python scripts/benchmark.py") + inline:
        benchmark_app().parse_args(arguments, exit_on_error=False, print_error=False)


def test_every_page_has_commands_or_none_to_check() -> None:
    commands = [line for page in PAGES for line in shell_commands(page.read_text(encoding="utf-8"), "track")]
    assert len(commands) > 40
    assert {line[0] for line in commands} >= set(app) - {"--help", "-h", "--version", "demo", "info", "models"}


@each_page
def test_flags_in_the_text_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    pieces = [code for code in re.findall(r"`([^`]*)`", text) if code.startswith(("--", "track "))]
    flags = {word for code in pieces for word in code.split() if word.startswith("--")}
    assert not flags - all_flags(app) - OTHER_FLAGS


@each_page
def test_programs_use_names_that_exist(page: Path) -> None:
    for program in fenced_blocks(page.read_text(encoding="utf-8"), "python"):
        compile(program, page.name, "exec")
        names = set(re.findall(r"tracker\.(\w+)", program))
        for imported in re.findall(r"from tracker import (.*)", program):
            names |= set(imported.split(", "))
        assert names <= set(tracker.__all__)
        if "video.mp4" not in program:
            exec(program, {})


def test_the_table_of_public_names_is_complete() -> None:
    table = (REPOSITORY / "docs" / "python.md").read_text(encoding="utf-8").partition("## Public names")[2]
    assert set(re.findall(r"`(\w+)`", table)) - {"eval", "train"} == set(tracker.__all__) - {"__version__"}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8"))
    for path, anchor in links:
        if path.startswith("https://"):  # tests run without internet access
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_every_page_of_the_guide_is_linked_from_the_readme() -> None:
    readme = PAGES[0].read_text(encoding="utf-8")
    assert all(f"(docs/{page.name})" in readme for page in PAGES if page.parent.name == "docs")


def test_the_architecture_names_every_folder_and_only_files_that_exist() -> None:
    paths = re.findall(r"`((?:tracker|configs|scripts|docs|tests)/[\w./*-]*)`", ARCHITECTURE)
    assert not [path for path in paths if not list(REPOSITORY.glob(path.rstrip("/")))]
    modules = (REPOSITORY / "tracker").glob("*/**/*.py")
    assert {f"{module.parent.relative_to(REPOSITORY)}/" for module in modules} <= set(paths)
