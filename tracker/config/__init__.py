"""All settings, each with its default, unit, range and source; the command line, YAML files and Python share them."""

from tracker.config.base import Section, parse_duration, parse_limit, read_yaml, validate_section
from tracker.config.evaluation import DetectorEvalConfig, EmbedderEvalConfig
from tracker.config.network import DetectorNetwork, EmbedderNetwork, detector_network
from tracker.config.run import (
    AppearanceConfig,
    Config,
    DetectionFilterConfig,
    DetectorConfig,
    OutputConfig,
    ResultConfig,
    RuntimeConfig,
    SourceConfig,
    TrackerConfig,
    load_config,
    merge_config,
)
from tracker.config.tools import BatchConfig, BlurConfig, CropsConfig, EventsConfig, ExportConfig, WebConfig
from tracker.config.training import (
    ClassifierTrainingConfig,
    CropTrainingConfig,
    DetectorTrainingConfig,
    EmbedderTrainingConfig,
    TrainingConfig,
)
from tracker.config.zones import AnalyticsConfig, ZonesConfig, read_zones

__all__ = [
    "AnalyticsConfig",
    "AppearanceConfig",
    "BatchConfig",
    "BlurConfig",
    "ClassifierTrainingConfig",
    "Config",
    "CropTrainingConfig",
    "CropsConfig",
    "DetectionFilterConfig",
    "DetectorConfig",
    "DetectorEvalConfig",
    "DetectorNetwork",
    "DetectorTrainingConfig",
    "EmbedderEvalConfig",
    "EmbedderNetwork",
    "EmbedderTrainingConfig",
    "EventsConfig",
    "ExportConfig",
    "OutputConfig",
    "ResultConfig",
    "RuntimeConfig",
    "Section",
    "SourceConfig",
    "TrackerConfig",
    "TrainingConfig",
    "WebConfig",
    "ZonesConfig",
    "detector_network",
    "load_config",
    "merge_config",
    "parse_duration",
    "parse_limit",
    "read_yaml",
    "read_zones",
    "validate_section",
]
