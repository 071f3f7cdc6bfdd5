"""Trains the embedder that a config describes: the same as `track train embedder CONFIG`."""

import sys

from tracker.cli import main

main(["train", "embedder", *sys.argv[1:]])
