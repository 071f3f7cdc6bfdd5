"""Training and validation images of a detector in batches, distributed over the processes."""

from collections.abc import Iterator
from typing import Any

import lightning as L
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from tracker.config import DetectorTrainingConfig
from tracker.data import ImageSet
from tracker.training.detector.dataset import DetectionTrainDataset, DetectionValDataset
from tracker.training.trainer import ResumableSampler, distributed_eval_indices

Batch = tuple[list[Tensor], list[dict[str, Tensor]]]


class ResumableBatchSampler(Sampler[list[int]]):
    """Yields the image indices of each of this process's remaining batches.

    Batch n has the images from n times the batch size on, so the images of a step depend on
    devices x nodes x accumulate_grad_batches x batch_size alone.
    """

    def __init__(self, trainer: L.Trainer, steps: int, config: DetectorTrainingConfig) -> None:
        self.batches = ResumableSampler(trainer, steps, config.accumulate_grad_batches)
        self.batch_size = config.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            yield list(range(batch * self.batch_size, (batch + 1) * self.batch_size))


class DetectionDataModule(L.LightningDataModule):
    """Lightning's data module of a stage of a detector's training."""

    def __init__(
        self, config: DetectorTrainingConfig, steps: int, train_set: DetectionTrainDataset, val_set: ImageSet
    ) -> None:
        """Takes the settings, the steps of this stage, and all images."""
        super().__init__()
        self.config = config
        self.steps = steps
        self.train_set = train_set
        self.val_set = val_set

    def train_dataloader(self) -> DataLoader[Any]:
        """Returns a loader of batches (list of uint8 (3, H, W) RGB, list of targets)."""
        batches = ResumableBatchSampler(self.trainer, self.steps, self.config)  # type: ignore[arg-type]
        workers = self.config.workers
        return DataLoader(self.train_set, batch_sampler=batches, collate_fn=_collate, num_workers=workers)

    def val_dataloader(self) -> DataLoader[Any]:
        """Returns a loader of this process's images, as lists of (index, uint8 (H, W, 3) RGB)."""
        assert self.trainer is not None
        indices = distributed_eval_indices(self.trainer, len(self.val_set.images))
        dataset = DetectionValDataset(self.val_set)
        return DataLoader(
            dataset, self.config.batch_size, sampler=indices, collate_fn=list, num_workers=self.config.workers
        )


def _collate(items: list[tuple[Tensor, dict[str, Tensor]]]) -> Batch:
    return [image for image, _ in items], [target for _, target in items]
