"""Frames per second of each stage and of the whole run on a clip, and the peak memory of a run.

Usage: python scripts/benchmark.py CLIP [FRAMES]
       python scripts/benchmark.py memory CLIP...     one run each, in a process of its own
"""

import subprocess
import sys
import tempfile

from tracker.config import Config
from tracker.record import versions


def speed(clip: str, frames: int = 300) -> None:
    from tracker.evaluation.speed import stage_speeds

    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    for stage, rate in stage_speeds(clip, Config(), frames).items():
        print(f"{stage:10s} {rate:8.1f} frames/s  {1000 / rate:7.2f} ms/frame")


def memory(clips: list[str]) -> None:
    for clip in clips:
        with tempfile.TemporaryDirectory() as folder:
            outputs = ["--output", f"{folder}/video.mp4", "--output", f"{folder}/tracks.csv"]
            code = "import sys, resource; from tracker.cli import main\ntry: main(sys.argv[1:])\n"
            code += "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
            command = [sys.executable, "-c", code, clip, "--quiet", *outputs]
            peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
            print(f"{clip}: peak memory {peak} MiB")


if __name__ == "__main__":
    if sys.argv[1] == "memory":
        memory(sys.argv[2:])
    else:
        speed(sys.argv[1], *map(int, sys.argv[2:]))
