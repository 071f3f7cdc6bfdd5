"""Every tunable value: its default, unit, range and source. The command line, YAML files and Python share it."""

from tracker.config.base import Section, read_yaml, validated
from tracker.config.evaluation import DetectorEvalConfig, EmbedderEvalConfig
from tracker.config.network import DetectorNetwork, EmbedderNetwork, detector_network
from tracker.config.run import (
    AppearanceConfig,
    Config,
    DetectorConfig,
    FoundConfig,
    OutputConfig,
    SourceConfig,
    TrackerConfig,
    load_config,
    merged,
)
from tracker.config.tools import CropsConfig, ExportConfig
from tracker.config.training import (
    ClassifierTrainingConfig,
    CropTrainingConfig,
    DetectorTrainingConfig,
    EmbedderTrainingConfig,
    TrainingConfig,
)

__all__ = [
    "AppearanceConfig",
    "ClassifierTrainingConfig",
    "Config",
    "CropTrainingConfig",
    "CropsConfig",
    "DetectorConfig",
    "DetectorEvalConfig",
    "DetectorNetwork",
    "DetectorTrainingConfig",
    "EmbedderEvalConfig",
    "EmbedderNetwork",
    "EmbedderTrainingConfig",
    "ExportConfig",
    "FoundConfig",
    "OutputConfig",
    "Section",
    "SourceConfig",
    "TrackerConfig",
    "TrainingConfig",
    "detector_network",
    "load_config",
    "merged",
    "read_yaml",
    "validated",
]
