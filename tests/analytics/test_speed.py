"""Speeds on the ground."""

import numpy as np
import pytest

from benchmarks.counting import MARKS, SIZE, calibrate, speed_scene, to_image
from run_folders import make_tracks, walk
from tracker.analytics import GroundPlane, measure_speeds, trajectories
from tracker.config.zones import CalibrationConfig
from tracker.errors import InputError

LENGTH = CalibrationConfig.model_validate({"length": {"image": [[0.1, 0.5], [0.9, 0.5]], "metres": 40}})
"""80 pixels of an image of 100: half a metre for each."""


def test_a_known_length() -> None:
    plane = GroundPlane(LENGTH, (100, 100))
    (speed,) = measure_speeds(trajectories(make_tracks({1: walk((20, 50), (80, 50), range(31))})), plane)
    assert speed.speed_m_s == pytest.approx(10)  # 60 pixels, 30 metres, in 3 s
    assert speed.distance_m == pytest.approx(30)
    # The length is known to 2 * sqrt(2) pixels of 80.
    assert speed.high_m_s - speed.low_m_s == pytest.approx(2 * 1.96 * 10 * 2.83 / 80, rel=0.2)


def test_boxes_that_the_border_cuts_off_do_not_count() -> None:
    plane = GroundPlane(LENGTH, (100, 100))
    slow_at_the_border = [*walk((80, 50), (98, 50), range(20)), *[(frame, 98.0, 50.0) for frame in range(20, 60)]]
    (speed,) = measure_speeds(trajectories(make_tracks({1: slow_at_the_border})), plane)
    assert speed.end_s == pytest.approx(1.7)  # at x = 96.1; the box reaches 2 pixels further


def test_the_ground_is_found_from_six_points() -> None:
    plane = GroundPlane(calibrate(None, 6), SIZE)
    assert np.allclose(plane.to_metres(to_image(MARKS)), MARKS, atol=1e-4)
    assert plane.reprojection_error < 0.01 and plane.error == 2.0


def test_a_wrong_mark_is_seen_in_the_reprojection_error_and_widens_the_interval() -> None:
    values = calibrate(None, 6).model_dump()
    x, y = values["points"][5]["image"]
    values["points"][5]["image"] = x + 20 / SIZE[0], y
    wrong = GroundPlane(CalibrationConfig.model_validate(values), SIZE)
    assert wrong.reprojection_error > 3
    path = trajectories(make_tracks({1: walk((500, 600), (700, 400), range(31))}, size=SIZE))
    (good,), (bad,) = measure_speeds(path, GroundPlane(calibrate(None, 6), SIZE)), measure_speeds(path, wrong)
    assert bad.high_m_s - bad.low_m_s > 2 * (good.high_m_s - good.low_m_s)


def test_points_on_a_line_are_refused() -> None:
    points = [{"image": (0.1 * n, 0.5), "ground": (n, 0)} for n in range(1, 5)]
    with pytest.raises(InputError, match="on one line in the image"):
        GroundPlane(CalibrationConfig.model_validate({"points": points}), SIZE)


def test_a_car_is_measured_within_its_interval() -> None:
    found = [speed_scene(seed, points) for seed in range(3) for points in (4, 6)]
    assert all(low <= true <= high for true, _, low, high in found)
    true, speed, _, _ = speed_scene(None)
    assert speed == pytest.approx(true, rel=0.02)
