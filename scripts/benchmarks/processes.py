"""Runs `track` in other processes."""

import os
import sys

COMMAND = [sys.executable, "-m", "tracker"]


def environment() -> dict[str, str]:
    """Returns environment variables with which such a process imports this same package in any folder."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
