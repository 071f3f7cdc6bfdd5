"""Who was where, when, in a video: detection and tracking.

    import tracker

    for frame, tracks in tracker.track("video.mp4"):
        print(frame.time, tracks.ids, tracks.boxes)

Names are imported when they are first used, so that `import tracker` and `track --help` take no time.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Config": "tracker.config",
    "Detections": "tracker.structures.types",
    "Detector": "tracker.models.detection",
    "DeepSort": "tracker.tracking",
    "Embedder": "tracker.models.reid",
    "FineMaskedTracks": "tracker.structures.types",
    "FineTracks": "tracker.structures.types",
    "Frame": "tracker.structures.types",
    "InputError": "tracker.errors",
    "MaskedDetections": "tracker.structures.types",
    "MaskedTracks": "tracker.structures.types",
    "Pipeline": "tracker.pipeline.networks",
    "Tracks": "tracker.structures.types",
    "load_config": "tracker.config",
    "load_detector": "tracker.models.detection",
    "load_embedder": "tracker.models.reid",
    "open_source": "tracker.video",
    "open_writer": "tracker.output",
    "read_detections": "tracker.data.detections",
    "retrack": "tracker.pipeline.stored",
    "retrack_to_files": "tracker.pipeline.stored",
    "track": "tracker.pipeline.networks",
    "track_all_to_files": "tracker.pipeline.multi_source",
    "track_to_files": "tracker.pipeline.networks",
    "train_classifier": "tracker.training.reid.classifier",
    "train_detector": "tracker.training.detector.train",
    "train_embedder": "tracker.training.reid.embedder",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tracker' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
