"""What the detector and the embedder share: trunks, weights in files, the choice of a device, and threads."""

from tracker.networks.backends import choose_backend, load_graph
from tracker.networks.compiling import MAPS, ROWS, compiled
from tracker.networks.device import choose_device, in_half, upload
from tracker.networks.files import State, load_fitting, load_pickled, read_weights
from tracker.networks.folding import fold_batch_norm
from tracker.networks.shufflenet import ShuffleTrunk, load_imagenet_trunk
from tracker.networks.workers import picture_workers

__all__ = [
    "MAPS",
    "ROWS",
    "ShuffleTrunk",
    "State",
    "choose_backend",
    "choose_device",
    "compiled",
    "fold_batch_norm",
    "in_half",
    "load_fitting",
    "load_graph",
    "load_imagenet_trunk",
    "load_pickled",
    "picture_workers",
    "read_weights",
    "upload",
]
