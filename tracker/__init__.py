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
    "Detections": "tracker.types",
    "Detector": "tracker.detection",
    "DeepSort": "tracker.tracking",
    "Embedder": "tracker.appearance",
    "FineMaskedTracks": "tracker.types",
    "FineTracks": "tracker.types",
    "Frame": "tracker.types",
    "InputError": "tracker.errors",
    "MaskedDetections": "tracker.types",
    "MaskedTracks": "tracker.types",
    "Pipeline": "tracker.pipeline",
    "Tracks": "tracker.types",
    "load_config": "tracker.config",
    "load_detector": "tracker.detection",
    "load_embedder": "tracker.appearance",
    "open_source": "tracker.video",
    "open_writer": "tracker.output",
    "read_detections": "tracker.stored",
    "retrack": "tracker.retracking",
    "retrack_to_files": "tracker.retracking",
    "track": "tracker.pipeline",
    "track_all_to_files": "tracker.several",
    "track_to_files": "tracker.pipeline",
    "train_classifier": "tracker.training.classifier",
    "train_detector": "tracker.training.detector",
    "train_embedder": "tracker.training.embedder",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tracker' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
