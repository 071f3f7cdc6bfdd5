"""Tests `scripts/benchmark.py association`: the synthetic stream, the clock, and trackers that are not installed."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import benchmarks.association
from benchmarks.association import Comparison, Result, compare, identity_metrics
from benchmarks.other_trackers import ENTRIES, OURS, Entry, TrackerUnderTest, available
from benchmarks.report import check_chart, draw_chart, spread_labels, table
from benchmarks.synthetic import make_stream
from paths import REPOSITORY
from tracker.errors import InputError
from tracker.structures.boxes import area, iou

SCRIPT = REPOSITORY / "scripts" / "benchmark.py"
OTHER_TRACKERS = [entry for entry in ENTRIES if entry.package != "tracker"]


def run_script(*arguments, folder):
    command = [sys.executable, str(SCRIPT), "association", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_stream_has_the_stated_errors():
    objects, frames = 400, 12
    stream = make_stream(objects, frames)
    num_missed = num_false = num_low = 0
    errors = []
    for gt, detections in zip(stream.gt, stream.detections, strict=True):
        ious = iou(gt, detections.boxes.astype(float))
        matched = ious.max(axis=0) > 0.6
        errors.append(detections.boxes[matched] - gt[ious.argmax(axis=0)[matched]])
        num_missed += (ious.max(axis=1) <= 0.6).sum()
        num_false += (~matched).sum()
        num_low += (detections.scores[matched] < 0.5).sum()
    total = objects * frames
    assert num_missed / total == pytest.approx(0.05, abs=0.015)
    assert num_false / total == pytest.approx(0.02, abs=0.01)
    assert num_low / (total - num_missed) == pytest.approx(0.10, abs=0.02)
    assert np.concatenate(errors).std() == pytest.approx(1.5, abs=0.15)


def test_stream_has_constant_density_and_straight_paths():
    for objects in (10, 300):
        gt = make_stream(objects, 40).gt
        low, high = gt[..., :2].min(axis=(0, 1)), gt[..., 2:].max(axis=(0, 1))
        assert area(gt[0]).sum() / np.prod(high - low) == pytest.approx(0.35, abs=0.06)
        steps = np.diff(gt[..., :2], axis=0)
        turns = (np.abs(np.diff(steps, axis=0)) > 1e-6).any(axis=-1)
        assert np.abs(steps).max() <= 3
        assert turns.mean() < 0.1  # only at the border


def test_embeddings_identify_the_objects():
    stream = make_stream(30, 2)
    first, second = stream.embeddings
    assert np.linalg.norm(first, axis=1) == pytest.approx(1, abs=1e-5)
    nearest = (first @ second.T).max(axis=1)
    assert np.median(nearest) == pytest.approx(1 / 1.09, abs=0.02)  # unit vectors with noise of length 0.3


def test_stream_is_reproducible():
    first, second = make_stream(5, 3), make_stream(5, 3)
    for first_frame, second_frame in zip(first.detections, second.detections, strict=True):
        assert first_frame.boxes.tobytes() == second_frame.boxes.tobytes()
    with pytest.raises(InputError, match="0 objects"):
        make_stream(0, 3)


class FakeClock:
    """A clock that advances only by the costs of the trackers below."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        for name in ("process_time", "perf_counter"):
            monkeypatch.setattr(benchmarks.association, name, lambda: self.now)

    def entry(self, name, costs):
        """A tracker whose n-th run takes costs[n] seconds for an update, 100 times that in the first half."""
        remaining = iter(costs)

        def make(stream):
            self.now += 1000
            cost, half = next(remaining), len(stream.detections) // 2

            def update(n):
                self.now += cost * (100 if n < half else 1)

            def read(_):
                self.now += 1000
                return np.zeros(0, np.int64), np.zeros((0, 4))

            return TrackerUnderTest(update, [(n,) for n in range(len(stream.detections))], read)

        return Entry(name, "somewhere", make)


def test_only_updates_are_timed_and_repetitions_are_paired(monkeypatch):
    clock = FakeClock(monkeypatch)
    entries = [clock.entry(OURS.name, (1.0, 10.0, 1.0)), clock.entry("other", (3.0, 40.0, 5.0))]
    ours, other = compare(entries, objects=3, repetitions=3).results
    assert ours.milliseconds == pytest.approx((1000, 10000, 1000))
    assert other.milliseconds == pytest.approx((3000, 40000, 5000))
    assert (ours.ratio, other.ratio) == pytest.approx((1, 4))  # median of 3, 4 and 5; the ratio of the medians is 5
    with pytest.raises(InputError, match="repetition"):
        compare(entries, objects=3, repetitions=0)


