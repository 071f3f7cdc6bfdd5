"""Metric learning losses: classification losses with or without margins, triplet and contrastive losses."""

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
PAIR_LOSSES = ("triplet", "supcon")  # compare crops within a batch, so they need no classes


def loss_weights(config: EmbedderTrainingConfig) -> dict[str, float]:
    """Returns the weight of each loss.

    Raises:
        InputError: A loss is unknown, or a classification loss is given for tracklets, of which several may show one
            identity.
    """
    for name in config.losses:
        if name not in LOSSES:
            raise InputError(f"unknown loss {name!r}{did_you_mean(name, LOSSES)}")
    if not config.losses:
        return {"triplet": 1.0, "supcon" if config.tracklets else "cosine_softmax": 1.0}
    class_losses = [name for name in config.losses if name not in PAIR_LOSSES]
    if config.tracklets and class_losses:
        raise InputError(
            f"the loss {class_losses[0]} needs classes, but two tracklets may show one identity: "
            f"give {' or '.join(PAIR_LOSSES)}"
        )
    return dict(config.losses)


class EmbedderLosses(nn.Module):
    """The weighted losses of a training, with their learned parameters."""

    def __init__(self, config: EmbedderTrainingConfig, dimension: int, num_identities: int) -> None:
        """Takes the settings of the losses, the dimension of an embedding, and the number of identities."""
        super().__init__()
        self.weights = loss_weights(config)
        self.triplet_before_neck = config.triplet_before_neck
        self.losses = nn.ModuleDict({name: _loss(name, config, dimension, num_identities) for name in self.weights})

    def forward(self, before_neck: Tensor, features: Tensor, ids: Tensor) -> dict[str, Tensor]:
        """Computes the losses of a batch by name, from features (B, D) before the network's neck and after it.

        The directions of the latter are the embeddings. The identities, int64 (B,), are at least two different ones.
        """
        with torch.autocast(ids.device.type, enabled=False):
            inputs = dict.fromkeys(self.weights, features.float())
            if self.triplet_before_neck and "triplet" in inputs:
                inputs["triplet"] = before_neck.float()
            return {name: weight * self.losses[name](inputs[name], ids) for name, weight in self.weights.items()}


def _loss(name: str, config: EmbedderTrainingConfig, dimension: int, num_identities: int) -> nn.Module:
    cross_entropy = nn.CrossEntropyLoss(reduction="none", label_smoothing=config.label_smoothing)
    if name == "softmax":
        return SoftmaxLoss(dimension, num_identities, config.label_smoothing)
    if name == "cosine_softmax":
        return CosineSoftmaxLoss(dimension, num_identities, config.logit_scale, config.learn_logit_scale, cross_entropy)
    if name == "arcface":
        arcface: nn.Module = ArcFaceLoss(num_identities, dimension, config.arcface_margin, config.logit_scale)
        arcface.cross_entropy = cross_entropy
        return arcface
    if name == "supcon":
        return SupConLoss(config.temperature)  # type: ignore[no-any-return]
    return BatchHardTripletLoss(config.triplet_margin, euclidean=config.triplet_before_neck)


class SoftmaxLoss(nn.Module):
    """Cross-entropy of a linear classifier without bias. Source: Luo et al. 2019, arXiv 1903.07071, section 3.5."""

    def __init__(self, dimension: int, num_identities: int, label_smoothing: float) -> None:
        """Takes the dimension of an embedding, the number of classes, and the amount of label smoothing."""
        super().__init__()
        self.classifier = nn.Linear(dimension, num_identities, bias=False)
        self.label_smoothing = label_smoothing

    def forward(self, features: Tensor, ids: Tensor) -> Tensor:
        """Returns the mean loss of features (B, D) and identities int64 (B,)."""
        return F.cross_entropy(self.classifier(features), ids, label_smoothing=self.label_smoothing)


class CosineSoftmaxLoss(NormalizedSoftmaxLoss):
    """Cross-entropy over scaled cosines; the scale can be learned.

    Source: Wojke and Bewley 2018, arXiv 1812.00442, equation 6; with a constant scale, Wang et al. 2017, arXiv
    1704.06369.
    """

    def __init__(
        self,
        dimension: int,
        num_identities: int,
        logit_scale: float,
        learn_logit_scale: bool,
        cross_entropy: nn.CrossEntropyLoss,
    ) -> None:
        super().__init__(num_identities, dimension, temperature=1 / logit_scale)
        self.cross_entropy = cross_entropy
        self.log_factor = nn.Parameter(torch.zeros(()), requires_grad=learn_logit_scale)

    def get_logits(self, embeddings: Tensor) -> Tensor:
        """Returns the logits (B, C) of embeddings (B, D)."""
        return super().get_logits(embeddings) * self.log_factor.exp()  # type: ignore[no-any-return]


class BatchHardTripletLoss(nn.Module):
    """Triplet loss of the farthest positive and the nearest negative of each crop in a batch.

    Source: Hermans et al. 2017, arXiv 1703.07737, equation 5, with cosine or Euclidean distance.
    """

    def __init__(self, margin: float, euclidean: bool) -> None:
        """Takes the margin, and True for the Euclidean distance."""
        super().__init__()
        distance = LpDistance(normalize_embeddings=False) if euclidean else CosineSimilarity()
        self.miner = BatchHardMiner(distance=distance)
        self.loss = TripletMarginLoss(margin, distance=distance, reducer=MeanReducer())

    def forward(self, features: Tensor, ids: Tensor) -> Tensor:
        """Returns the mean loss of features (B, D) and identities int64 (B,)."""
        return self.loss(features, ids, self.miner(features, ids))  # type: ignore[no-any-return]
