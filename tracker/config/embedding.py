"""Appearance networks: classifiers whose penultimate layer is the embedding."""

from typing import Annotated

from pydantic import Field

from tracker.config.section import Positive, Section


class EmbedderNetwork(Section):
    """An appearance network. Its embedding is the input of the last Linear of a classifier, projected or as it is."""

    architecture: str = "builtin"
    """`builtin`, `lenet`, or one of torchvision's classification networks."""
    dimension: Annotated[int, Field(ge=0)] = 128
    """Numbers in an embedding, to which the input of the last Linear is projected; 0 takes that input as it is."""
    neck: bool = True
    """Batch normalisation as the embedding's last layer: BNNeck. Source: Luo et al. 2019, arXiv 1903.07071."""
    width: Positive = 1.0
    """Channels of `lenet`, relative to those of LeNet-5."""
