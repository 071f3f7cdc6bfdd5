"""Scores results against the truth: the same as `track eval ...`."""

import sys

from tracker.cli import main

main(["eval", *sys.argv[1:]])
