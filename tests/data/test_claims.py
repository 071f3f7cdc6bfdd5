"""Claims on outputs: one owner at a time, and none left behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tracker.data.claims import claim
from tracker.errors import InputError


@pytest.mark.parametrize("name", ["", "tracks.csv"])
def test_one_owner_at_a_time(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    owner = "" if name else rf" \(process {os.getpid()} on .*\)"
    with claim(target), pytest.raises(InputError, match=rf"another run{owner} is writing to"), claim(target):
        pass
    assert not list(tmp_path.iterdir())
    with claim(target):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no links that everybody may make")
def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".tracks.csv.lock").symlink_to(tmp_path / "other")
    with pytest.raises(InputError, match="cannot write to"), claim(tmp_path / "tracks.csv"):
        pass
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_the_claim_of_a_killed_process_is_free(tmp_path: Path) -> None:
    program = "import sys,pathlib,time; from tracker.data.claims import claim\n"
    program += "with claim(pathlib.Path(sys.argv[1])):\n    print('claimed', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"claimed\n"
    with pytest.raises(InputError, match=f"process {process.pid} "), claim(tmp_path):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with claim(tmp_path):
        pass
    assert not list(tmp_path.iterdir())
