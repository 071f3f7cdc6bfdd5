"""The course of a training on crops, from settings to a folder worth looking at."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import lightning as L
import torch

from tracker.config import CropTrainingConfig
from tracker.data import ReIDDataset
from tracker.errors import InputError
from tracker.models.model_file import ModelInfo
from tracker.models.reid import build_embedder, crop_size
from tracker.models.reid.network import AppearanceNetwork
from tracker.models.runtime import choose_device, load_pickled, read_weights
from tracker.training.curves import draw_course, read_metrics_log
from tracker.training.detector.artifacts import figure_table, write_model
from tracker.training.reid.data import CropData
from tracker.training.reid.module import CropModule
from tracker.training.reid.pretrained import start_weights
from tracker.training.trainer import (
    BEST,
    LAST,
    checkpoint_to_resume,
    enough_memory,
    fit,
    new_folder,
    new_trainer,
)

log = logging.getLogger(__name__)
C = TypeVar("C", bound=CropTrainingConfig)
MODEL = "model.safetensors"

CARD = """\
# {architecture}: {what}

{article} {kind} that was trained with `tracker`.

| | |
| --- | --- |
| Network | {network} |
| Crops | {height} x {width} pixels (height x width) |
| Weights | {parameters:.1f} million |
| Steps | {steps}, learning rate {learning_rate:g} |
| Started from | {start} |
| Learned from | {train} |
| Scored on | {val} |
| Licence | {license} |
| Provenance | {provenance} |

## Figures on the scored crops

{figures}

The same training again: `track train {kind} config.yaml`.
"""


def with_size(config: C) -> C:
    """The settings with the size of crops that the network was made for, where they name none.

    Raises:
        InputError: The architecture is unknown.
    """
    return config if any(config.size) else config.model_copy(update={"size": crop_size(config.network.architecture)})


def new_network(config: CropTrainingConfig, classes: int = 0) -> AppearanceNetwork:
    """The network before its first step, the same each time.

    Raises:
        InputError: The network cannot be built, or the starting weights cannot be used.
    """
    L.seed_everything(config.seed, workers=True)
    model = build_embedder(config.network, config.size, classes)
    if config.start_from:
        start_weights(model, config.network.architecture, config.start_from)
    elif config.freeze:
        log.warning("%d stages are frozen as noise: give start_from, or no freeze", config.freeze)
    return model.to(memory_format=torch.channels_last)


def train_on_crops(module: CropModule, resume: bool) -> Path:
    """Goes through a training.

    In the folder are left best.ckpt (where anything is scored) and last.ckpt; model.safetensors, the best model;
    card.md, which describes it; config.yaml; curves.png; all figures of the training in log/ and, for TensorBoard,
    tensorboard/; and in report/ how good the model is.

    Args:
        module: What is trained, how, and on what.
        resume: Go on from the last checkpoint.

    Returns:
        The finished model.

    Raises:
        InputError: The checkpoint or Lightning's settings cannot be used; memory does not suffice; a loss is not
            finite; a picture cannot be read.
    """
    config, scored = module.config, len(module.scored) > 0
    folder = Path(config.folder)
    checkpoint = [_of_this_training(checkpoint_to_resume(folder), module)] if resume else []
    if not resume:
        new_folder(folder)
    begun = int(load_pickled(checkpoint[0])["global_step"]) if resume else 0
    trainer = new_trainer(config, config.steps, f"{module.KIND}/{begun:08}", module.SCORES[0] if scored else "")
    with enough_memory("such batches: lower their size (and raise accumulate) or size, or try bf16-mixed precision"):
        fit(trainer, module, CropData(config, module.batches, module.scored), *checkpoint)
    trainer.save_checkpoint(folder / LAST, weights_only=False)
    if trainer.is_global_zero:
        _finish(folder, module)
    return folder / MODEL


def _finish(folder: Path, module: CropModule) -> None:
    """Writes the best model, how good it is, how it came about, and the settings that lead to it."""
    info = module.info
    if (folder / BEST).is_file():
        state, info = read_weights(folder / BEST, info.task)
        module.model.load_state_dict(state)
    write_model(folder / MODEL, module.config, info, module.model)
    log.info("the finished model is %s", folder / MODEL)
    draw_course(read_metrics_log(folder, {module.KIND: module.config.steps}), folder / "curves.png", module.SCORES)
    device = choose_device("cpu" if module.config.accelerator == "cpu" else "auto")
    figures = module.report(folder / "report", device) if len(module.scored) else {}
    (folder / "card.md").write_text(_card(module, figures), encoding="utf-8")


def _of_this_training(path: Path, module: CropModule) -> Path:
    """Makes sure that a checkpoint is of a training with these settings."""
    info = read_weights(path, module.info.task)[1]
    found = {key: value.shape for key, value in load_pickled(path)["state_dict"].items()}
    own = {key: value.shape for key, value in module.state_dict().items()}
    if found != own or info.network != module.info.network or info.categories != module.info.categories:
        raise InputError(
            f"{path} is of a training with another network, other losses or other individuals: go on with the settings "
            "and the crops that it had"
        )
    return path


def _card(module: CropModule, figures: Mapping[str, float]) -> str:
    config, info = module.config, module.info
    return CARD.format(
        architecture=info.architecture,
        what=_first(info.categories),
        article="An" if module.KIND[0] in "aeiou" else "A",
        kind=module.KIND,
        network=", ".join(f"{k}: {v}" for k, v in config.network.model_dump(mode="json").items()),
        height=info.size[0],
        width=info.size[1],
        parameters=sum(array.numel() for array in module.model.state_dict().values()) / 1e6,
        steps=config.steps,
        learning_rate=config.learning_rate,
        start=config.start_from or "noise",
        train=f"{config.train}: {_counts(module.batches.crops, info)}",
        val=f"{_first(config.val or config.train)}: {_counts(module.scored, info)}" if figures else "nothing",
        license=info.license or "not stated",
        provenance=info.provenance or "not stated",
        figures=figure_table(figures) if figures else "None: nothing was scored.",
    )


def _first(names: str | Sequence[str]) -> str:
    """All names, or of many the first."""
    names = [names] if isinstance(names, str) else names
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _counts(crops: ReIDDataset, info: ModelInfo) -> str:
    return f"{len(crops)} crops of {len(crops.identities)} {'individuals' if info.task == 'embedding' else 'classes'}"
