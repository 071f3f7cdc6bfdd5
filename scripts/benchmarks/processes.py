"""Runs `track` in other processes, and finds what they need of the machine."""

import os
import shutil
import socket
import sys

from tracker.errors import InputError

COMMAND = [sys.executable, "-m", "tracker"]


def environment() -> dict[str, str]:
    """Returns environment variables with which such a process imports this same package in any folder."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def free_port() -> int:
    """Returns a port of this machine that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_chromium() -> str:
    """Returns the path of a Chromium that Playwright can drive.

    Raises:
        InputError: There is none, or the package playwright is not installed.
    """
    try:
        import playwright  # noqa: F401
    except ImportError:
        raise InputError("the page is measured by the package playwright: install it") from None
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not path:
        raise InputError("there is no Chromium: apt-get install chromium")
    return path
