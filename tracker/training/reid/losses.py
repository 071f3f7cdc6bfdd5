"""Losses that make the embeddings of one individual alike and those of different ones unlike."""

import torch
import torch.nn.functional as F
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance
from pytorch_metric_learning.losses import ArcFaceLoss, NormalizedSoftmaxLoss, SupConLoss, TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor, nn

from tracker.config import EmbedderTrainingConfig
from tracker.errors import InputError, did_you_mean

LOSSES = ["softmax", "cosine_softmax", "arcface", "triplet", "supcon"]
COMPARING = ("triplet", "supcon")  # the crops of a batch with each other, so that nothing has to be known of others


def compute_losses(config: EmbedderTrainingConfig) -> dict[str, float]:
    """The weight of each loss.

    Raises:
        InputError: A loss is unknown; or tracklets shall be classified, of which several may be one individual.
    """
    for name in config.losses:
        if name not in LOSSES:
            raise InputError(f"unknown loss {name!r}{did_you_mean(name, LOSSES)}")
    if not config.losses:
        return {"triplet": 1.0, "supcon" if config.tracklets else "cosine_softmax": 1.0}
    wrong = [name for name in config.losses if name not in COMPARING]
    if config.tracklets and wrong:
        raise InputError(
            f"the loss {wrong[0]} needs classes, but two tracklets may be one individual: give {' or '.join(COMPARING)}"
        )
    return dict(config.losses)


class IndividualLosses(nn.Module):
    """The losses of a training, weighted, with what they learn themselves."""

    def __init__(self, config: EmbedderTrainingConfig, dimension: int, identities: int) -> None:
        """Takes which losses they are, the length of an embedding, and the number of individuals in all."""
        super().__init__()
        self.weights = compute_losses(config)
        self.before_neck = config.before_neck
        self.parts = nn.ModuleDict({name: _loss(name, config, dimension, identities) for name in self.weights})

    def forward(self, projected: Tensor, features: Tensor, ids: Tensor) -> dict[str, Tensor]:
        """The loss of a batch, in its parts.

        Args:
            projected: (B, D) before the network's neck.
            features: (B, D) after it; their directions are the embeddings.
            ids: int64 (B,) individuals, at least two different ones.
        """
        with torch.autocast(ids.device.type, enabled=False):
            seen = dict.fromkeys(self.weights, features.float())
            if self.before_neck and "triplet" in seen:
                seen["triplet"] = projected.float()
            return {name: weight * self.parts[name](seen[name], ids) for name, weight in self.weights.items()}


def _loss(name: str, config: EmbedderTrainingConfig, dimension: int, identities: int) -> nn.Module:
    smooth = nn.CrossEntropyLoss(reduction="none", label_smoothing=config.label_smoothing)
    if name == "softmax":
        return Softmax(dimension, identities, config.label_smoothing)
    if name == "cosine_softmax":
        return CosineSoftmax(dimension, identities, config.sharpness, config.learn_sharpness, smooth)
    if name == "arcface":
        arcface: nn.Module = ArcFaceLoss(identities, dimension, margin=config.angle, scale=config.sharpness)
        arcface.cross_entropy = smooth
        return arcface
    if name == "supcon":
        return SupConLoss(config.temperature)  # type: ignore[no-any-return]
    return BatchHardTriplet(config.margin, euclidean=config.before_neck)


class Softmax(nn.Module):
    """Cross-entropy of a classification without bias. Source: Luo et al. 2019, arXiv 1903.07071, section 3.5."""

    def __init__(self, dimension: int, identities: int, label_smoothing: float) -> None:
        """Takes the length of an embedding, the number of classes, and the share of the target spread over all."""
        super().__init__()
        self.judge = nn.Linear(dimension, identities, bias=False)
        self.label_smoothing = label_smoothing

    def forward(self, features: Tensor, ids: Tensor) -> Tensor:
        """(B, D) and int64 (B,) -> the mean loss."""
        return F.cross_entropy(self.judge(features), ids, label_smoothing=self.label_smoothing)


class CosineSoftmax(NormalizedSoftmaxLoss):
    """Cross-entropy over cosines times a sharpness that may be learnt.

    Source: Wojke and Bewley 2018, arXiv 1812.00442, equation 6; fixed, Wang et al. 2017, arXiv 1704.06369.
    """

    def __init__(
        self, dimension: int, identities: int, sharpness: float, learn: bool, cross_entropy: nn.CrossEntropyLoss
    ) -> None:
        super().__init__(identities, dimension, temperature=1 / sharpness)
        self.cross_entropy = cross_entropy
        self.log_factor = nn.Parameter(torch.zeros(()), requires_grad=learn)

    def get_logits(self, embeddings: Tensor) -> Tensor:
        """(B, D) -> (B, C)."""
        return super().get_logits(embeddings) * self.log_factor.exp()  # type: ignore[no-any-return]


class BatchHardTriplet(nn.Module):
    """Mean over the batch of how much nearer than `margin` the nearest other is, compared with the farthest same.

    Source: Hermans et al. 2017, arXiv 1703.07737, equation 5, with cosine or Euclidean distance.
    """

    def __init__(self, margin: float, euclidean: bool) -> None:
        """Takes the margin, and whether the distance is Euclidean."""
        super().__init__()
        distance = LpDistance(normalize_embeddings=False) if euclidean else CosineSimilarity()
        self.miner = BatchHardMiner(distance=distance)
        self.loss = TripletMarginLoss(margin, distance=distance, reducer=MeanReducer())

    def forward(self, features: Tensor, ids: Tensor) -> Tensor:
        """(B, D) and int64 (B,) -> the mean loss."""
        return self.loss(features, ids, self.miner(features, ids))  # type: ignore[no-any-return]
