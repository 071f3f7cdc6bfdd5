"""The score thresholds that a weights file states, taken over as settings of a run."""

import logging
from pathlib import Path

from tracker.config import Config
from tracker.models.model_file import read_info

log = logging.getLogger(__name__)

MOST_NAMES = 5
"""Classes whose thresholds are told."""


def with_stored_thresholds(config: Config) -> Config:
    """Returns a config with the score thresholds of its detector's file, unless it has thresholds of its own.

    Tracks then start from the lowest of them on, unless `start_score` or `high_score` is set: these are for detectors
    whose sure detections score higher.

    Raises:
        InputError: The file cannot be read.

    Example:
        >>> with_stored_thresholds(Config()).detector.class_scores
        {}
    """
    detector, tracker = config.detector, config.tracker
    if {"score", "class_scores"} & detector.model_fields_set or not detector.weights.endswith(".safetensors"):
        return config
    info = read_info(Path(detector.weights))
    scores = {name: score for name, score in zip(info.categories, info.thresholds, strict=False) if score}
    if not scores:
        return config
    told = ", ".join(f"{name} {score:.2f}" for name, score in list(scores.items())[:MOST_NAMES])
    more = " ..." if len(scores) > MOST_NAMES else ""
    log.warning("%s has score thresholds, which are used (%s%s): --score replaces them", detector.weights, told, more)
    least = min(scores.values())
    if least < tracker.start_score and not {"start_score", "high_score"} & tracker.model_fields_set:
        starts = {"start_score": least, "high_score": min(least, tracker.high_score)}
        tracker = tracker.model_copy(update=starts)
    return config.model_copy(
        update={"detector": detector.model_copy(update={"class_scores": scores}), "tracker": tracker}
    )
