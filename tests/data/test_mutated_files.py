"""Damaged files of users, in many seeded ways: read, or refused in one sentence; no traceback, no hang, no flood."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mutated_files import TEXT_KINDS, WEIGHTS_KINDS, run
from paths import TESTS, python_path

MOST_SECONDS, MOST_MEMORY = 20, 2 * 2**30  # for a file; of a process that reads many
COUNTS = {**dict.fromkeys(TEXT_KINDS, 17), **dict.fromkeys(WEIGHTS_KINDS, 27)}  # more than 500 files


def assert_handled(results: list[dict[str, object]]) -> None:
    wrong = [one for one in results if one["outcome"] not in ("read", "refused")]
    assert not wrong, f"{wrong[0]['kind']}, seed {wrong[0]['seed']}: {wrong[0]['message']}"
    assert all(float(str(one["seconds"])) < MOST_SECONDS for one in results)


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_a_few_damaged_files(tmp_path: Path, kind: str) -> None:
    assert_handled(run(kind, range(1000, 1004), tmp_path / "a"))


@pytest.mark.long
@pytest.mark.parametrize("kind", COUNTS)
def test_many_damaged_files(kind: str) -> None:
    command = [sys.executable, str(TESTS / "mutated_files.py"), kind, "0", str(COUNTS[kind])]
    environment = {**os.environ, "PYTHONPATH": python_path(), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=True)
    *lines, memory = ended.stdout.splitlines()
    results = [json.loads(line) for line in lines]
    assert len(results) == COUNTS[kind]
    print(kind, dict(Counter(one["outcome"] for one in results)), f"{int(memory) / 2**20:.0f} MiB")
    assert_handled(results)
    assert int(memory) < MOST_MEMORY
