"""Networks as they are used, rather than trained."""

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Puts, in place, each batch norm that follows a convolution into that convolution; the function stays the same.

    Batch norms that no `nn.Sequential` holds beside their convolution stay. The network is set to evaluation.
    """
    for module in list(model.eval().modules()):
        if isinstance(module, nn.Sequential):
            for n in range(len(module) - 1):
                convolution, norm = module[n], module[n + 1]
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[n], module[n + 1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
    return model
