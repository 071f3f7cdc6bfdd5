"""Which tracklets are linked: each cost against a dense filter or by hand, the choice against all choices there are."""

import itertools
import tracemalloc

import numpy as np
import pytest

from tracker.config import TrackerConfig
from tracker.tracking.kalman import KalmanFilter
from tracker.tracking.linking import link
from tracker.tracking.tracklets import Tracklets

PLAIN = {
    "match_across_classes": True,
    "max_nll": 1e6,
    "link_gap": 1e3,
    "absence_penalty": 0,
    "confidence_noise": 0,
}


def runs(*parts, width=0):
    """Tracklets of (times, boxes, label) and maybe scores and an embedding; boxes (N, 4) or one for all times."""
    ends, columns = [0], [[], [], [], []]
    embeddings = np.zeros((len(parts), width))
    for n, (times, boxes, label, *more) in enumerate(parts):
        rows = len(times)
        ends.append(ends[-1] + rows)
        scores = more[0] if more else np.full(rows, 0.9)
        for column, values in zip(
            columns, (times, np.broadcast_to(boxes, (rows, 4)), scores, np.broadcast_to(label, rows)), strict=True
        ):
            column.append(np.asarray(values))
        if len(more) > 1:
            embeddings[n] = more[1]
    times, boxes, scores, labels = (np.concatenate(column) for column in columns)
    frames = np.unique(times, return_inverse=True)[1]
    return Tracklets(
        np.array(ends), frames, times, boxes.astype(float), scores.astype(float), labels, labels, embeddings
    )


def filter_of(config):
    return KalmanFilter(config.position_noise, config.velocity_noise, config.measurement_noise, config.confidence_noise)


def linked(tracklets, **settings):
    config = TrackerConfig(**PLAIN | settings)
    return link(tracklets, filter_of(config), config).tolist()


def costs_just(tracklets, nats, **settings):
    """Whether two tracklets are linked just above this limit, and not just below."""
    above, below = (linked(tracklets, **settings, max_nll=limit) for limit in (nats * (1 + 1e-7), nats * (1 - 1e-7)))
    return above == [0, 0] and below == [0, 1]


# --- what a link costs ---


def square_of(config, height):
    """Variances of one detection's track: what is measured, and, in the filter's order, what is known at first."""
    return (config.measurement_noise * height) ** 2, (height / 10) ** 2, (30 * height / 16) ** 2


@pytest.mark.parametrize("heights", [(100, 100), (100, 130)])
def test_a_link_of_two_single_detections_costs_what_it_does_by_hand(heights):
    gap, config = 0.8, TrackerConfig(**PLAIN)
    boxes = [np.array([300, 200, 340, 200 + h]) + 90 * n for n, h in enumerate(heights)]
    nats = 0
    for here, there in ((0, 1), (1, 0)):
        noise, position, velocity = square_of(config, heights[here])
        process = 30 * gap * (config.position_noise * heights[here]) ** 2
        spread = position + gap**2 * velocity + process + square_of(config, heights[there])[1]
        off = np.array([90, 90 + (heights[1] - heights[0]) / 2, np.sqrt(config.height_weight) * np.diff(heights)[0]])
        nats += (0.5 * 3 * np.log(spread / noise) + 0.5 * (off**2).sum() / spread) / 2
    assert costs_just(runs(([0], boxes[0], 0), ([gap], boxes[1], 0)), nats)
    assert costs_just(runs(([0], boxes[0], 0), ([gap], boxes[1], 0)), nats + 0.7 * gap, absence_penalty=0.7)


def dense_state(times, boxes, scores, config):
    """State and covariance at the last time, by a filter of full matrices."""
    size = boxes[:, 2:] - boxes[:, :2]
    measured = np.c_[(boxes[:, :2] + boxes[:, 2:]) / 2, size[:, 0] / size[:, 1], size[:, 1]]
    h = measured[0, 3]
    mean = np.r_[measured[0], np.zeros(4)]
    covariance = np.diag([h / 10, h / 10, 1e-2, h / 10, *30 * np.array([h / 16, h / 16, 1e-5, h / 16])]) ** 2
    see = np.eye(4, 8)
    for n in range(1, len(times)):
        mean, covariance = dense_step(mean, covariance, abs(times[n] - times[n - 1]), config)
        noise = dense_noise(mean[3], config) * (1 - config.confidence_noise * scores[n])
        gain = covariance @ see.T @ np.linalg.inv(see @ covariance @ see.T + noise)
        mean, covariance = mean + gain @ (measured[n] - see @ mean), (np.eye(8) - gain @ see) @ covariance
    mean[6:] = 0
    return mean, covariance


