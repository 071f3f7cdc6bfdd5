"""`train_detector` trains a detector stage by stage."""

import logging
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import torch
from torch import nn

from tracker.config import DetectorEvalConfig, DetectorTrainingConfig
from tracker.data import ImageSet, align_categories, check_images, read_image_set, split_image_set
from tracker.errors import InputError
from tracker.models import detection
from tracker.models.model_file import ModelInfo
from tracker.models.runtime import load_torch_file
from tracker.training.checkpoint_files import BEST_CHECKPOINT, explain_full_disk
from tracker.training.detector.artifacts import calibrate, model_info, write_artifacts
from tracker.training.detector.data import DetectionDataModule
from tracker.training.detector.dataset import DetectionTrainDataset
from tracker.training.detector.kept_classes import with_added_classes, with_kept_classes
from tracker.training.detector.module import DetectorModule
from tracker.training.detector.teacher import (
    VALIDATION_FILE,
    add_unlabeled_images,
    keep_classes,
    learn_from_teacher,
)
from tracker.training.detector.training_stages import TrainingStage, check_recipe, training_stages
from tracker.training.trainer import build_trainer, explain_out_of_memory, fit, open_run_folder

log = logging.getLogger(__name__)


def train_detector(config: DetectorTrainingConfig, resume: bool = False) -> Path:
    """Trains a detector.

    Writes into `config.folder`: best.ckpt and last.ckpt; model.safetensors, the best model; card.md, its model card;
    config.yaml; curves.png; all metrics of the training in log/ and, for TensorBoard, tensorboard/; and the evaluation
    of the model on `config.val` in report/.

    Args:
        config: The data, the network and all other settings.
        resume: Continue from the last checkpoint in `config.folder`; the result is that of an uninterrupted training.

    Returns:
        The path of the finished model, a .safetensors file for `load_detector`.

    Raises:
        InputError: The images, the network, the pretrained weights, the checkpoint or Lightning's settings cannot be
            used; the memory is too small; a loss is not finite.

    Example:
        >>> config = DetectorTrainingConfig(train="pets/data.yaml:train", val="pets/data.yaml:val", steps=1000)
        >>> train_detector(config)  # doctest: +SKIP
        PosixPath('runs/detector/model.safetensors')
    """
    config = with_kept_classes(config)
    folder = Path(config.folder)
    stages = training_stages(config)
    train_set, val_set = _read_datasets(config)
    config = with_added_classes(config, train_set)
    size = config.size if config.network.architecture == "builtin" else (0, 0)
    info = model_info(config, "detection", train_set.categories, size)
    run = _TrainingRun(config, folder, info, train_set, val_set)
    model = run.initial_model()
    checkpoint = open_run_folder(folder, resume)
    state = _read_resume_state(info, checkpoint, [stage.name for stage in stages]) if checkpoint else ResumeState()
    for index, stage in enumerate(stages[state.stage :], state.stage):
        with explain_out_of_memory(
            f"batches of {config.batch_size} images: lower batch_size (and raise accumulate_grad_batches by the same "
            "factor), train_image_size or network.max_size, or try activation_checkpointing or bf16-mixed precision"
        ):
            is_last = index == len(stages) - 1
            resume_from = state if index == state.stage else ResumeState()
            model, is_global_zero = run.train_stage(stage, is_last, model, resume_from)
    model_path = folder / "model.safetensors"
    if is_global_zero:
        if (folder / BEST_CHECKPOINT).is_file():
            model.load_state_dict(detection.read_weights(folder / BEST_CHECKPOINT)[0])
        info = calibrate(model, info, config, val_set)
        with explain_full_disk(folder):
            write_artifacts(folder, config, info, stages, train_set, val_set, model)
        log.info("the model is %s; next: track VIDEO --weights %s", model_path, model_path)
    return model_path


@dataclass(frozen=True)
class ResumeState:
    """The state from which a training continues: index of the stage, its step, and the checkpoint, if any."""

    stage: int = 0
    step: int = 0
    checkpoint: Path | None = None


def _read_resume_state(info: ModelInfo, path: Path, stages: list[str]) -> ResumeState:
    """Reads a checkpoint; raises InputError if it belongs to another training."""
    _, stored = detection.read_weights(path)
    if stored.categories != info.categories:
        lists = f"{', '.join(stored.categories)} against {', '.join(info.categories)}"
        raise InputError(f"{path} has other categories than the training images: {lists}")
    content = load_torch_file(path)
    stage = str(content.get("stage", ""))
    if stored.network != info.network or stage not in stages:
        raise InputError(f"{path} is of a training with another network or recipe: resume it with its own settings")
    return ResumeState(stages.index(stage), int(content["global_step"]), path)


