"""The pictures of a detector's training, shared out among its processes."""

from collections.abc import Iterator
from typing import Any

import lightning as L
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from tracker.config import DetectorTraining
from tracker.data import PictureSet
from tracker.training.fitting import StepsToCome
from tracker.training.pictures import ScoredPictures, TrainingPictures

Batch = tuple[list[Tensor], list[dict[str, Tensor]]]


class BatchesToCome(Sampler[list[int]]):
    """The numbers of the pictures in each of this process's batches, from the trainer's present step on.

    Batch k of process r of R has number n = k R + r and the pictures from n times the batch size on: which pictures
    are seen in a step depends on devices x nodes x accumulate x batch_size alone.
    """

    def __init__(self, trainer: L.Trainer, steps: int, config: DetectorTraining) -> None:
        self.trainer = trainer
        self.steps = StepsToCome(trainer, steps)
        self.config = config

    def __iter__(self) -> Iterator[list[int]]:
        size, parts = self.config.batch_size, self.config.accumulate
        for step in self.steps:
            for batch in range(step * parts, (step + 1) * parts):
                number = batch * self.trainer.world_size + self.trainer.global_rank
                yield list(range(number * size, (number + 1) * size))


class DetectorData(L.LightningDataModule):
    """Training pictures batch by batch, and the pictures that are scored."""

    def __init__(self, config: DetectorTraining, steps: int, pictures: TrainingPictures, scored: PictureSet) -> None:
        """Takes the settings, the steps of this phase of the training, and all pictures."""
        super().__init__()
        self.config = config
        self.steps = steps
        self.pictures = pictures
        self.scored = scored

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches (list of uint8 (3, H, W) RGB, list of targets)."""
        batches = BatchesToCome(self.trainer, self.steps, self.config)  # type: ignore[arg-type]
        workers = self.config.workers
        return DataLoader(self.pictures, batch_sampler=batches, collate_fn=_collate, num_workers=workers)

    def val_dataloader(self) -> DataLoader[Any]:
        """This process's share, as lists of (number, uint8 (H, W, 3) RGB).

        All shares are equally large, so that no process waits for one with nothing to do: some pictures come twice.
        """
        assert self.trainer is not None
        world, rank, count = self.trainer.world_size, self.trainer.global_rank, len(self.scored.pictures)
        share = [number % count for number in range(rank, rank + world * -(-count // world), world)]
        pictures = ScoredPictures(self.scored)
        return DataLoader(
            pictures, self.config.batch_size, sampler=share, collate_fn=list, num_workers=self.config.workers
        )


def _collate(items: list[tuple[Tensor, dict[str, Tensor]]]) -> Batch:
    return [image for image, _ in items], [target for _, target in items]