def dense_step(mean, covariance, interval, config):
    move, h = np.eye(8) + np.diag([interval] * 4, 4), mean[3]
    p, v = config.position_noise * h, config.velocity_noise * h
    noise = np.diag([p, p, 1e-2, p, 30 * v, 30 * v, 30 * 1e-5, 30 * v]) ** 2 * 30 * interval
    return move @ mean, move @ covariance @ move.T + noise


def dense_noise(h, config):
    return np.diag([config.measurement_noise * h] * 2 + [0.1, config.measurement_noise * h]) ** 2


def dense_cost(before, after, config):
    """What it costs to link (times, boxes, label, scores, embedding) with another, nats."""
    end = dense_state(before[0], before[1], before[3], config)
    start = dense_state(after[0][::-1], after[1][::-1], after[3][::-1], config)
    gap, nats, axes = after[0][0] - before[0][-1], 0, [0, 1, 3]
    for here, there in ((end, start), (start, end)):
        mean, covariance = dense_step(*here, gap, config)
        spread = (covariance + there[1]).diagonal()[axes]
        off = (there[0] - mean)[axes] * np.sqrt([1, 1, config.height_weight])
        widening = spread / dense_noise(mean[3], config).diagonal()[axes]
        nats += (0.5 * np.log(widening).sum() + 0.5 * (off**2 / spread).sum()) / 2
    a, b = before[4], after[4]
    if a.any() and b.any():
        cosine = 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        nats += config.appearance_evidence * (cosine - config.neutral_distance)
    return nats + config.absence_penalty * gap


def wandering(draw, start, rows, label=0):
    """A tracklet at irregular times."""
    times = start + np.cumsum(draw.choice([0.02, 0.04, 0.3], rows))
    centre = draw.uniform(300, 420, 2) + np.cumsum(draw.normal(0, 4, (rows, 2)), axis=0)
    half = np.c_[draw.uniform(20, 25, rows), draw.uniform(55, 65, rows)]
    return times, np.c_[centre - half, centre + half], label, draw.uniform(0.3, 1, rows), draw.normal(1, 1, 8)


@pytest.mark.parametrize("seed", range(6))
def test_a_link_costs_what_a_dense_filter_says_from_both_sides(seed):
    draw = np.random.default_rng(seed)
    rows = draw.integers(1, 60, 2)
    one = wandering(draw, 0, rows[0])
    two = wandering(draw, one[0][-1] + draw.uniform(0.1, 2), rows[1])
    settings = {"confidence_noise": 0.45, "absence_penalty": 0.8, "height_weight": 0.3, "appearance_evidence": 40.0}
    settings["neutral_cosine_distance"] = 1e-9  # costs are then above 0, as the limit must be
    nats = dense_cost(one, two, TrackerConfig(**PLAIN | settings))
    assert costs_just(runs(one, two, width=8), nats, **settings)


def test_only_the_last_detections_before_a_gap_and_the_first_after_it_count():
    draw = np.random.default_rng(0)
    one = wandering(draw, 0, 200)
    two = wandering(draw, one[0][-1] + 1, 200)
    near = [(one[0][-60:], one[1][-60:], 0, one[3][-60:]), (two[0][:60], two[1][:60], 0, two[3][:60])]
    config = TrackerConfig(**PLAIN)
    nats = dense_cost((*near[0], np.zeros(1)), (*near[1], np.zeros(1)), config)
    one[1][:-60] += 1e8
    two[1][60:] += 1e8
    assert costs_just(runs(one[:4], two[:4]), nats)


