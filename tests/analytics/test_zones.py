"""Visits to zones, occupancy and flows, worked by hand."""

import pytest

from run_folders import make_tracks, walk
from tracker.analytics import analyze_tracks
from tracker.config import AnalyticsConfig, ZonesConfig
from tracker.errors import InputError

ZONES = ZonesConfig.model_validate(
    {
        "zones": {
            "left": [[0, 0], [0.3, 0], [0.3, 1], [0, 1]],
            "right": [[0.7, 0], [1, 0], [1, 1], [0.7, 1]],
        }
    }
)


def test_dwell_times_and_occupancy() -> None:
    # 2.5 pixels in 0.1 s, from x = 10 to 90: in the left zone until 0.8 s (x = 30), in the right one from 2.4 s on.
    found = analyze_tracks(make_tracks({1: walk((10, 50), (90, 50), range(33))}), ZONES)
    left, right = found.visits
    assert (left.zone, left.enter_s, left.complete) == ("left", 0, False)
    assert left.leave_s == pytest.approx(0.85) and left.dwell_s == pytest.approx(0.85)
    assert (right.enter_s, right.leave_s) == (pytest.approx(2.35), 3.2)
    occupancy = {row.zone: row for row in found.occupancy}
    assert occupancy["left"].mean == pytest.approx(0.85 / 3.3) and occupancy["left"].most == 1


def test_two_in_a_zone_at_once() -> None:
    rows = {1: walk((10, 50), (10, 50), range(11)), 2: walk((20, 50), (20, 50), range(5, 31))}
    found = analyze_tracks(make_tracks(rows), ZONES, AnalyticsConfig(interval=1))
    left = [(row.start_s, row.mean, row.most) for row in found.occupancy if row.zone == "left"]
    assert left[0] == (0, pytest.approx(1.5), 2)  # one for the whole second, the other for half of it
    assert left[1] == (1, pytest.approx(1.0), 1)


def test_trembling_at_the_border_is_one_visit() -> None:
    xs = [10] * 10 + [29, 31, 29, 31, 29] + [10] * 10
    found = analyze_tracks(make_tracks({1: [(n, x, 50) for n, x in enumerate(xs)]}), ZONES)
    assert [(visit.enter_s, visit.leave_s) for visit in found.visits] == [(0, 2.4)]
    passing = [(n, x, 50) for n, x in enumerate([40, 35, 29, 35, 40])]
    assert analyze_tracks(make_tracks({1: passing}), ZONES).visits == []


def test_the_origin_destination_matrix() -> None:
    rows = {
        1: walk((10, 50), (90, 50), range(33)),
        2: walk((10, 60), (90, 60), range(10, 43)),
        3: walk((90, 30), (10, 30), range(33)),
        4: walk((10, 20), (20, 20), range(33)),
    }
    found = analyze_tracks(make_tracks(rows), ZONES)
    assert [(flow.origin, flow.destination, flow.count, flow.low, flow.high) for flow in found.flows] == [
        ("left", "right", 2, 2, 2),
        ("right", "left", 1, 1, 1),
    ]
    assert found.flows[0].mean_s == pytest.approx(1.5)


def test_a_way_of_two_tracks_is_in_the_interval() -> None:
    rows = {1: walk((10, 50), (45, 50), range(15)), 2: walk((55, 50), (90, 50), range(19, 34))}
    (flow,) = analyze_tracks(make_tracks(rows), ZONES).flows
    assert (flow.low, flow.high) == (0, 1)


def test_a_zone_whose_sides_cross_is_refused() -> None:
    zones = ZonesConfig.model_validate({"zones": {"bow": [[0, 0], [1, 1], [1, 0], [0, 1]]}})
    with pytest.raises(InputError, match="bow: its sides cross"):
        analyze_tracks(make_tracks({1: walk((10, 50), (45, 50), range(15))}), zones)