def _read_datasets(config: DetectorTrainingConfig) -> tuple[ImageSet, ImageSet]:
    """Reads the training and the validation images, with the same categories."""
    if not config.train:
        raise InputError("there are no images for training: give train")
    if not (config.val or config.split):
        raise InputError("there are no images for validation: give val, or split to hold a fraction of train out")
    if config.val and config.split:
        raise InputError("val gives images for validation, and split holds a fraction of train out: give one of them")
    folder = Path(config.images) if config.images else None
    train_set = read_image_set(Path(config.train), config.class_map, folder)
    if config.val:
        val_set = read_image_set(Path(config.val), config.class_map, folder)
        val_set = align_categories(val_set, train_set.categories, config.val)
    else:
        train_set, val_set, held_out = split_image_set(train_set, config.split)
        log.warning("%s", held_out)
    if config.unlabeled and not config.teacher:
        raise InputError("images without labels need a detector that labels them: give teacher")
    if config.keep_classes:
        train_set, val_set = (keep_classes(image_set, config.keep_classes) for image_set in (train_set, val_set))
    train_set = add_unlabeled_images(train_set, config.unlabeled)
    num_reads = config.steps * config.accumulate_grad_batches * config.batch_size
    check_images([image.path for image in (*train_set.images, *val_set.images)], num_reads)
    if config.teacher:
        train_set = learn_from_teacher(train_set, config)
    if config.keep_classes:
        val_set = learn_from_teacher(val_set, config, VALIDATION_FILE)
    if not any(len(image.boxes) for image in val_set.images):
        source = config.val or f"{config.train} that is held out"
        raise InputError(f"there is no object on any image of {source}: there is nothing to validate on")
    return train_set, val_set


@dataclass(frozen=True, eq=False)
class _TrainingRun:
    """Settings and data of all stages of a training."""

    config: DetectorTrainingConfig
    folder: Path
    info: ModelInfo
    train_set: ImageSet
    val_set: ImageSet

    def initial_model(self) -> nn.Module:
        """Builds the network before its first step; it is the same each time."""
        config = self.config
        L.seed_everything(config.seed, workers=True, verbose=False)
        model = detection.build_detector(config.network, len(self.info.categories))
        check_recipe(model, config)
        # Validation gives the metrics of `track eval detector`.
        detection.set_thresholds(model, DetectorEvalConfig(), self.info)
        partial = [image.name for image in self.train_set.images if len(image.ignore) or image.unlabeled]
        if partial and not detection.supports_partial_labels(model):
            log.warning(
                "%s learns unannotated objects as background, on %d images such as %s: an R-CNN does not",
                *(config.network.architecture, len(partial), partial[0]),
            )
        if config.pretrained:
            detection.load_pretrained_weights(model, self.info, config.pretrained, config.similar_classes)
        elif config.frozen_stages:
            log.warning("%d stages are frozen with random weights: give pretrained", config.frozen_stages)
        return model.to(memory_format=torch.channels_last)

    def train_stage(
        self, stage: TrainingStage, is_last: bool, model: nn.Module, state: ResumeState
    ) -> tuple[nn.Module, bool]:
        """Trains one stage; returns the network, and True if this is the first of all processes."""
        proposal_network = None
        if stage.reinitialize:
            proposal_network, model = model, self.initial_model()
            model.rpn.load_state_dict(proposal_network.rpn.state_dict())  # type: ignore[union-attr]
        if self.config.activation_checkpointing:
            detection.use_checkpointing(model)
        masks = self.config.network.architecture.startswith("maskrcnn")
        dataset = DetectionTrainDataset(self.train_set, self.config, masks)
        names = [image.name for image in self.train_set.images]
        module = DetectorModule(model, proposal_network, stage, self.config, self.info, names, self.val_set)
        data = DetectionDataModule(self.config, stage.steps, dataset, self.val_set)
        log_name = f"{stage.name}/{state.step:08}"  # the step keeps the logs of earlier runs
        monitor = "AP" if is_last else ""  # in earlier stages the parts do not fit together yet
        trainer = build_trainer(self.config, stage.steps, log_name, monitor)
        fit(trainer, module, data, self.folder, state.checkpoint)
        return module.model, trainer.is_global_zero
