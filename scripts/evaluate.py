"""HOTA, MOTA and IDF1 of MOTChallenge results: python scripts/evaluate.py RESULT.txt GT.txt [RESULT.txt GT.txt ...]"""

import sys
from pathlib import Path

from tracker.evaluation.tracking import read_mot, score_tracks

files = [Path(name) for name in sys.argv[1:]]
pairs = {str(found): (read_mot(found), read_mot(truth)) for found, truth in zip(files[::2], files[1::2], strict=True)}
for name, figure in score_tracks(pairs).items():
    print(f"{name:7s} {figure:8.2f}")