def test_looks_bring_together_and_keep_apart():
    box, config = [300, 200, 340, 300], TrackerConfig(**PLAIN)
    same, other = np.eye(2)
    bare = dense_cost(
        ([0], np.array([box]), 0, [0.9], np.zeros(2)), ([1], np.array([box]), 0, [0.9], np.zeros(2)), config
    )

    def pair(a, b):
        return runs(([0], box, 0, [0.9], a), ([1], box, 0, [0.9], b), width=2)

    evidence = {"appearance_evidence": 5.0, "neutral_cosine_distance": 0.35}
    assert costs_just(pair(same, 7 * same), bare - 5 * 0.35, **evidence)  # a sum of unit vectors, of any length
    assert costs_just(pair(same, other), bare + 5 * 0.65, **evidence)
    assert costs_just(pair(same, 0 * same), bare, **evidence)  # nothing is known of the second
    close = same + 0.5 * other
    distance = 1 - 1 / np.sqrt(1.25)
    assert linked(pair(same, close), max_cosine_distance=distance + 1e-9) == [0, 0]
    assert linked(pair(same, close), max_cosine_distance=distance - 1e-9) == [0, 1]
    assert linked(pair(same, 0 * same), max_cosine_distance=0.1) == [0, 0]


def test_two_who_exchange_their_places_unseen_are_known_by_their_looks():
    times, looks = np.arange(25) / 25, np.eye(2)
    left, right = [300, 200, 340, 300], [350, 200, 390, 300]
    there = [(times, left, 0, np.full(25, 0.9), looks[0]), (times, right, 0, np.full(25, 0.9), looks[1])]
    back = [(times + 2, right, 0, np.full(25, 0.9), looks[0]), (times + 2, left, 0, np.full(25, 0.9), looks[1])]
    both = runs(*there, *back, width=2)
    assert linked(both) == [0, 1, 0, 1]
    assert linked(both, appearance_evidence=0) == [0, 1, 1, 0]


# --- which links there may be, and which are chosen ---


def test_classes_are_linked_only_if_asked_and_by_the_vote_of_each_tracklet():
    box = [300, 200, 340, 300]
    vans = runs(([0, 0.1, 0.2], box, [2, 3, 2]), ([1, 1.1, 1.2], box, [3, 2, 2]))
    mixed = runs(([0, 0.1, 0.2], box, [2, 3, 2]), ([1, 1.1, 1.2], box, [3, 3, 2]))
    assert linked(vans, match_across_classes=False) == [0, 0]
    assert linked(mixed, match_across_classes=False) == [0, 1]
    assert linked(mixed, match_across_classes=True) == [0, 0]


def test_chains_come_in_the_order_in_which_they_appear():
    box, looks = [300, 200, 340, 300], np.eye(4)
    starts = (5, 2, 1, 9, 2)
    parts = [([t, t + 0.5], box, n, np.full(2, 0.9), looks[n % 4]) for n, t in enumerate(starts)]
    # 5 and 1 are one; of those that appear at 2, the first comes first; the one at 9 is too short.
    parts[3] = ([9], box, 3, [0.9], looks[3])
    chains = runs(*parts, width=4).joined(np.array([2, 0, 2, 1, 3]), 2)
    assert chains.times.tolist() == [1, 1.5, 5, 5.5, 2, 2.5, 2, 2.5]
    assert chains.labels.tolist() == [2, 2, 0, 0, 1, 1, 4, 4]
    assert chains.ends.tolist() == [0, 4, 6, 8]
    np.testing.assert_array_equal(chains.embeddings, [looks[0] + looks[2], looks[1], looks[0]])
    assert [t.times.tolist() for t in chains.each()] == [[1, 1.5, 5, 5.5], [2, 2.5], [2, 2.5]]


@pytest.mark.parametrize("fps", [10, 25, 30])
def test_a_link_may_be_as_long_as_its_limit_whenever_it_is(fps):
    box, rounded = [300, 200, 340, 300], []
    for first in range(60):
        for more, expected in ((0, [0, 0]), (1, [0, 1])):
            tracklets = runs(([first / fps], box, 0), ([(first + fps + more) / fps], box, 0))
            assert linked(tracklets, link_gap=1.0) == expected, (first, more)
        rounded.append((first + fps) / fps - first / fps > 1)
    assert any(rounded)  # which would be longer than the limit, to the letter


