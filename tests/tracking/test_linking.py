"""Linking of tracklets: costs compared with a dense filter and by hand, the assignment with all there are."""

import itertools
import tracemalloc

import numpy as np
import pytest

from tracker.config import TrackerConfig
from tracker.tracking.kalman import KalmanFilter
from tracker.tracking.linking import link
from tracker.tracking.tracklets import Tracklets

ANY_LINK = {
    "match_across_classes": True,
    "max_nll": 1e6,
    "link_gap": 1e3,
    "absence_penalty": 0,
    "confidence_noise": 0,
}


def make_tracklets(*parts, width=0):
    """Returns tracklets of (times, boxes, label[, scores[, embedding]]); boxes (N, 4), or one for all times."""
    offsets, columns = [0], [[], [], [], []]
    embeddings = np.zeros((len(parts), width))
    for n, (times, boxes, label, *options) in enumerate(parts):
        rows = len(times)
        offsets.append(offsets[-1] + rows)
        scores = options[0] if options else np.full(rows, 0.9)
        for column, values in zip(
            columns, (times, np.broadcast_to(boxes, (rows, 4)), scores, np.broadcast_to(label, rows)), strict=True
        ):
            column.append(np.asarray(values))
        if len(options) > 1:
            embeddings[n] = options[1]
    times, boxes, scores, labels = (np.concatenate(column) for column in columns)
    frames = np.unique(times, return_inverse=True)[1]
    return Tracklets(
        np.array(offsets), frames, times, boxes.astype(float), scores.astype(float), labels, labels, embeddings
    )


def make_filter(config):
    return KalmanFilter(config.position_noise, config.velocity_noise, config.measurement_noise, config.confidence_noise)


def chains_of(tracklets, **settings):
    config = TrackerConfig(**ANY_LINK | settings)
    return link(tracklets, make_filter(config), config).tolist()


def link_costs(tracklets, cost, **settings):
    """Returns True if two tracklets are linked with a limit just above this cost, and not with one just below."""
    above, below = (chains_of(tracklets, **settings, max_nll=limit) for limit in (cost * (1 + 1e-7), cost * (1 - 1e-7)))
    return above == [0, 0] and below == [0, 1]


# --- the cost of a link ---


def variances_of(config, height):
    """Returns the variances of a measurement, and of the position and the velocity of a new track."""
    return (config.measurement_noise * height) ** 2, (height / 10) ** 2, (30 * height / 16) ** 2


@pytest.mark.parametrize("heights", [(100, 100), (100, 130)])
def test_the_cost_of_linking_two_single_detections_by_hand(heights):
    gap, config = 0.8, TrackerConfig(**ANY_LINK)
    boxes = [np.array([300, 200, 340, 200 + h]) + 90 * n for n, h in enumerate(heights)]
    cost = 0
    for own, other in ((0, 1), (1, 0)):
        noise, position, velocity = variances_of(config, heights[own])
        process = 30 * gap * (config.position_noise * heights[own]) ** 2
        spread = position + gap**2 * velocity + process + variances_of(config, heights[other])[1]
        off = np.array([90, 90 + (heights[1] - heights[0]) / 2, np.sqrt(config.height_weight) * np.diff(heights)[0]])
        cost += (0.5 * 3 * np.log(spread / noise) + 0.5 * (off**2).sum() / spread) / 2
    assert link_costs(make_tracklets(([0], boxes[0], 0), ([gap], boxes[1], 0)), cost)
    assert link_costs(make_tracklets(([0], boxes[0], 0), ([gap], boxes[1], 0)), cost + 0.7 * gap, absence_penalty=0.7)


def dense_state(times, boxes, scores, config):
    """Returns state and covariance at the last time, by a filter of full matrices."""
    size = boxes[:, 2:] - boxes[:, :2]
    measurements = np.c_[(boxes[:, :2] + boxes[:, 2:]) / 2, size[:, 0] / size[:, 1], size[:, 1]]
    h = measurements[0, 3]
    mean = np.r_[measurements[0], np.zeros(4)]
    covariance = np.diag([h / 10, h / 10, 1e-2, h / 10, *30 * np.array([h / 16, h / 16, 1e-5, h / 16])]) ** 2
    observation = np.eye(4, 8)
    for n in range(1, len(times)):
        mean, covariance = dense_step(mean, covariance, abs(times[n] - times[n - 1]), config)
        noise = dense_noise(mean[3], config) * (1 - config.confidence_noise * scores[n])
        gain = covariance @ observation.T @ np.linalg.inv(observation @ covariance @ observation.T + noise)
        mean = mean + gain @ (measurements[n] - observation @ mean)
        covariance = (np.eye(8) - gain @ observation) @ covariance
    mean[6:] = 0
    return mean, covariance


