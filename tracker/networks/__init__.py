"""What the detector and the embedder share: trunks, and the choice of a device."""

from tracker.networks.device import choose_device
from tracker.networks.shufflenet import ShuffleTrunk, load_imagenet_trunk

__all__ = ["ShuffleTrunk", "choose_device", "load_imagenet_trunk"]
