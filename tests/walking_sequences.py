"""Writes small sequences of pedestrians in the layout of the MOTChallenge, with ground truth and detections."""

from pathlib import Path

import numpy as np

WIDTH, HEIGHT, FPS = 640, 480, 10


def write_sequence(folder: Path, seed: int, frames: int = 30, pedestrians: int = 5, miss_rate: float = 0.15) -> Path:
    """Writes pedestrians that cross; some are missed, and false positives have lower scores."""
    rng = np.random.default_rng(seed)
    start, speed = rng.uniform((0, 0), (560, 340), (pedestrians, 2)), rng.normal(0, 5, (pedestrians, 2))
    detections, gt = [], []
    for frame in range(1, frames + 1):
        for pedestrian in range(pedestrians):
            x, y = start[pedestrian] + frame * speed[pedestrian]
            gt.append(f"{frame},{pedestrian + 1},{x:.2f},{y:.2f},50,120,1,-1,-1,-1")
            if rng.random() >= miss_rate:
                x, y = rng.normal((x, y), 2)
                detections.append(f"{frame},-1,{x:.2f},{y:.2f},50,120,{rng.uniform(0.6, 1):.3f},-1,-1,-1")
        if rng.random() < 0.3:
            x, y = rng.uniform((0, 0), (560, 340))
            detections.append(f"{frame},-1,{x:.2f},{y:.2f},50,120,{rng.uniform(0.3, 0.8):.3f},-1,-1,-1")
    for name, rows in (("det", detections), ("gt", gt)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{name}.txt").write_text("\n".join(rows) + "\n")
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname={folder.name}\nframeRate={FPS}\nseqLength={frames}\nimWidth={WIDTH}\nimHeight={HEIGHT}\n"
    )
    return folder


def write_sequences(folder: Path, count: int = 3) -> Path:
    """Writes sequences a, b, c and so on."""
    for seed in range(count):
        write_sequence(folder / "abcdef"[seed], seed)
    return folder
