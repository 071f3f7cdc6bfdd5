"""Crossings of lines and their counts, worked by hand."""

import pytest

from benchmarks.counting import count_scene, crossing_scene
from run_folders import Rows, make_tracks, walk
from tracker.analytics import Analysis, analyze_tracks
from tracker.analytics.counts import count_interval
from tracker.config import AnalyticsConfig, ZonesConfig

GATE = ZonesConfig.model_validate(
    {"lines": {"gate": {"points": [[0.5, 0.2], [0.5, 0.8]], "right": "west", "left": "east"}}}
)
"""From x = 50, y = 20 down to y = 80: who looks down has the left half of the image to the right."""


def analyze(rows: Rows, *, predicted: tuple[tuple[int, int], ...] = (), **settings: float) -> Analysis:
    return analyze_tracks(make_tracks(rows, predicted=predicted), GATE, AnalyticsConfig.model_validate(settings))


def counts(analysis: Analysis) -> dict[str, tuple[int, int, int]]:
    return {row.direction: (row.count, row.low, row.high) for row in analysis.counts}


def test_a_track_counts_once_in_its_direction() -> None:
    found = analyze({1: walk((10, 50), (90, 50), range(17))})  # 5 pixels a frame: x = 50 at frame 8
    assert counts(found) == {"west": (0, 0, 0), "east": (1, 1, 1)}
    (crossing,) = found.crossings
    assert (crossing.x, crossing.y, crossing.time_s, crossing.track_id) == (50, 50, 0.8, 1)
    assert counts(analyze({1: walk((90, 50), (10, 50), range(17))}))["west"] == (1, 1, 1)


def test_who_passes_beyond_the_ends_of_the_line_does_not_cross() -> None:
    assert counts(analyze({1: walk((10, 10), (90, 10), range(17)), 2: walk((10, 95), (90, 95), range(17))})) == {
        "west": (0, 0, 0),
        "east": (0, 0, 0),
    }


def test_trembling_at_the_line_is_one_crossing() -> None:
    xs = [40, 45, 50.5, 49.5, 50.8, 49.2, 50.4, 55, 60, 65]  # within 1 pixel: a tenth of the height
    assert counts(analyze({1: [(n, x, 50) for n, x in enumerate(xs)]})) == {"west": (0, 0, 0), "east": (1, 1, 1)}
    only_trembling = [40, 45, 50.5, 49.5, 50.8, 45, 40]
    assert counts(analyze({1: [(n, x, 50) for n, x in enumerate(only_trembling)]}))["east"] == (0, 0, 0)


def test_who_comes_back_counts_in_both_directions_and_once_in_each() -> None:
    there_and_back = [30, 40, 60, 70, 60, 40, 30, 40, 60, 70]
    found = analyze({1: [(n, x, 50) for n, x in enumerate(there_and_back)]})
    assert counts(found) == {"west": (1, 1, 1), "east": (1, 1, 1)}


def test_counts_by_class_and_interval() -> None:
    rows = {1: walk((10, 50), (90, 50), range(17)), 2: walk((10, 60), (90, 60), range(30, 47))}
    tracks = make_tracks(rows, classes={1: "person", 2: "car"})
    found = analyze_tracks(tracks, GATE, AnalyticsConfig(interval=2))
    rows_of = {(row.category, row.direction, row.start_s, row.end_s): row.count for row in found.counts if row.count}
    assert rows_of == {("person", "east", 0, 2): 1, ("car", "east", 2, 4): 1}
    assert len(found.counts) == 2 * 2 * 3  # classes, directions, and intervals of 4.7 s
    assert max(row.end_s for row in found.counts) == pytest.approx(4.7)


def test_a_line_that_nobody_crosses_has_counts_of_zero() -> None:
    assert counts(analyze({1: walk((10, 50), (30, 50), range(17))})) == {"west": (0, 0, 0), "east": (0, 0, 0)}


def test_a_track_that_was_lost_at_the_line_widens_the_interval() -> None:
    before, after = walk((10, 50), (45, 50), range(8)), walk((55, 50), (90, 50), range(9, 17))
    found = analyze({1: before, 2: after})
    count, _, high = counts(found)["east"]
    assert (count, high) == (1, 1) and found.crossings[0].probability < 1
    # Another one that begins far behind the line is not the same object.
    assert counts(analyze({1: before, 2: walk((80, 30), (90, 30), range(9, 17))}))["east"][0] == 0


def test_a_track_that_begins_just_behind_the_line_may_have_crossed_it() -> None:
    assert counts(analyze({1: walk((52, 50), (97, 50), range(10))}))["east"] == (0, 0, 1)
    assert counts(analyze({1: walk((75, 50), (97, 50), range(10))}))["east"] == (0, 0, 0)


def test_a_long_gap_at_the_line_makes_a_crossing_doubtful() -> None:
    rows = {1: walk((10, 50), (90, 50), range(0, 170, 10))}
    assert counts(analyze(rows))["east"] == (1, 1, 1)  # it was seen every second, as it always was
    gap = [point for point in walk((10, 50), (90, 50), range(60)) if not 20 < point[0] < 45]
    assert counts(analyze({1: gap}))["east"] == (1, 0, 1)


@pytest.mark.parametrize(
    "probabilities, interval",
    [([], (0, 0, 0)), ([1] * 5, (5, 5, 5)), ([0.5] * 10, (10, 2, 10)), ([0.01], (0, 0, 0)), ([1, 0.4], (1, 1, 2))],
)
def test_the_interval_is_that_of_the_poisson_binomial_distribution(
    probabilities: list[float], interval: tuple[int, int, int]
) -> None:
    assert count_interval(probabilities) == interval  # ten fair coins: 2 to 8 heads with 95 %


def test_a_scene_with_perfect_boxes_is_counted_exactly() -> None:
    _, truth = crossing_scene()
    assert {way: count for way, (count, _, _) in count_scene(None).items()} == truth


@pytest.mark.slow
def test_a_scene_with_drop_outs_is_counted_within_its_interval() -> None:
    _, truth = crossing_scene()
    found = count_scene(3)
    assert all(found[way][1] <= truth[way] <= found[way][2] for way in truth)
