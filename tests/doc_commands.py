"""Commands and programs in the README and the pages of docs/."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from paths import REPOSITORY

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
UNIT = REPOSITORY / "docs" / "deploy" / "tracker.service"
COMPOSE = REPOSITORY / "docs" / "deploy" / "compose.yaml"


def fenced_blocks(text: str, language: str) -> list[str]:
    """Returns the contents of the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def shell_commands(text: str, program: str) -> list[list[str]]:
    """Returns the arguments of each command that starts with `program` in the bash blocks of a page."""
    lines = [line for block in fenced_blocks(text, "bash") for line in block.replace("\\\n", " ").splitlines()]
    words = [shlex.split(line, comments=True) for line in lines if line.startswith(f"{program} ")]
    return [line[len(program.split()) :] for line in words]


def marked_commands(mark: str) -> list[list[str]]:
    """Returns the arguments of the `track` commands in the block below the comment `mark`, on whichever page it is."""
    found = [text for page in PAGES if f"<!-- {mark} -->" in (text := page.read_text(encoding="utf-8"))]
    assert len(found) == 1, f"{len(found)} pages have the mark {mark}"
    block = re.search(rf"<!-- {mark} -->\n(```bash\n.*?^```)", found[0], re.DOTALL | re.MULTILINE)
    assert block
    return shell_commands(block[1], "track")


def unit_command() -> list[str]:
    """Returns the arguments of `track` in the unit of systemd."""
    found = re.search(r"^ExecStart=\S*/track (.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return shlex.split(found[1])


def run_track(arguments: list[str], folder: Path) -> str:
    """Runs `track` in a folder, requires success, and returns what it printed."""
    done = subprocess.run([sys.executable, "-m", "tracker", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout
