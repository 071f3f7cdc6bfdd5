"""What the detector and the embedder share: trunks, weights in files, the choice of a device, and threads."""

from tracker.models.runtime.backends import choose_backend, load_graph
from tracker.models.runtime.checkpoints import State, load_fitting, load_pickled, read_weights
from tracker.models.runtime.compile import MAPS, ROWS, compiled, fold_batch_norm
from tracker.models.runtime.device import choose_device, in_half, picture_workers, upload
from tracker.models.runtime.shufflenet import ShuffleTrunk, load_imagenet_trunk

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
