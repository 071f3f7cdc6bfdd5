"""Networks as they are used, rather than trained."""

from collections.abc import Iterator
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops import FrozenBatchNorm2d


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Puts, in place, each batch norm that follows a convolution into that convolution; the function stays the same.

    What follows what is told by the order of a sequence, and elsewhere by torchvision's names: bn1 follows conv1. Other
    batch norms stay. The network is set to evaluation.
    """
    for module in list(model.eval().modules()):
        for first, second in _followed(module):
            convolution, norm = module.get_submodule(first), module.get_submodule(second)
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d | FrozenBatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(convolution, norm))
                setattr(module, second, nn.Identity())
    return model


def _followed(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of a module's parts, of which the second one takes what the first one gives, and nothing else does."""
    names = [name for name, _ in module.named_children()]
    if isinstance(module, nn.Sequential | IntermediateLayerGetter):
        return pairwise(names)
    pairs = ((name, name.replace("conv", "bn")) for name in names if name.startswith("conv"))
    return (pair for pair in pairs if pair[1] in names)