def dense_step(mean, covariance, interval, config):
    transition, h = np.eye(8) + np.diag([interval] * 4, 4), mean[3]
    p, v = config.position_noise * h, config.velocity_noise * h
    noise = np.diag([p, p, 1e-2, p, 30 * v, 30 * v, 30 * 1e-5, 30 * v]) ** 2 * 30 * interval
    return transition @ mean, transition @ covariance @ transition.T + noise


def dense_noise(h, config):
    return np.diag([config.measurement_noise * h] * 2 + [0.1, config.measurement_noise * h]) ** 2


def dense_cost(before, after, config):
    """Returns the cost of linking (times, boxes, label, scores, embedding) with another, nats."""
    end = dense_state(before[0], before[1], before[3], config)
    start = dense_state(after[0][::-1], after[1][::-1], after[3][::-1], config)
    gap, cost, axes = after[0][0] - before[0][-1], 0, [0, 1, 3]
    for own, other in ((end, start), (start, end)):
        mean, covariance = dense_step(*own, gap, config)
        spread = (covariance + other[1]).diagonal()[axes]
        off = (other[0] - mean)[axes] * np.sqrt([1, 1, config.height_weight])
        ratio = spread / dense_noise(mean[3], config).diagonal()[axes]
        cost += (0.5 * np.log(ratio).sum() + 0.5 * (off**2 / spread).sum()) / 2
    a, b = before[4], after[4]
    if a.any() and b.any():
        cosine = 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        cost += config.appearance_evidence * (cosine - config.neutral_distance)
    return cost + config.absence_penalty * gap


def random_walk(rng, start, rows, label=0):
    """Returns a tracklet at irregular times."""
    times = start + np.cumsum(rng.choice([0.02, 0.04, 0.3], rows))
    center = rng.uniform(300, 420, 2) + np.cumsum(rng.normal(0, 4, (rows, 2)), axis=0)
    half = np.c_[rng.uniform(20, 25, rows), rng.uniform(55, 65, rows)]
    return times, np.c_[center - half, center + half], label, rng.uniform(0.3, 1, rows), rng.normal(1, 1, 8)


