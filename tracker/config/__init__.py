"""Every tunable value: its default, unit, range and source. The command line, YAML files and Python share it."""

from tracker.config.embedding import EmbedderNetwork
from tracker.config.network import DetectorNetwork, detector_network
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
from tracker.config.scoring import DetectorScoring
from tracker.config.section import Section, read_yaml, validated
from tracker.config.training import DetectorTraining, EmbedderTraining

__all__ = [
    "AppearanceConfig",
    "Config",
    "DetectorConfig",
    "DetectorNetwork",
    "DetectorScoring",
    "DetectorTraining",
    "EmbedderNetwork",
    "EmbedderTraining",
    "FoundConfig",
    "OutputConfig",
    "Section",
    "SourceConfig",
    "TrackerConfig",
    "detector_network",
    "load_config",
    "merged",
    "read_yaml",
    "validated",
]
