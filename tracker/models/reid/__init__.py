"""Re-identification (Re-ID): embedders that turn crops of detections into unit vectors, and classifiers of crops.

- factory.py: `load_embedder` and `load_classifier` choose how a network is computed: the built-in embedder on the CPU
  by ONNX Runtime (graph_crops.py, whose graph graph_export.py writes), all others by PyTorch (torch_crops.py;
  weights.py loads their files).
- embedder.py is what both share: it cuts the crops out of images.
- network.py: the architectures by name; add one there. builtin.py and lenet.py are not torchvision's.

Names are imported when they are first used: the built-in network does not need PyTorch.
"""

from typing import TYPE_CHECKING

from tracker.structures.lazy import lazy_names

if TYPE_CHECKING:
    from tracker.models.reid.embedder import Classifier, Embedder
    from tracker.models.reid.factory import BUILTIN, embedder_path, load_classifier, load_embedder
    from tracker.models.reid.network import build_embedder, crop_size, embedder_names
    from tracker.models.reid.torch_crops import torch_classifier, torch_embedder
    from tracker.models.reid.weights import read_network

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
    "torch_classifier",
    "torch_embedder",
]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "tracker.models.reid.embedder": ("Classifier", "Embedder"),
            "tracker.models.reid.factory": ("BUILTIN", "embedder_path", "load_classifier", "load_embedder"),
            "tracker.models.reid.network": ("build_embedder", "crop_size", "embedder_names"),
            "tracker.models.reid.torch_crops": ("torch_classifier", "torch_embedder"),
            "tracker.models.reid.weights": ("read_network",),
        },
    )
