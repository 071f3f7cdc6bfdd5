"""The training of an embedder or classifier of crops: runs it, and writes the model and its model card."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import lightning as L
import numpy as np
import torch

from tracker.config import CropTrainingConfig, EmbedderTrainingConfig
from tracker.data import ReIDDataset, check_images
from tracker.data.files import write_text
from tracker.errors import InputError
from tracker.models.model_file import ModelInfo
from tracker.models.reid import build_embedder, crop_size
from tracker.models.reid.network import AppearanceNetwork
from tracker.models.runtime import choose_device, load_torch_file, read_weights
from tracker.training.checkpoint_files import BEST_CHECKPOINT, explain_full_disk
from tracker.training.curves import plot_metrics_log, read_metrics_log
from tracker.training.detector.artifacts import metrics_table, write_model
from tracker.training.reid.data import CropDataModule
from tracker.training.reid.module import CropModule
from tracker.training.reid.pretrained import load_pretrained_weights
from tracker.training.trainer import build_trainer, explain_out_of_memory, fit, open_run_folder

log = logging.getLogger(__name__)
C = TypeVar("C", bound=CropTrainingConfig)
MODEL = "model.safetensors"

CARD = """\
# {architecture}: {categories}

{article} {kind} that was trained with `tracker`.

| | |
| --- | --- |
| Network | {network} |
| Crops | {height} x {width} pixels (height x width) |
| Weights | {parameters:.1f} million |
| Steps | {steps}, learning rate {learning_rate:g} |
| Pretrained weights | {pretrained} |
| Training data | {train} |
| Validation data | {val} |
| License | {license} |
| Provenance | {provenance} |

## Metrics on the validation crops

{metrics}

To repeat the training: `track train {kind} config.yaml`.
"""


def with_default_size(config: C) -> C:
    """Returns the settings, with the network's default size of crops if they have none."""
    return config if any(config.size) else config.model_copy(update={"size": crop_size(config.network.architecture)})


def build_initial_model(config: CropTrainingConfig, num_classes: int = 0) -> AppearanceNetwork:
    """Builds the network before its first step; it is the same each time."""
    L.seed_everything(config.seed, workers=True, verbose=False)
    model = build_embedder(config.network, config.size, num_classes)
    if config.pretrained:
        load_pretrained_weights(model, config.network.architecture, config.pretrained)
    elif config.frozen_stages:
        log.warning("%d stages are frozen with random weights: give pretrained", config.frozen_stages)
    return model.to(memory_format=torch.channels_last)


def train_on_crops(module: CropModule, resume: bool) -> Path:
    """Trains an embedder or a classifier, or continues its training; returns the path of the finished model.

    Writes the files that `train_embedder` and `train_classifier` describe into the folder of the training, and raises
    their errors.
    """
    config, folder, first_step = module.config, Path(module.config.folder), 0
    _check_crops(module)
    checkpoint = open_run_folder(folder, resume)
    if checkpoint:
        _check_compatible(checkpoint, module)
        first_step = int(load_torch_file(checkpoint)["global_step"])
    monitor = module.METRICS[0] if len(module.val_set) else ""
    trainer = build_trainer(config, config.steps, f"{module.KIND}/{first_step:08}", monitor)
    with explain_out_of_memory(
        "such batches: lower their size (and raise accumulate_grad_batches) or size, or try bf16-mixed precision"
    ):
        fit(trainer, module, CropDataModule(config, module.train_set, module.val_set), folder, checkpoint)
    if trainer.is_global_zero:
        with explain_full_disk(folder):
            _write_artifacts(folder, module)
    return folder / MODEL


def _check_crops(module: CropModule) -> None:
    """Raises an InputError if an image of the crops is broken, as far as it can be told before the training."""
    files = [*module.train_set.crops.files, *module.val_set.files]
    num_reads = len(module.train_set.sample_batch(0)) * module.config.accumulate_grad_batches * module.config.steps
    check_images(files, num_reads)


def _write_artifacts(folder: Path, module: CropModule) -> None:
    """Writes the best model, its training curves, evaluation and model card, and the settings."""
    info = module.info
    if (folder / BEST_CHECKPOINT).is_file():
        state, info = read_weights(folder / BEST_CHECKPOINT, info.task)
        module.model.load_state_dict(state)
    write_model(folder / MODEL, module.config, info, module.model)
    log.info("the finished model is %s", folder / MODEL)
    metrics_log = read_metrics_log(folder, {module.KIND: module.config.steps})
    plot_metrics_log(metrics_log, folder / "curves.png", module.METRICS)
    device = choose_device("cpu" if module.config.accelerator == "cpu" else "auto")
    metrics = module.write_report(folder / "report", device) if len(module.val_set) else {}
    write_text(folder / "card.md", _model_card(module, metrics))


def _check_compatible(path: Path, module: CropModule) -> None:
    """Raises InputError if a checkpoint belongs to another training."""
    info = read_weights(path, module.info.task)[1]
    stored = {key: value.shape for key, value in load_torch_file(path)["state_dict"].items()}
    own = {key: value.shape for key, value in module.state_dict().items()}
    if stored != own or info.network != module.info.network or info.categories != module.info.categories:
        raise InputError(
            f"{path} is of a training with another network, other losses or other identities: resume it with its own "
            "settings and crops"
        )


def _model_card(module: CropModule, metrics: Mapping[str, float]) -> str:
    config, info = module.config, module.info
    return CARD.format(
        architecture=info.architecture,
        categories=_join_names(info.categories),
        article="An" if module.KIND[0] in "aeiou" else "A",
        kind=module.KIND,
        network=", ".join(f"{k}: {v}" for k, v in config.network.model_dump(mode="json").items()),
        height=info.size[0],
        width=info.size[1],
        parameters=sum(array.numel() for array in module.model.state_dict().values()) / 1e6,
        steps=config.steps,
        learning_rate=config.learning_rate,
        pretrained=config.pretrained or "none",
        train=_training_data(module),
        val=f"{_join_names(config.val or config.train)}: {_crop_counts(module.val_set, info)}" if metrics else "none",
        license=info.license or "not stated",
        provenance=info.provenance or "not stated",
        metrics=metrics_table(metrics) if metrics else "None: there are no validation crops.",
    )


def _join_names(names: str | Sequence[str]) -> str:
    """Joins names by commas, at most ten of them."""
    names = [names] if isinstance(names, str) else names
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _training_data(module: CropModule) -> str:
    """Names the crops that were learned from, and the teachers."""
    config, crops = module.config, module.train_set.crops
    if not isinstance(config, EmbedderTrainingConfig) or not config.teachers:
        return f"{config.train}: {_crop_counts(crops, module.info)}"
    taught = f"the teachers {_join_names(config.teachers)}, by"
    if not config.unlabeled:
        return f"{taught} {len(crops)} crops of {config.train}"
    known = crops.select(np.flatnonzero(crops.ids >= 0))
    unlabeled = f"{len(crops) - len(known)} crops of {config.unlabeled}"
    return f"{config.train}: {_crop_counts(known, module.info)}; {taught} {unlabeled}"


def _crop_counts(crops: ReIDDataset, info: ModelInfo) -> str:
    return f"{len(crops)} crops of {len(crops.identities)} {'identities' if info.task == 'embedding' else 'classes'}"
