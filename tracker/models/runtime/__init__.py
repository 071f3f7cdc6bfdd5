"""Code that detectors and embedders share: devices, backends, half precision, weights in files, and threads."""

from tracker.models.runtime.backends import choose_backend, load_graph
from tracker.models.runtime.checkpoints import (
    StateDict,
    check_size,
    load_matching_weights,
    load_torch_file,
    read_weights,
)
from tracker.models.runtime.compile import BATCH_AXES, FEATURE_MAP_AXES, compile_module, fold_batch_norm
from tracker.models.runtime.device import choose_device, inference_executor, upload, use_half_precision
from tracker.models.runtime.shufflenet import ShuffleNetBackbone, load_imagenet_backbone

__all__ = [
    "BATCH_AXES",
    "FEATURE_MAP_AXES",
    "ShuffleNetBackbone",
    "StateDict",
    "check_size",
    "choose_backend",
    "choose_device",
    "compile_module",
    "fold_batch_norm",
    "inference_executor",
    "load_graph",
    "load_imagenet_backbone",
    "load_matching_weights",
    "load_torch_file",
    "read_weights",
    "upload",
    "use_half_precision",
]
