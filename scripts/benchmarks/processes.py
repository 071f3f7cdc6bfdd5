"""Runs of `track` in processes of their own."""

import os
import sys

COMMAND = [sys.executable, "-m", "tracker"]


def environment() -> dict[str, str]:
    """The environment in which such a process finds this same program, whatever folder it runs in."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
