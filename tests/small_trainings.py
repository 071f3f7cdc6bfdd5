"""Settings of trainings that are small enough for tests: eight small images without augmentation."""

from pathlib import Path

import pytest

from image_sets import write_coco
from tracker.config import DetectorTrainingConfig

SIDE = 96  # pixels
# Lightning warns about loggers, workers and cores; none of that is about this package.
SMALL_TRAINING = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
SMALL_NETWORK = {"rpn_post_nms_top_n_train": 100, "box_batch_size_per_image": 32}


def small_training(root: Path, images: int = 8, **changes: object) -> DetectorTrainingConfig:
    """Returns settings of a training in `root`/run on images in `root`, on which it is also validated."""
    annotations = root / "train.json"
    if not annotations.exists():
        write_coco(root, images, width=SIDE, height=SIDE)
    values = {
        "train": str(annotations), "val": str(annotations), "folder": str(root / "run"),
        "train_image_size": (SIDE, SIDE), "size": (SIDE, SIDE), "mosaic_prob": 0, "scale_range": (1, 1),
        "hflip_prob": 0, "color_augmentation": "none", "repeat_factor_threshold": 0, "crowd_sampling_weight": 1,
        "batch_size": 4, "steps": 2, "warmup_steps": 5, "backbone_lr_factor": 1, "ema_decay": 0, "workers": 0,
        "network": SMALL_NETWORK,
    }  # fmt: skip
    return DetectorTrainingConfig.model_validate({**values, **changes})
