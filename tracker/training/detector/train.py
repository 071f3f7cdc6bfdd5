"""Trains a detector: `train_detector` reads the pictures and goes through the recipe's phases."""

import logging
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import torch
from torch import nn

from tracker.config import DetectorEvalConfig, DetectorTrainingConfig
from tracker.data import ImageSet, read_pictures, same_classes
from tracker.errors import InputError
from tracker.models.detection import (
    build_detector,
    read_weights,
    set_thresholds,
    start_weights,
    supports_partial_labels,
    use_checkpointing,
)
from tracker.models.model_file import ModelInfo
from tracker.models.runtime import load_pickled
from tracker.training.detector.artifacts import finish
from tracker.training.detector.data import DetectorData
from tracker.training.detector.dataset import TrainingPictures
from tracker.training.detector.module import DetectorModule
from tracker.training.detector.phases import TrainingStage, check_recipe, phases_of
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


def train_detector(config: DetectorTrainingConfig, resume: bool = False) -> Path:
    """Trains a detector.

    In `config.folder` are left: best.ckpt and last.ckpt; model.safetensors, the best model; card.md, which describes
    it; config.yaml; curves.png; all figures of the training in log/ and, for TensorBoard, tensorboard/; and in report/
    how good the model is on `config.val`.

    Args:
        config: What to train on, how, and where to put it.
        resume: Go on from the last checkpoint in `config.folder`, to the same result.

    Returns:
        The finished model: a .safetensors file that `Detector` loads.

    Raises:
        InputError: The pictures, the network, the starting weights, the checkpoint or Lightning's settings cannot be
            used; memory does not suffice; a loss is not finite.
    """
    folder = Path(config.folder)
    phases = phases_of(config)
    pictures, scored = _read(config)
    training = _Training(config, folder, _info(config, pictures), pictures, scored)
    model = training.start()
    at = _resumed(training.info, folder, [phase.name for phase in phases]) if resume else ResumeState()
    if not resume:
        new_folder(folder)
    for number, phase in enumerate(phases[at.phase :], at.phase):
        with enough_memory(
            f"batches of {config.batch_size} pictures: lower batch_size (and raise accumulate by the same factor), "
            "canvas or network.max_size, or try activation_checkpointing or bf16-mixed precision"
        ):
            last = number == len(phases) - 1
            model, first_process = training.run(phase, last, model, at if number == at.phase else ResumeState())
    finished = folder / "model.safetensors"
    if first_process:
        if (folder / BEST).is_file():
            model.load_state_dict(read_weights(folder / BEST)[0])
        finish(folder, config, training.info, phases, pictures, scored, model)
        log.info("the finished model, for track --weights, is %s", finished)
    return finished


@dataclass(frozen=True)
class ResumeState:
    """Where a training begins: in which phase, after how many of its steps, and, if any, from which checkpoint."""

    phase: int = 0
    step: int = 0
    checkpoint: tuple[Path, ...] = ()


def _resumed(info: ModelInfo, folder: Path, phases: list[str]) -> ResumeState:
    """The last checkpoint of a training.

    Raises:
        InputError: There is none, or it is of another training.
    """
    path = checkpoint_to_resume(folder)
    _, written = read_weights(path)
    if written.categories != info.categories:
        lists = f"{', '.join(written.categories)} against {', '.join(info.categories)}"
        raise InputError(f"{path} knows other categories than the training pictures have: {lists}")
    content = load_pickled(path)
    phase = str(content.get("phase", ""))
    if written.network != info.network or phase not in phases:
        raise InputError(f"{path} is of a training with another network or recipe: go on with the settings it had")
    return ResumeState(phases.index(phase), int(content["global_step"]), (path,))


def _read(config: DetectorTrainingConfig) -> tuple[ImageSet, ImageSet]:
    """The pictures that are learned from and those that are scored, with the same categories."""
    for name, value in (("train", config.train), ("val", config.val)):
        if not value:
            raise InputError(f"training needs pictures to {'learn from' if name == 'train' else 'score'}: give {name}")
    pictures = read_pictures(Path(config.train), config.classes)
    scored = same_classes(read_pictures(Path(config.val), config.classes), pictures.categories, config.val)
    if not any(len(picture.boxes) for picture in scored.pictures):
        raise InputError(f"there is no object on any of the pictures of {config.val}: there is nothing to score")
    return pictures, scored


def _info(config: DetectorTrainingConfig, pictures: ImageSet) -> ModelInfo:
    return ModelInfo(
        task="detection",
        architecture=config.network.architecture,
        categories=pictures.categories,
        size=config.size if config.network.architecture == "builtin" else (0, 0),
        license=config.license,
        provenance=config.provenance,
        network=config.network.model_dump(mode="json"),
    )


@dataclass(frozen=True, eq=False)
class _Training:
    """What all phases of a training have in common."""

    config: DetectorTrainingConfig
    folder: Path
    info: ModelInfo
    pictures: ImageSet
    scored: ImageSet

    def start(self) -> nn.Module:
        """The network before its first step, the same each time."""
        config = self.config
        L.seed_everything(config.seed, workers=True)
        model = build_detector(config.network, len(self.info.categories))
        check_recipe(model, config)
        set_thresholds(model, DetectorEvalConfig())  # so that scorings say what `track eval detector` says
        partial = [p.name for p in self.pictures.pictures if len(p.ignore) or p.unlabelled]
        if partial and not supports_partial_labels(model):
            log.warning(
                "%s takes for background what is not annotated on %d pictures, such as %s: an R-CNN would not",
                *(config.network.architecture, len(partial), partial[0]),
            )
        if config.start_from:
            start_weights(model, self.info, config.start_from)
        elif config.freeze:
            log.warning("%d stages are frozen as noise: give start_from, or no freeze", config.freeze)
        return model.to(memory_format=torch.channels_last)

    def run(self, phase: TrainingStage, last: bool, model: nn.Module, at: ResumeState) -> tuple[nn.Module, bool]:
        """Goes through a phase.

        Returns:
            The network, and whether this is the first of all processes.
        """
        earlier = []
        if phase.reinitialize:
            earlier, model = [model], self.start()
            model.rpn.load_state_dict(earlier[0].rpn.state_dict())  # type: ignore[union-attr]
        if self.config.activation_checkpointing:
            use_checkpointing(model)
        masks = self.config.network.architecture.startswith("maskrcnn")
        pictures = TrainingPictures(self.pictures, self.config, masks)
        names = [picture.name for picture in self.pictures.pictures]
        module = DetectorModule(model, earlier, phase, self.config, self.info, names, self.scored)
        data = DetectorData(self.config, phase.steps, pictures, self.scored)
        part = f"{phase.name}/{at.step:08}"  # no log is written over
        trainer = new_trainer(self.config, phase.steps, part, "AP" if last else "")  # before, the parts do not fit yet
        fit(trainer, module, data, *at.checkpoint)
        trainer.save_checkpoint(self.folder / LAST, weights_only=False)
        return module.model, trainer.is_global_zero
