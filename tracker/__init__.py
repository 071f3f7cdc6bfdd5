"""Video object detection and tracking with Faster R-CNN and DeepSORT.

    import tracker

    for frame, tracks in tracker.track("video.mp4"):
        print(frame.time, tracks.ids, tracks.boxes)

Names are imported when they are first used, so that `import tracker` and `track --help` do not import PyTorch.
"""

from typing import TYPE_CHECKING

from tracker.structures.lazy import lazy_names

__version__ = "0.2.0"

if TYPE_CHECKING:
    from tracker.config import (
        AppearanceConfig,
        ClassifierTrainingConfig,
        Config,
        DetectorConfig,
        DetectorTrainingConfig,
        EmbedderTrainingConfig,
        OutputConfig,
        SourceConfig,
        TrackerConfig,
        load_config,
    )
    from tracker.data.detections import StoredDetections, read_detections
    from tracker.errors import InputError
    from tracker.models.detection import Detector, load_detector
    from tracker.models.reid import Embedder, load_embedder
    from tracker.output import AudioSource, ResultWriter, VideoInfo, open_writer
    from tracker.pipeline.api import retrack, retrack_to_files, track, track_to_files
    from tracker.pipeline.monitor import RunMonitor
    from tracker.pipeline.multi_source import track_all_to_files
    from tracker.pipeline.networks import NetworkAnalyzer
    from tracker.pipeline.run_result import RunResult
    from tracker.pipeline.source_list import expand_sources
    from tracker.pipeline.tracker import Tracker
    from tracker.pipeline.tracking_run import TrackingRun
    from tracker.structures.types import Detections, Frame, Tracks
    from tracker.tracking import DeepSort
    from tracker.training.detector.train import train_detector
    from tracker.training.reid.classifier import train_classifier
    from tracker.training.reid.embedder import train_embedder
    from tracker.video import Source, open_source

__all__ = [
    "AppearanceConfig",
    "AudioSource",
    "ClassifierTrainingConfig",
    "Config",
    "DeepSort",
    "Detections",
    "Detector",
    "DetectorConfig",
    "DetectorTrainingConfig",
    "Embedder",
    "EmbedderTrainingConfig",
    "Frame",
    "InputError",
    "NetworkAnalyzer",
    "OutputConfig",
    "ResultWriter",
    "RunMonitor",
    "RunResult",
    "Source",
    "SourceConfig",
    "StoredDetections",
    "Tracker",
    "TrackerConfig",
    "TrackingRun",
    "Tracks",
    "VideoInfo",
    "__version__",
    "expand_sources",
    "load_config",
    "load_detector",
    "load_embedder",
    "open_source",
    "open_writer",
    "read_detections",
    "retrack",
    "retrack_to_files",
    "track",
    "track_all_to_files",
    "track_to_files",
    "train_classifier",
    "train_detector",
    "train_embedder",
]

if not TYPE_CHECKING:  # a type checker that saw this would take any name, also a misspelled one
    __getattr__ = lazy_names(
        __name__,
        {
            "tracker.config": (
                "AppearanceConfig",
                "ClassifierTrainingConfig",
                "Config",
                "DetectorConfig",
                "DetectorTrainingConfig",
                "EmbedderTrainingConfig",
                "OutputConfig",
                "SourceConfig",
                "TrackerConfig",
                "load_config",
            ),
            "tracker.data.detections": ("StoredDetections", "read_detections"),
            "tracker.errors": ("InputError",),
            "tracker.models.detection": ("Detector", "load_detector"),
            "tracker.models.reid": ("Embedder", "load_embedder"),
            "tracker.output": ("AudioSource", "ResultWriter", "VideoInfo", "open_writer"),
            "tracker.pipeline.api": ("retrack", "retrack_to_files", "track", "track_to_files"),
            "tracker.pipeline.run_result": ("RunResult",),
            "tracker.pipeline.monitor": ("RunMonitor",),
            "tracker.pipeline.multi_source": ("track_all_to_files",),
            "tracker.pipeline.networks": ("NetworkAnalyzer",),
            "tracker.pipeline.source_list": ("expand_sources",),
            "tracker.pipeline.tracker": ("Tracker",),
            "tracker.pipeline.tracking_run": ("TrackingRun",),
            "tracker.structures.types": ("Detections", "Frame", "Tracks"),
            "tracker.tracking": ("DeepSort",),
            "tracker.training.detector.train": ("train_detector",),
            "tracker.training.reid.classifier": ("train_classifier",),
            "tracker.training.reid.embedder": ("train_embedder",),
            "tracker.video": ("Source", "open_source"),
        },
    )


def __dir__() -> list[str]:
    return __all__
