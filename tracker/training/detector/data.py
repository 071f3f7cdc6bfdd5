"""The pictures of a detector's training, shared out among its processes."""

from collections.abc import Iterator
from typing import Any

import lightning as L
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from tracker.config import DetectorTrainingConfig
from tracker.data import ImageSet
from tracker.training import trainer as trainers
from tracker.training.detector.dataset import ScoredPictures, TrainingPictures

Batch = tuple[list[Tensor], list[dict[str, Tensor]]]


class BatchesToCome(Sampler[list[int]]):
    """The numbers of the pictures in each of this process's batches, from the trainer's present step on.

    Batch n has the pictures from n times the batch size on: which pictures are seen in a step depends on
    devices x nodes x accumulate x batch_size alone.
    """

    def __init__(self, trainer: L.Trainer, steps: int, config: DetectorTrainingConfig) -> None:
        self.numbers = trainers.BatchesToCome(trainer, steps, config.accumulate)
        self.size = config.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        for number in self.numbers:
            yield list(range(number * self.size, (number + 1) * self.size))


class DetectorData(L.LightningDataModule):
    """Training pictures batch by batch, and the pictures that are scored."""

    def __init__(
        self, config: DetectorTrainingConfig, steps: int, pictures: TrainingPictures, scored: ImageSet
    ) -> None:
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
        """This process's share, as lists of (number, uint8 (H, W, 3) RGB)."""
        assert self.trainer is not None
        share = trainers.distributed_eval_indices(self.trainer, len(self.scored.pictures))
        pictures = ScoredPictures(self.scored)
        return DataLoader(
            pictures, self.config.batch_size, sampler=share, collate_fn=list, num_workers=self.config.workers
        )


def _collate(items: list[tuple[Tensor, dict[str, Tensor]]]) -> Batch:
    return [image for image, _ in items], [target for _, target in items]
