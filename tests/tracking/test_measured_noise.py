"""The noise of a detector, measured while tracking, and what it changes in reported boxes."""

import numpy as np
import pytest

from tracker import Detections, TrackerConfig
from tracker.tracking import DeepSort
from tracker.tracking.measured_noise import MeasuredNoise

PATH = 50 + 20 * np.sin(np.arange(120) / 6)  # left edge of a person who walks to and fro, pixels


def deviations(noise: float, **settings: float) -> np.ndarray:
    """Tracks a person of 80 pixels whose boxes have noise; returns how far reported boxes are from detected ones."""
    chance = np.random.default_rng(0)
    tracker, found = DeepSort(TrackerConfig.model_validate(settings)), []
    for number, left in enumerate(PATH):
        box = np.array([left, 30, left + 40, 110]) + chance.normal(0, noise, 4)
        detections = Detections(box[None].astype(np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
        tracks = tracker.update(detections, None, number / 25)
        found += [np.abs(each - box)[::2].mean() for each in tracks.boxes] if number > 60 else []
    return np.array(found)


def test_reported_boxes_are_nearer_to_the_detections_of_a_precise_detector() -> None:
    share = [deviations(noise).mean() / deviations(noise, detection_weight=0).mean() for noise in (0.2, 6.0)]
    assert share[0] < 0.3 and share[1] == pytest.approx(0.75, abs=0.02)


def test_weights_of_0_and_1_stay_as_they_are() -> None:
    assert deviations(0.2, detection_weight=1).max() < 1e-4 and deviations(0.2, detection_weight=0).mean() > 0.1


def test_the_measured_fraction_is_that_of_the_variances() -> None:
    for scale in (0.1, 0.5, 0.8):
        noise, chance = MeasuredNoise(), np.random.default_rng(1)
        for _ in range(400):
            noise.add(scale * 3 * chance.standard_normal(5), np.full(5, 9.0))
        assert noise.fraction == pytest.approx(scale**2, rel=0.15)
        again = MeasuredNoise()
        again.restore(noise.state())
        assert again.fraction == noise.fraction
    noise.add(np.full(1000, 100.0), np.ones(1000))
    assert noise.fraction == 1 and MeasuredNoise().fraction == 1
