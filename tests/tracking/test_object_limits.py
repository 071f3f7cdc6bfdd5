"""Known numbers of objects: at most or exactly so many identities, and the right ones."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from detection_scenes import HEIGHT, WIDTH, arena
from detection_streams import NO_DETECTIONS, all_ids, make_detections, no_embeddings, run_tracker
from tracker.config import TrackerConfig
from tracker.config.limits import parse_object_counts
from tracker.errors import InputError
from tracker.structures.boxes import iou
from tracker.tracking import DeepSort
from tracker.tracking.object_limits import ObjectLimit, TimeSpans, check_limits, read_limits
from tracker.tracking.offline import OfflineTracker

ANIMALS = 4
SEEDS = range(2)


def track_arena(seed, offline, **settings):
    """Returns the scene of a seed and its tracks by motion alone."""
    scene = list(arena(seed=seed, seconds=10))
    return scene, track(scene, offline, **settings)


def track(scene, offline, categories=("mouse",), **settings):
    config = TrackerConfig(offline=offline, **settings)
    tracker = (OfflineTracker if offline else DeepSort)(config, (), (WIDTH, HEIGHT))
    (tracker if offline else tracker.limits).categories = categories
    tracks = [tracker.update(frame.detections, no_embeddings(frame.detections), frame.time) for frame in scene]
    return list(tracker.finish()) if offline else tracks


def identity_f1(scene, tracks):
    """Returns IDF1 over the detected boxes. Source: arXiv 1609.01775."""
    shared, total = np.zeros((ANIMALS + 1, max(all_ids(tracks)) + 1)), 0
    for frame, found in zip(scene, tracks, strict=True):
        found = found[found.observed]
        truth = frame.gt_boxes[frame.detected]
        total += len(truth) + len(found)
        overlap = iou(truth, found.boxes.astype(np.float64))
        rows, columns = linear_sum_assignment(-overlap)
        good = overlap[rows, columns] >= 0.5
        shared[frame.gt_ids[frame.detected][rows[good]], found.ids[columns[good]]] += 1
    return 2 * shared[linear_sum_assignment(-shared)].sum() / total


@pytest.mark.parametrize("offline", [False, True])
def test_exactly_gives_so_many_identities_and_more_of_them_right(offline):
    gains = []
    for seed in SEEDS:
        scene, exact = track_arena(seed, offline, exactly=ANIMALS)
        assert all_ids(exact) == {1, 2, 3, 4}
        gains.append(identity_f1(scene, exact) - identity_f1(scene, track(scene, offline)))
    assert min(gains) > 0 and np.mean(gains) > 0.2


@pytest.mark.parametrize("offline", [False, True])
def test_at_most_so_many_tracks_at_a_time(offline):
    scene, tracks = track_arena(1, offline, max_objects=ANIMALS)
    assert max(len(found) for found in tracks) <= ANIMALS
    free = track(scene, offline)
    assert len(all_ids(tracks)) < len(all_ids(free))
    assert identity_f1(scene, tracks) > identity_f1(scene, free)


def test_a_found_object_continues_the_lost_one_of_its_place():
    """Two of three objects are lost, and come back too far from where they were for the filter."""
    a, b, c = (100, 100, 60, 60), (900, 100, 60, 60), (500, 500, 60, 60)
    frames = [make_detections(a, b, c)] * 10 + [make_detections(c)] * 20
    frames += [make_detections((760, 180, 60, 60), (260, 180, 60, 60), c)] * 10
    assert all_ids(run_tracker(DeepSort(TrackerConfig()), frames)) == {1, 2, 3, 4, 5}
    for setting in ("max_objects", "exactly"):
        tracks = run_tracker(DeepSort(TrackerConfig(**{setting: 3})), frames)
        early, late = (found.ids[np.argsort(found.boxes[:, 0])].tolist() for found in (tracks[5], tracks[-1]))
        assert early == late


def test_exactly_keeps_the_lost_for_as_long_as_it_takes():
    box, far = (100, 100, 60, 60), (700, 500, 60, 60)
    frames = [make_detections(box)] * 10 + [NO_DETECTIONS] * 400 + [make_detections(far)] * 10
    most, exact = (DeepSort(TrackerConfig(**{name: 1}), size=(WIDTH, HEIGHT)) for name in ("max_objects", "exactly"))
    assert all_ids(run_tracker(most, frames)) == {1, 2}  # it may have left, and another one come
    assert all_ids(run_tracker(exact, frames)) == {1}
    offline = OfflineTracker(TrackerConfig(offline=True, exactly=1))
    for n, frame in enumerate(frames):
        offline.update(frame, no_embeddings(frame), n / 30)
    assert all_ids(list(offline.finish())) == {1}


@pytest.mark.parametrize("offline", [False, True])
def test_what_is_impossible_is_told_with_its_times(offline, caplog):
    three = make_detections((100, 100, 60, 60), (400, 100, 60, 60), (700, 100, 60, 60))
    frames = [three[:2]] * 30 + [three] * 30 + [three[:2]] * 60
    config = TrackerConfig(exactly=2, offline=offline)
    tracker = (OfflineTracker if offline else DeepSort)(config)
    tracks = [tracker.update(frame, no_embeddings(frame), n / 30) for n, frame in enumerate(frames)]
    if offline:
        tracks = list(tracker.finish())
    else:
        tracker.limits.warn()
    assert all_ids(tracks) == {1, 2} and max(map(len, tracks)) == 2
    (message,) = caplog.messages
    assert message.startswith("there are detections of more than 2 objects at once at 1.0 to 2.0 s")


@pytest.mark.parametrize("offline", [False, True])
def test_a_number_of_a_class_leaves_the_others_alone(offline):
    lost, found = (100, 100, 60, 60), (600, 400, 60, 60)
    frames = [make_detections(lost, lost, labels=[0, 1])] * 10 + [NO_DETECTIONS] * 30
    frames += [make_detections(found, found, labels=[0, 1])] * 10
    tracker = (OfflineTracker if offline else DeepSort)(TrackerConfig(exactly="dog=1", offline=offline))
    (tracker if offline else tracker.limits).categories = ("person", "dog")
    tracks = [tracker.update(frame, no_embeddings(frame), n / 30) for n, frame in enumerate(frames)]
    tracks = list(tracker.finish()) if offline else tracks
    first, last = tracks[5], tracks[-1]
    assert set(first.ids[first.labels == 1]) == set(last.ids[last.labels == 1])
    assert not set(first.ids[first.labels == 0]) & set(last.ids[last.labels == 0])


def test_appearance_tells_which_lost_object_was_found():
    a, b = (100, 100, 60, 60), (700, 100, 60, 60)
    red, blue = np.eye(2, 8, dtype=np.float32)
    none = NO_DETECTIONS, np.zeros((0, 8), np.float32)
    frames = [(make_detections(a, b), np.stack([red, blue]))] * 10 + [none] * 60
    frames += [(make_detections(a, b), np.stack([blue, red]))] * 10
    tracks = run_tracker(DeepSort(TrackerConfig(exactly=2), {0}), frames)
    assert tracks[-1].ids[np.argsort(tracks[-1].boxes[:, 0])].tolist() == [2, 1]


def test_more_objects_than_are_seen():
    for frames in ([NO_DETECTIONS] * 5, [make_detections((100, 100, 60, 60))] * 20):
        tracker = OfflineTracker(TrackerConfig(offline=True, exactly=3))
        for n, frame in enumerate(frames):
            tracker.update(frame, no_embeddings(frame), n / 30)
        assert len(all_ids(list(tracker.finish()))) == len(frames[0])


def test_numbers_are_read():
    assert TrackerConfig(exactly=4).exactly == "4" and TrackerConfig(exactly={"dog": 2}).exactly == "dog=2"
    assert read_limits(TrackerConfig(max_objects="person=2, dog=1")) == (
        ObjectLimit("person", 2, exact=False),
        ObjectLimit("dog", 1, exact=False),
    )
    for wrong in ("0", "-1", "many", "person", "person=0", "4,dog=1", "dog=1,dog=2"):
        with pytest.raises(ValueError, match="give"):
            parse_object_counts(wrong)
    with pytest.raises(InputError, match="give one of them"):
        read_limits(TrackerConfig(max_objects=4, exactly="dog=1"))
    with pytest.raises(InputError, match=r"exactly: unknown class 'dgo' \(did you mean 'dog'"):
        check_limits(TrackerConfig(exactly="dgo=1"), ["person", "dog"])


def test_spans_are_short():
    spans = TimeSpans()
    for time in (1.0, 1.5, 2.0, 9.0, *range(20, 200, 20)):
        spans.add(float(time))
    assert str(spans) == "1.0 to 2.0 s, 9.0 s, 20.0 s, 40.0 s, 60.0 s and 6 times more"
