"""Every tunable value: its default, unit, range and source. The command line, YAML files and Python share it."""

from tracker.config.base import Section, read_yaml, validated
from tracker.config.evaluation import DetectorScoring, EmbedderScoring
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
from tracker.config.training import ClassifierTraining, CropTraining, DetectorTraining, EmbedderTraining, Training

__all__ = [
    "AppearanceConfig",
    "ClassifierTraining",
    "Config",
    "CropTraining",
    "CropsConfig",
    "DetectorConfig",
    "DetectorNetwork",
    "DetectorScoring",
    "DetectorTraining",
    "EmbedderNetwork",
    "EmbedderScoring",
    "EmbedderTraining",
    "ExportConfig",
    "FoundConfig",
    "OutputConfig",
    "Section",
    "SourceConfig",
    "TrackerConfig",
    "Training",
    "detector_network",
    "load_config",
    "merged",
    "read_yaml",
    "validated",
]
