"""What the detector and the embedder share: trunks, the choice of a device, and threads."""

from tracker.networks.device import choose_device, in_half, upload
from tracker.networks.shufflenet import ShuffleTrunk, load_imagenet_trunk
from tracker.networks.workers import picture_workers

__all__ = ["ShuffleTrunk", "choose_device", "in_half", "load_imagenet_trunk", "picture_workers", "upload"]
