"""Code that detectors and embedders share: devices, backends, half precision, weights in files, and threads.

Names are imported when they are first used: backends.py, device.py and graphs.py do not import PyTorch.
"""

from typing import TYPE_CHECKING

from tracker.structures.lazy import lazy_names

if TYPE_CHECKING:
    from tracker.models.runtime.backends import choose_backend, load_graph
    from tracker.models.runtime.checkpoints import (
        StateDict,
        check_size,
        load_matching_weights,
        load_torch_file,
        read_weights,
    )
    from tracker.models.runtime.compile import BATCH_AXES, FEATURE_MAP_AXES, compile_module, fold_batch_norm
    from tracker.models.runtime.device import (
        choose_device,
        find_device,
        inference_executor,
        require_torch,
        upload,
        use_half_precision,
    )
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
    "find_device",
    "fold_batch_norm",
    "inference_executor",
    "load_graph",
    "load_imagenet_backbone",
    "load_matching_weights",
    "load_torch_file",
    "read_weights",
    "require_torch",
    "upload",
    "use_half_precision",
]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "tracker.models.runtime.backends": ("choose_backend", "load_graph"),
            "tracker.models.runtime.checkpoints": (
                *("StateDict", "check_size", "load_matching_weights", "load_torch_file", "read_weights"),
            ),
            "tracker.models.runtime.compile": ("BATCH_AXES", "FEATURE_MAP_AXES", "compile_module", "fold_batch_norm"),
            "tracker.models.runtime.device": (
                *("choose_device", "find_device", "inference_executor", "require_torch", "upload"),
                "use_half_precision",
            ),
            "tracker.models.runtime.shufflenet": ("ShuffleNetBackbone", "load_imagenet_backbone"),
        },
    )
