"""What the detector and the embedder share: trunks, weights in files, the choice of a device, and threads."""

from tracker.networks.device import choose_device, in_half, upload
from tracker.networks.files import State, load_fitting, load_pickled, read_weights
from tracker.networks.folding import fold_batch_norm
from tracker.networks.shufflenet import ShuffleTrunk, load_imagenet_trunk
from tracker.networks.workers import picture_workers

__all__ = [
    "ShuffleTrunk",
    "State",
    "choose_device",
    "fold_batch_norm",
    "in_half",
    "load_fitting",
    "load_imagenet_trunk",
    "load_pickled",
    "picture_workers",
    "read_weights",
    "upload",
]