def test_identity_metrics_count_swapped_ids():
    pytest.importorskip("trackeval")
    gt = make_stream(8, 20).gt
    ids = np.arange(8)
    swapped = np.array([1, 0, *range(2, 8)])
    assert identity_metrics([(ids, boxes) for boxes in gt], gt) == {"IDF1": pytest.approx(100), "IDSW": 0}
    tracks = [(ids if n < 10 else swapped, boxes) for n, boxes in enumerate(gt)]
    assert identity_metrics(tracks, gt) == {"IDF1": pytest.approx(100 * (6 * 20 + 2 * 10) / (8 * 20)), "IDSW": 2}


def test_missing_trackers_are_named_and_left_out(monkeypatch):
    for package in ("deep_sort_realtime", "deep_sort_realtime.deepsort_tracker", "trackers", "supervision"):
        monkeypatch.setitem(sys.modules, package, None)
    entries, missing = available()
    assert [entry.package for entry in entries] == ["tracker", "tracker"]
    assert missing.keys() == {entry.name for entry in OTHER_TRACKERS}


def test_error_of_our_tracker_is_raised(monkeypatch):
    monkeypatch.setattr("tracker.tracking.DeepSort.update", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        available()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_each_installed_tracker_tracks(entry):
    pytest.importorskip("trackeval")
    entries, missing = available()
    if entry not in entries:
        pytest.skip(missing[entry.name])
    *_, result = compare(list(dict.fromkeys((OURS, entry))), objects=20, repetitions=1).results
    assert result.identity_metrics["IDF1"] > (70 if "OC-SORT" in entry.name else 88)  # OC-SORT misses many frames
    assert result.identity_metrics["IDSW"] <= 12
    assert 0 < result.milliseconds[0] < 1000


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_labels_keep_their_distance_and_order(heights):
    given_heights = np.array(heights)
    placed = spread_labels(given_heights, 0.05)
    order = np.argsort(given_heights, kind="stable")
    assert (np.diff(placed[order]) >= 0.05 - 1e-9).all()
    assert placed.mean() == pytest.approx(given_heights.mean(), abs=1e-9)
    if len(heights) == 1:
        assert placed == pytest.approx(given_heights)


def make_comparison(objects):
    results = [Result(entry.name, (0.5 * objects,), (1.0,), 2.0, {}) for entry in ENTRIES]
    return Comparison(objects, 30, tuple(results))


@pytest.mark.parametrize("sizes", [(10,), (1000, 10)])
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_chart_names_every_tracker(tmp_path, sizes, suffix):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"chart{suffix}"
    draw_chart([make_comparison(n) for n in sizes], {"machine": "a machine", "threads": 1}, path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG") if suffix == ".png" else all(e.name.encode() in content for e in ENTRIES)


def test_impossible_chart_is_rejected_early(monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"not chart\.jpeg"):
        check_chart(tmp_path / "chart.jpeg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match="pip install"):
        check_chart(tmp_path / "chart.png")


def test_table_without_identity_metrics():
    assert table(make_comparison(10)).splitlines()[1].split() == ["tracker", "5.000", "2.00x", "-", "-"]


@pytest.mark.slow
def test_script_measures_on_one_thread_and_writes_json(tmp_path):
    result = run_script(3, 12, "--repetitions", 1, "--json", "figures.json", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "12 objects" in result.stdout
    content = json.loads((tmp_path / "figures.json").read_text())
    assert [part["objects"] for part in content["comparisons"]] == [3, 12]
    assert content["threads"] in {0, 1}  # 0 where the system does not say
    assert content["comparisons"][0]["results"][0]["ratio"] == 1


@pytest.mark.slow
def test_bad_input_gets_one_sentence_before_any_measurement(tmp_path):
    for arguments, message in (
        (("--json", "nowhere/figures.json"), "there is no folder nowhere"),
        ((0,), "0 objects"),
        ((3, "--plot", "chart.gif"), "not chart.gif"),
    ):
        result = run_script(*arguments, folder=tmp_path)
        assert result.returncode == 2
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
        assert "ms/update   " not in result.stdout
