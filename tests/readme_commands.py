"""What the README tells people to type."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from paths import REPOSITORY

README = REPOSITORY / "README.md"


def readme_commands(mark: str) -> list[list[str]]:
    """The arguments of the `track` commands in the README's block below the comment `mark`."""
    block = re.search(rf"<!-- {mark} -->\n```bash\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert block
    return [shlex.split(line)[1:] for line in block[1].splitlines() if line.startswith("track ")]


def run_track(arguments: list[str], folder: Path) -> str:
    """Runs `track` in a folder to a good end; returns what it printed."""
    done = subprocess.run([sys.executable, "-m", "tracker", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout
