"""The benchmark of association: a stream that is what it says, a fair clock, and rivals that may be missing."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.association import Comparison, Result, compare, identity
from benchmarks.other_trackers import ENTRIES, OURS, Entry, TrackerUnderTest, available
from benchmarks.report import check_chart, draw_chart, spread, table
from benchmarks.synthetic import make_stream
from paths import REPOSITORY
from tracker.errors import InputError
from tracker.evaluation.speed import association as association_speed
from tracker.structures.boxes import area, iou

SCRIPT = REPOSITORY / "scripts" / "benchmark.py"
RIVALS = [entry for entry in ENTRIES if entry.package != "tracker"]


def benchmark(*arguments, folder):
    command = [sys.executable, str(SCRIPT), "association", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_stream_is_what_it_says():
    objects, frames = 400, 12
    stream = make_stream(objects, frames)
    missed = false = low = 0
    errors = []
    for truth, found in zip(stream.truth, stream.detections, strict=True):
        overlap = iou(truth, found.boxes.astype(float))
        own = overlap.max(axis=0) > 0.6
        errors.append(found.boxes[own] - truth[overlap.argmax(axis=0)[own]])
        missed += (overlap.max(axis=1) <= 0.6).sum()
        false += (~own).sum()
        low += (found.scores[own] < 0.5).sum()
    total = objects * frames
    assert missed / total == pytest.approx(0.05, abs=0.015)
    assert false / total == pytest.approx(0.02, abs=0.01)
    assert low / (total - missed) == pytest.approx(0.10, abs=0.02)
    assert np.concatenate(errors).std() == pytest.approx(1.5, abs=0.15)


def test_the_stream_is_as_dense_at_every_size_and_moves_in_straight_lines():
    for objects in (10, 300):
        truth = make_stream(objects, 40).truth
        low, high = truth[..., :2].min(axis=(0, 1)), truth[..., 2:].max(axis=(0, 1))
        assert area(truth[0]).sum() / np.prod(high - low) == pytest.approx(0.35, abs=0.06)
        steps = np.diff(truth[..., :2], axis=0)
        turns = (np.abs(np.diff(steps, axis=0)) > 1e-6).any(axis=-1)
        assert np.abs(steps).max() <= 3
        assert turns.mean() < 0.1  # at the edges alone


def test_embeddings_tell_the_objects_apart():
    stream = make_stream(30, 2)
    first, second = stream.embeddings
    assert np.linalg.norm(first, axis=1) == pytest.approx(1, abs=1e-5)
    nearest = (first @ second.T).max(axis=1)
    assert np.median(nearest) == pytest.approx(1 / 1.09, abs=0.02)  # unit vectors with noise of length 0.3


def test_the_same_stream_every_time():
    one, other = make_stream(5, 3), make_stream(5, 3)
    for a, b in zip(one.detections, other.detections, strict=True):
        assert a.boxes.tobytes() == b.boxes.tobytes()
    with pytest.raises(InputError, match="0 objects"):
        make_stream(0, 3)


class Clock:
    """Stands still but for what the trackers below take of it."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        for name in ("process_time", "perf_counter"):
            monkeypatch.setattr(association_speed, name, lambda: self.now)

    def entry(self, name, costs):
        """A tracker whose n-th run takes costs[n] seconds an update, and a hundred times that in the first half."""
        left = iter(costs)

        def make(stream):
            self.now += 1000
            cost, half = next(left), len(stream.detections) // 2

            def update(n):
                self.now += cost * (100 if n < half else 1)

            def read(_):
                self.now += 1000
                return np.zeros(0, np.int64), np.zeros((0, 4))

            return TrackerUnderTest(update, [(n,) for n in range(len(stream.detections))], read)

        return Entry(name, "somewhere", make)


def test_the_clock_counts_updates_alone_and_pairs_the_repetitions(monkeypatch):
    clock = Clock(monkeypatch)
    entries = [clock.entry(OURS.name, (1.0, 10.0, 1.0)), clock.entry("other", (3.0, 40.0, 5.0))]
    ours, other = compare(entries, objects=3, repetitions=3).results
    assert ours.milliseconds == pytest.approx((1000, 10000, 1000))
    assert other.milliseconds == pytest.approx((3000, 40000, 5000))
    assert (ours.ratio, other.ratio) == pytest.approx((1, 4))  # of 3, 4 and 5; of the medians it would be 5
    with pytest.raises(InputError, match="repetition"):
        compare(entries, objects=3, repetitions=0)


