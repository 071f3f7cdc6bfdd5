"""Keeps pytest from importing what holds no doctest and, for the smoke tests, what holds no smoke test.

Most modules hold none, and some of them need optional packages.
"""

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignores modules of the package without examples, the helpers of the tests, and all but smoke tests for these."""
    if collection_path.suffix != ".py":
        return None
    text = collection_path.read_text(encoding="utf-8")
    if config.getoption("markexpr") == "smoke":
        return None if "pytest.mark.smoke" in text else True
    return None if collection_path.name.startswith("test_") or ">>>" in text else True
