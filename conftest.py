"""Keeps pytest from importing what holds no doctest: most modules, some of which need optional packages."""

from pathlib import Path


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Ignores modules of the package without examples, and the helpers of the tests."""
    if collection_path.suffix != ".py" or collection_path.name.startswith("test_"):
        return None
    return True if ">>>" not in collection_path.read_text(encoding="utf-8") else None