def test_no_tracklet_is_linked_with_one_that_starts_before_its_end():
    box = [300, 200, 340, 300]
    assert linked(runs(([0, 1], box, 0), ([1, 2], box, 0))) == [0, 1]
    assert linked(runs(([0, 1], box, 0), ([0.5, 2], box, 0))) == [0, 1]
    assert linked(runs(([0, 1], box, 0))) == [0]
    assert (
        link(runs(([0], box, 0)).joined(np.array([0]), 2), filter_of(TrackerConfig()), TrackerConfig()).tolist() == []
    )


def test_a_chain_may_have_many_links_and_lie_in_any_order():
    box = np.array([300, 200, 340, 300])
    parts = [
        ([t, t + 0.1], box + np.array([x, 0, x, 0]), 0)
        for t, x in ((4, 0), (0, 900), (2, 0), (2, 900), (0, 0), (4, 900))
    ]
    assert linked(runs(*parts), link_gap=3) == [1, 0, 1, 0, 1, 0]


def test_of_all_links_those_are_made_that_are_likeliest_together():
    contested = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        starts = draw.choice([0, 1.5], 6) + draw.uniform(0, 0.4, 6)
        parts = [wandering(draw, start, draw.choice([1, 1, 1, 8]), draw.integers(6) // 5) for start in starts]
        settings = {
            "match_across_classes": bool(seed % 2),
            "max_nll": 9.0,
            "link_gap": 1.8,
            "appearance_evidence": 5,
        }
        cost = allowed(parts, TrackerConfig(**PLAIN | settings))
        best = min(choices(list(cost)), key=lambda chosen: sum(cost[pair] - 9 for pair in chosen))
        chains = linked(runs(*parts, width=8), **settings)
        together = {(a, b) for a, b in itertools.permutations(range(6), 2) if chains[a] == chains[b]}
        assert together == {(a, b) for chain in grown(best) for a, b in itertools.permutations(chain, 2)}, seed
        contested += set(best) != set(likeliest_first(cost))
    assert contested > 3  # where taking the likeliest link first would not do


def allowed(parts, config):
    """The links that may be made, and what they cost."""
    cost = {}
    for a, b in itertools.permutations(range(len(parts)), 2):
        near = 0 < parts[b][0][0] - parts[a][0][-1] <= config.link_gap
        if near and (config.match_across_classes or parts[a][2] == parts[b][2]):
            cost[a, b] = dense_cost(parts[a], parts[b], config)
    return {pair: nats for pair, nats in cost.items() if nats < config.max_nll}


def likeliest_first(cost):
    chosen = []
    for a, b in sorted(cost, key=cost.get):
        if all(a != c and b != d for c, d in chosen):
            chosen.append((a, b))
    return chosen


def choices(pairs):
    """All sets of pairs in which nobody is twice a first, nor twice a second."""
    if not pairs:
        return [()]
    (a, b), rest = pairs[0], pairs[1:]
    with_it = [pair for pair in rest if pair[0] != a and pair[1] != b]
    return choices(rest) + [((a, b), *more) for more in choices(with_it)]


def grown(pairs):
    chains = [{n} for n in range(6)]
    for a, b in pairs:
        one, two = (next(chain for chain in chains if n in chain) for n in (a, b))
        chains.remove(two)
        one |= two
    return chains


def test_many_candidates_take_little_memory():
    draw, count = np.random.default_rng(0), 800
    corner = draw.uniform(0, 1500, (count, 2))
    boxes = np.c_[corner, corner + np.array([50, 150])]
    looks = draw.normal(size=(count, 256)) + 1
    tracklets = runs(
        *(([t], box, 0, [0.9], look) for t, box, look in zip(draw.uniform(0, 6, count), boxes, looks, strict=True)),
        width=256,
    )
    tracemalloc.start()
    try:
        linked(tracklets, **{"max_nll": 9.2, "link_gap": 3})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6  # the embeddings of all candidates side by side would take 1 GB
