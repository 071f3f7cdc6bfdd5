"""Trainings small enough for tests: eight little pictures, as they are."""

from pathlib import Path

import pytest

from image_sets import write_coco
from tracker.config import DetectorTrainingConfig

SIDE = 96  # pixels
# Lightning speaks of loggers, workers and cores; none of that is about this code.
SMALL_TRAINING = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
FEW = {"rpn_post_nms_top_n_train": 100, "box_batch_size_per_image": 32}


def settings(root: Path, pictures: int = 8, **changes: object) -> DetectorTrainingConfig:
    """A training on pictures in `root` that are scored too; its own folder is run/ there."""
    truth = root / "train.json"
    if not truth.exists():
        write_coco(root, pictures, width=SIDE, height=SIDE)
    values = {
        "train": str(truth), "val": str(truth), "folder": str(root / "run"), "canvas": (SIDE, SIDE),
        "size": (SIDE, SIDE), "mosaic": 0, "scale": (1, 1), "flip": 0, "photometric": "none", "repeat": 0,
        "batch_size": 4, "steps": 2, "warmup_steps": 5, "trunk_learning_rate": 1, "ema": 0, "workers": 0,
        "crowd_sampling_weight": 1, "network": FEW,
    }  # fmt: skip
    return DetectorTrainingConfig.model_validate({**values, **changes})
