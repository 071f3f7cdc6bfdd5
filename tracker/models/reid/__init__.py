"""Re-identification (Re-ID): embedders that turn crops of detections into unit vectors, and classifiers of crops.

- weights.py: `load_embedder` and `load_classifier` build a network and load its weights from a file.
- embedder.py: cuts the crops out of images and runs a network on them.
- network.py: the architectures by name; add one there. builtin.py and lenet.py are not torchvision's.
"""

from tracker.models.reid.embedder import Classifier, Embedder
from tracker.models.reid.network import build_embedder, crop_size, embedder_names
from tracker.models.reid.weights import BUILTIN, embedder_path, load_classifier, load_embedder, read_network

__all__ = [
    "BUILTIN",
    "Classifier",
    "Embedder",
    "build_embedder",
    "crop_size",
    "embedder_names",
    "embedder_path",
    "load_classifier",
    "load_embedder",
    "read_network",
]
