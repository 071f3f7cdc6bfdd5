"""Damaged copies of small videos: no traceback, no hang, little memory, and hardly a frame lost without a word."""

import json
import os
import subprocess
import sys

import pytest

from paths import REPOSITORY, TESTS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def read_damaged_copies(count: int, seed: int) -> dict[str, int]:
    """Returns the sums of `mutated_videos.py`, and prints what it reports."""
    command = [sys.executable, str(TESTS / "mutated_videos.py"), "--count", str(count), "--seed", str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    print(done.stdout)
    sums: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return sums


def check(sums: dict[str, int]) -> None:
    ended = sums["read"] + sums["refused"]
    assert ended == sums["copies"], sums  # no error but an InputError, none killed, none hung
    assert sums["memory"] < 2**31


@pytest.mark.slow
def test_a_few_damaged_videos() -> None:
    check(read_damaged_copies(60, 5))


@pytest.mark.long
def test_a_thousand_damaged_videos() -> None:
    sums = read_damaged_copies(1000, 0)
    check(sums)
    # Those are losses that leave no trace in the file: the end of a bare stream, pixels inside a GIF's frame.
    assert sums["read, with fewer frames"] > 200 and sums["silent loss"] <= 15 and sums["silent shift"] <= 5
