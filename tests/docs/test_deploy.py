"""The unit of systemd and the file of Docker Compose: they are valid, and their commands are accepted."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from doc_commands import COMPOSE, UNIT, unit_command
from paths import REPOSITORY
from tracker.cli.app import app
from tracker.cli.usage import normalize_tokens
from tracker.config import WebConfig
from tracker.web.server import check_access


def check_command(arguments: list[str]) -> WebConfig:
    """Checks that `track` takes some arguments, and returns the settings of the page."""
    command, bound, _ = app.parse_args(normalize_tokens(arguments), exit_on_error=False, print_error=False)
    assert command.__name__ == "live"
    web = bound.arguments.get("web", WebConfig())
    assert isinstance(web, WebConfig)
    return web


def test_the_command_of_the_unit_is_accepted() -> None:
    check_command(unit_command())  # tests/web/test_live.py runs it


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_the_unit_is_valid(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^ExecStart=\S*", f"ExecStart={sys.executable}", UNIT.read_text(encoding="utf-8")))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and unit.name not in done.stderr, done.stderr


def test_the_command_of_the_compose_file_is_accepted_and_guarded() -> None:
    (service,) = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"].values()
    secrets = [re.sub(r"\$\{(\w+)[^}]*\}", r"\1", word) for word in service["command"]]
    web = check_command(secrets)
    check_access(web)
    assert web.token == "TRACKER_TOKEN" and service["ports"] == [f"127.0.0.1:{web.port}:{web.port}"]
    assert f":{web.port}/healthz" in service["healthcheck"]["test"][-1]
    installed = re.search(r"pip install --no-cache-dir (.*)", service["build"]["dockerfile_inline"])
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    needed = {re.split("[>=<]", name)[0] for name in extras["web"] + extras["live"]} - {"video-tracker[web]"}
    assert installed and set(installed[1].split()) == needed


@pytest.mark.skipif(
    subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0
    if shutil.which("docker")
    else True,
    reason="there is no docker compose",
)
def test_the_compose_file_is_valid() -> None:
    command = ["docker", "compose", "-f", COMPOSE, "config", "--quiet"]
    environment = {"TRACKER_TOKEN": "secret", "CAMERA_PASSWORD": "secret", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
