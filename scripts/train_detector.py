"""Trains the detector that a config describes: the same as `track train detector CONFIG`."""

import sys

from tracker.cli import main

main(["train", "detector", *sys.argv[1:]])
