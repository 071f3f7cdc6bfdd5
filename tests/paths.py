"""Paths of the repository, of the program with stub networks, and of the larger data beside the repository."""

import os
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
REPOSITORY = TESTS.parent
STUB = TESTS / "stub_networks.py"
"""A program that is `track` with stub networks."""
SHARED = REPOSITORY.parent / "shared"
"""Clips, annotated images and sequences that are not in the repository; tests that need them skip without them."""
CASES = SHARED / "cases"
"""Inputs that people reported trouble with; a README says what is right for each."""
DATA = SHARED / "data"
CLIPS = DATA / "clips"
SEQUENCES = DATA / "tracking"
PETS = SEQUENCES / "PETS09-S2L1"
MOT15 = ("ADL-Rundle-6", "ETH-Sunnyday", "KITTI-17", "PETS09-S2L1", "TUD-Campus", "TUD-Stadtmitte")
"""The sequences that the tracker's default settings were chosen on."""


def python_path(folder: Path = TESTS) -> str:
    """Returns the value of PYTHONPATH with which a process also imports from a folder."""
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the inputs of shared/cases are not in the repository")