def test_identity_counts_what_was_mixed_up():
    pytest.importorskip("trackeval")
    truth = make_stream(8, 20).truth
    ids = np.arange(8)
    swapped = np.array([1, 0, *range(2, 8)])
    assert identity([(ids, boxes) for boxes in truth], truth) == {"IDF1": pytest.approx(100), "IDSW": 0}
    mixed = [(ids if n < 10 else swapped, boxes) for n, boxes in enumerate(truth)]
    assert identity(mixed, truth) == {"IDF1": pytest.approx(100 * (6 * 20 + 2 * 10) / (8 * 20)), "IDSW": 2}


def test_missing_rivals_are_named_and_left_out(monkeypatch):
    for package in ("deep_sort_realtime", "deep_sort_realtime.deepsort_tracker", "trackers", "supervision"):
        monkeypatch.setitem(sys.modules, package, None)
    entries, missing = available()
    assert [entry.package for entry in entries] == ["tracker", "tracker"]
    assert missing.keys() == {entry.name for entry in RIVALS}


def test_a_fault_of_our_own_is_not_left_out(monkeypatch):
    monkeypatch.setattr("tracker.tracking.DeepSort.update", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        available()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_each_tracker_that_is_here_tracks(entry):
    pytest.importorskip("trackeval")
    entries, missing = available()
    if entry not in entries:
        pytest.skip(missing[entry.name])
    *_, result = compare(list(dict.fromkeys((OURS, entry))), objects=20, repetitions=1).results
    assert result.identity["IDF1"] > (70 if "OC-SORT" in entry.name else 88)  # OC-SORT leaves many frames out
    assert result.identity["IDSW"] <= 12
    assert 0 < result.milliseconds[0] < 1000


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_labels_keep_their_distance_and_their_order(heights):
    given_heights = np.array(heights)
    placed = spread(given_heights, 0.05)
    order = np.argsort(given_heights, kind="stable")
    assert (np.diff(placed[order]) >= 0.05 - 1e-9).all()
    assert placed.mean() == pytest.approx(given_heights.mean(), abs=1e-9)
    if len(heights) == 1:
        assert placed == pytest.approx(given_heights)


def comparison(objects):
    results = [Result(entry.name, (0.5 * objects,), (1.0,), 2.0, {}) for entry in ENTRIES]
    return Comparison(objects, 30, tuple(results))


@pytest.mark.parametrize("sizes", [(10,), (1000, 10)])
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_chart_names_every_tracker(tmp_path, sizes, suffix):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"chart{suffix}"
    draw_chart([comparison(n) for n in sizes], {"machine": "a machine", "threads": 1}, path)
    drawn = path.read_bytes()
    assert drawn.startswith(b"\x89PNG") if suffix == ".png" else all(e.name.encode() in drawn for e in ENTRIES)


def test_a_chart_that_cannot_be_drawn_is_refused_before(monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"not chart\.jpeg"):
        check_chart(tmp_path / "chart.jpeg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match="pip install"):
        check_chart(tmp_path / "chart.png")


def test_the_table_says_so_where_identity_is_not_known():
    assert table(comparison(10)).splitlines()[1].split() == ["tracker", "5.000", "2.00x", "-", "-"]


@pytest.mark.slow
def test_the_script_measures_on_one_thread_and_writes_what_it_found(tmp_path):
    done = benchmark(3, 12, "--repetitions", 1, "--json", "figures.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "12 objects" in done.stdout
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [part["objects"] for part in figures["comparisons"]] == [3, 12]
    assert figures["threads"] in {0, 1}  # 0 where the system does not say
    assert figures["comparisons"][0]["results"][0]["ratio"] == 1


@pytest.mark.slow
def test_bad_input_is_one_sentence_before_anything_is_measured(tmp_path):
    for arguments, words in (
        (("--json", "nowhere/figures.json"), "there is no folder nowhere"),
        ((0,), "0 objects"),
        ((3, "--plot", "chart.gif"), "not chart.gif"),
    ):
        done = benchmark(*arguments, folder=tmp_path)
        assert done.returncode == 2
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
        assert "ms/update   " not in done.stdout