@pytest.mark.parametrize("seed", range(6))
def test_the_cost_of_a_link_is_that_of_a_dense_filter_in_both_directions(seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(1, 60, 2)
    first = random_walk(rng, 0, rows[0])
    second = random_walk(rng, first[0][-1] + rng.uniform(0.1, 2), rows[1])
    settings = {"confidence_noise": 0.45, "absence_penalty": 0.8, "height_weight": 0.3, "appearance_evidence": 40.0}
    settings["neutral_cosine_distance"] = 1e-9  # which makes the costs positive, as the limit must be
    cost = dense_cost(first, second, TrackerConfig(**ANY_LINK | settings))
    assert link_costs(make_tracklets(first, second, width=8), cost, **settings)


def test_only_the_last_detections_before_a_gap_and_the_first_after_it_count():
    rng = np.random.default_rng(0)
    first = random_walk(rng, 0, 200)
    second = random_walk(rng, first[0][-1] + 1, 200)
    close = [(first[0][-60:], first[1][-60:], 0, first[3][-60:]), (second[0][:60], second[1][:60], 0, second[3][:60])]
    config = TrackerConfig(**ANY_LINK)
    cost = dense_cost((*close[0], np.zeros(1)), (*close[1], np.zeros(1)), config)
    first[1][:-60] += 1e8
    second[1][60:] += 1e8
    assert link_costs(make_tracklets(first[:4], second[:4]), cost)


def test_appearance_makes_links_more_or_less_likely():
    box, config = [300, 200, 340, 300], TrackerConfig(**ANY_LINK)
    same, other = np.eye(2)
    by_motion = dense_cost(
        ([0], np.array([box]), 0, [0.9], np.zeros(2)), ([1], np.array([box]), 0, [0.9], np.zeros(2)), config
    )

    def pair(a, b):
        return make_tracklets(([0], box, 0, [0.9], a), ([1], box, 0, [0.9], b), width=2)

    evidence = {"appearance_evidence": 5.0, "neutral_cosine_distance": 0.35}
    assert link_costs(pair(same, 7 * same), by_motion - 5 * 0.35, **evidence)  # a sum of unit vectors has any length
    assert link_costs(pair(same, other), by_motion + 5 * 0.65, **evidence)
    assert link_costs(pair(same, 0 * same), by_motion, **evidence)  # the second has no embedding
    close = same + 0.5 * other
    distance = 1 - 1 / np.sqrt(1.25)
    assert chains_of(pair(same, close), max_cosine_distance=distance + 1e-9) == [0, 0]
    assert chains_of(pair(same, close), max_cosine_distance=distance - 1e-9) == [0, 1]
    assert chains_of(pair(same, 0 * same), max_cosine_distance=0.1) == [0, 0]


def test_two_people_who_exchange_their_positions_are_linked_by_appearance():
    times, appearance = np.arange(25) / 25, np.eye(2)
    left, right = [300, 200, 340, 300], [350, 200, 390, 300]
    before = [(times, left, 0, np.full(25, 0.9), appearance[0]), (times, right, 0, np.full(25, 0.9), appearance[1])]
    after = [
        (times + 2, right, 0, np.full(25, 0.9), appearance[0]),
        (times + 2, left, 0, np.full(25, 0.9), appearance[1]),
    ]
    both = make_tracklets(*before, *after, width=2)
    assert chains_of(both) == [0, 1, 0, 1]
    assert chains_of(both, appearance_evidence=0) == [0, 1, 1, 0]


# --- admissible links, and their assignment ---


def test_tracklets_are_linked_by_majority_label_unless_match_across_classes():
    box = [300, 200, 340, 300]
    same = make_tracklets(([0, 0.1, 0.2], box, [2, 3, 2]), ([1, 1.1, 1.2], box, [3, 2, 2]))
    mixed = make_tracklets(([0, 0.1, 0.2], box, [2, 3, 2]), ([1, 1.1, 1.2], box, [3, 3, 2]))
    assert chains_of(same, match_across_classes=False) == [0, 0]
    assert chains_of(mixed, match_across_classes=False) == [0, 1]
    assert chains_of(mixed, match_across_classes=True) == [0, 0]


def test_chains_come_in_the_order_in_which_they_appear():
    box, appearance = [300, 200, 340, 300], np.eye(4)
    starts = (5, 2, 1, 9, 2)
    parts = [([t, t + 0.5], box, n, np.full(2, 0.9), appearance[n % 4]) for n, t in enumerate(starts)]
    # 5 and 1 are one; of those that appear at 2, the first comes first; the one at 9 is too short.
    parts[3] = ([9], box, 3, [0.9], appearance[3])
    chains = make_tracklets(*parts, width=4).join(np.array([2, 0, 2, 1, 3]), 2)
    assert chains.times.tolist() == [1, 1.5, 5, 5.5, 2, 2.5, 2, 2.5]
    assert chains.labels.tolist() == [2, 2, 0, 0, 1, 1, 4, 4]
    assert chains.offsets.tolist() == [0, 4, 6, 8]
    np.testing.assert_array_equal(chains.embeddings, [appearance[0] + appearance[2], appearance[1], appearance[0]])
    assert [t.times.tolist() for t in chains.split()] == [[1, 1.5, 5, 5.5], [2, 2.5], [2, 2.5]]


@pytest.mark.parametrize("fps", [10, 25, 30])
def test_a_link_may_be_as_long_as_link_gap_at_any_time(fps):
    box, rounded_up = [300, 200, 340, 300], []
    for first in range(60):
        for more, expected in ((0, [0, 0]), (1, [0, 1])):
            tracklets = make_tracklets(([first / fps], box, 0), ([(first + fps + more) / fps], box, 0))
            assert chains_of(tracklets, link_gap=1.0) == expected, (first, more)
        rounded_up.append((first + fps) / fps - first / fps > 1)
    assert any(rounded_up)  # some gaps of 1 s exceed 1.0 by rounding


def test_no_tracklet_is_linked_with_one_that_starts_before_its_end():
    box = [300, 200, 340, 300]
    assert chains_of(make_tracklets(([0, 1], box, 0), ([1, 2], box, 0))) == [0, 1]
    assert chains_of(make_tracklets(([0, 1], box, 0), ([0.5, 2], box, 0))) == [0, 1]
    assert chains_of(make_tracklets(([0, 1], box, 0))) == [0]
    none = make_tracklets(([0], box, 0)).join(np.array([0]), 2)
    assert chains_of(none) == []


def test_a_chain_may_have_many_links_in_any_order():
    box = np.array([300, 200, 340, 300])
    parts = [
        ([t, t + 0.1], box + np.array([x, 0, x, 0]), 0)
        for t, x in ((4, 0), (0, 900), (2, 0), (2, 900), (0, 0), (4, 900))
    ]
    assert chains_of(make_tracklets(*parts), link_gap=3) == [1, 0, 1, 0, 1, 0]


def test_the_assignment_has_the_least_total_cost():
    contested = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        starts = rng.choice([0, 1.5], 6) + rng.uniform(0, 0.4, 6)
        parts = [random_walk(rng, start, rng.choice([1, 1, 1, 8]), rng.integers(6) // 5) for start in starts]
        settings = {
            "match_across_classes": bool(seed % 2),
            "max_nll": 9.0,
            "link_gap": 1.8,
            "appearance_evidence": 5,
        }
        cost = admissible_links(parts, TrackerConfig(**ANY_LINK | settings))
        best = min(assignments(list(cost)), key=lambda links: sum(cost[pair] - 9 for pair in links))
        chains = chains_of(make_tracklets(*parts, width=8), **settings)
        linked = {(a, b) for a, b in itertools.permutations(range(6), 2) if chains[a] == chains[b]}
        assert linked == {(a, b) for chain in merge(best) for a, b in itertools.permutations(chain, 2)}, seed
        contested += set(best) != set(greedy(cost))
    assert contested > 3  # where the greedy choice would be wrong


def admissible_links(parts, config):
    """Returns the admissible links and their costs."""
    cost = {}
    for a, b in itertools.permutations(range(len(parts)), 2):
        in_time = 0 < parts[b][0][0] - parts[a][0][-1] <= config.link_gap
        if in_time and (config.match_across_classes or parts[a][2] == parts[b][2]):
            cost[a, b] = dense_cost(parts[a], parts[b], config)
    return {pair: value for pair, value in cost.items() if value < config.max_nll}


def greedy(cost):
    links = []
    for a, b in sorted(cost, key=cost.get):
        if all(a != c and b != d for c, d in links):
            links.append((a, b))
    return links


def assignments(pairs):
    """Returns all sets of pairs in which no first and no second element occurs twice."""
    if not pairs:
        return [()]
    (a, b), rest = pairs[0], pairs[1:]
    compatible = [pair for pair in rest if pair[0] != a and pair[1] != b]
    return assignments(rest) + [((a, b), *others) for others in assignments(compatible)]


def merge(pairs):
    chains = [{n} for n in range(6)]
    for a, b in pairs:
        first, second = (next(chain for chain in chains if n in chain) for n in (a, b))
        chains.remove(second)
        first |= second
    return chains


def test_many_candidates_take_little_memory():
    rng, count = np.random.default_rng(0), 800
    corner = rng.uniform(0, 1500, (count, 2))
    boxes = np.c_[corner, corner + np.array([50, 150])]
    appearance = rng.normal(size=(count, 256)) + 1
    tracklets = make_tracklets(
        *(
            ([t], box, 0, [0.9], embedding)
            for t, box, embedding in zip(rng.uniform(0, 6, count), boxes, appearance, strict=True)
        ),
        width=256,
    )
    tracemalloc.start()
    try:
        chains_of(tracklets, **{"max_nll": 9.2, "link_gap": 3})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6  # the embeddings of all candidates side by side would take 1 GB
