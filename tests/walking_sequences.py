"""Small sequences of walkers in the layout of the MOTChallenge, each with its truth and what a detector made of it."""

from pathlib import Path

import numpy as np

WIDTH, HEIGHT, FPS = 640, 480, 10


def write_sequence(folder: Path, seed: int, frames: int = 30, walkers: int = 5, missed: float = 0.15) -> Path:
    """Walkers who cross, some of them overlooked, among false alarms, which have lower scores."""
    draw = np.random.default_rng(seed)
    start, speed = draw.uniform((0, 0), (560, 340), (walkers, 2)), draw.normal(0, 5, (walkers, 2))
    found, true = [], []
    for frame in range(1, frames + 1):
        for walker in range(walkers):
            x, y = start[walker] + frame * speed[walker]
            true.append(f"{frame},{walker + 1},{x:.2f},{y:.2f},50,120,1,-1,-1,-1")
            if draw.random() >= missed:
                x, y = draw.normal((x, y), 2)
                found.append(f"{frame},-1,{x:.2f},{y:.2f},50,120,{draw.uniform(0.6, 1):.3f},-1,-1,-1")
        if draw.random() < 0.3:
            x, y = draw.uniform((0, 0), (560, 340))
            found.append(f"{frame},-1,{x:.2f},{y:.2f},50,120,{draw.uniform(0.3, 0.8):.3f},-1,-1,-1")
    for name, rows in (("det", found), ("gt", true)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{name}.txt").write_text("\n".join(rows) + "\n")
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname={folder.name}\nframeRate={FPS}\nseqLength={frames}\nimWidth={WIDTH}\nimHeight={HEIGHT}\n"
    )
    return folder


def write_sequences(folder: Path, count: int = 3) -> Path:
    """Sequences a, b, c and so on."""
    for number in range(count):
        write_sequence(folder / "abcdef"[number], number)
    return folder
