"""`Tracker`, for the detections of any detector: what it takes, what it refuses, and what it warns of."""

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stub_networks import StubEmbedder, moving_rectangles
from tracker import Config, Detections, InputError, Tracker, TrackerConfig, Tracks, retrack

IMAGE = moving_rectangles(0, 160, 120)
AT_ONCE = Config(tracker=TrackerConfig(n_init=1))


def boxes_at(number: int) -> list[list[float]]:
    return [[10 + 4 * number, 20, 50 + 4 * number, 100], [200 - 3 * number, 30, 240 - 3 * number, 110]]


def run(frames: int = 6, convert: Any = lambda boxes: boxes, **options: Any) -> list[Tracks]:
    with Tracker(**options) as tracker:
        return [tracker.update(convert(boxes_at(n)), [0.9, 0.95], time=n / 25) for n in range(frames)]


def assert_same(one: list[Tracks], other: list[Tracks]) -> None:
    for a, b in zip(one, other, strict=True):
        assert all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("ids", "boxes", "scores", "labels"))


# Kinds of input


def test_lists_any_numbers_and_tensors_give_the_same_tracks() -> None:
    torch = pytest.importorskip("torch")
    lists = run()
    assert lists[-1].ids.tolist() == [1, 2] and lists[-1].detection_index.tolist() == [0, 1]
    for convert in (np.float64, np.int32, np.float16, torch.tensor, lambda b: [torch.tensor(row) for row in b]):
        kinds = run(convert=np.array if convert is np.float64 else lambda b, f=convert: f(b))
        assert_same(kinds, lists)


def test_tensors_of_any_kind() -> None:
    torch = pytest.importorskip("torch")
    with Tracker(AT_ONCE) as tracker:
        boxes = torch.tensor(boxes_at(0), dtype=torch.float64, requires_grad=True)
        scores = torch.tensor([0.9, 1.0], dtype=torch.bfloat16)
        tracks = tracker.update(boxes, scores, torch.tensor([2, 0]), time=torch.tensor(0.5))
    assert tracks.labels.tolist() == [2, 0] and tracks.scores.dtype == np.float32


def test_supervision_in_and_out() -> None:
    sv = pytest.importorskip("supervision", reason="the package supervision is not installed")
    with Tracker(AT_ONCE) as tracker:
        for number in range(3):
            found = sv.Detections(
                xyxy=np.array(boxes_at(number)),
                confidence=np.array([0.9, 0.8]),
                class_id=np.array([5, 7]),
                data={"class_name": np.array(["cup", "fork"])},
            )
            tracks = tracker.update(found, time=number / 25)
    assert tracks.class_names == ["cup", "fork"] and tracks.categories == ("cup", "fork")
    result = tracks.to_supervision()
    assert result.tracker_id is not None and result.tracker_id.tolist() == [1, 2]
    assert result.data["class_name"].tolist() == ["cup", "fork"]
    np.testing.assert_array_equal(result.xyxy, tracks.boxes)


def test_our_own_detections_and_the_same_result_as_stored_ones(tmp_path: Path) -> None:
    rows = [
        f"{n + 1},-1,{x1},{y1},{x2 - x1},{y2 - y1},{score}"
        for n in range(8)
        for (x1, y1, x2, y2), score in zip(boxes_at(n), (0.9, 0.3 if n == 4 else 0.7), strict=True)
    ]
    (tmp_path / "det.txt").write_text("\n".join(rows))
    config = Config.model_validate({"source": {"fps": 25}, "appearance": {"embedder": "none"}})
    stored = [tracks for _, tracks in retrack(tmp_path / "det.txt", config)]
    with Tracker(config) as tracker:
        own = []
        for n in range(8):
            scores = np.array([0.9, 0.3 if n == 4 else 0.7], np.float32)
            # MOTChallenge counts pixels from 1.
            boxes = np.array(boxes_at(n), np.float32) - 1
            own.append(tracker.update(Detections(boxes, scores, np.zeros(2, np.int64)), time=n / 25))
    assert_same(own, stored)
    assert sum(len(tracks) for tracks in own) == 8  # one of them by the evidence of the lower scores


def test_rows_of_given_boxes_count_those_that_are_left_out() -> None:
    with Tracker(AT_ONCE) as tracker:
        tracks = tracker.update([[0, 0, 9, 9], *boxes_at(0)], [0.1, 0.9, 0.95], time=0)
    assert tracks.detection_index.tolist() == [1, 2]


def test_predicted_boxes_of_a_frame_without_the_detector() -> None:
    with Tracker() as tracker:
        with pytest.raises(InputError, match="nothing to predict from"):
            tracker.predict(0)
        for number in range(6):
            before = tracker.update(boxes_at(number), [0.9, 0.9], ["a", "b"], time=number / 25)
        predicted = tracker.predict(timedelta(seconds=6 / 25))
    assert predicted.ids.tolist() == before.ids.tolist() and not predicted.observed.any()
    assert predicted.boxes[0, 0] > before.boxes[0, 0] + 2 and predicted.class_names == ["a", "b"]


# Appearance


@pytest.fixture
def embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.models.reid.load_embedder", lambda *_: StubEmbedder())


@pytest.mark.usefixtures("embedder")
def test_pictures_are_embedded_for_the_classes_of_the_embedder() -> None:
    settings = {"appearance": {"save_embeddings": True}, "tracker": {"n_init": 1}}
    with Tracker(settings) as tracker:
        boxes = [[10, 15, 26, 55], [100, 75, 140, 95]]
        tracks = tracker.update(boxes, None, ["person", "cup"], time=0, image=IMAGE)
    embeddings = tracks.data["embeddings"]
    assert embeddings.shape == (2, 3) and np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-2)
    assert len(tracks.to_pandas()["embedding"][0]) == 3


@pytest.mark.usefixtures("embedder")
def test_labels_without_names_use_no_embedder_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    with Tracker() as tracker:
        tracker.update([[10, 15, 26, 55]], [0.9], [0], time=0, image=IMAGE)
    assert "labels are numbers without names" in caplog.text


def test_own_embeddings_tell_objects_apart() -> None:
    """Two objects jump to each other's place: only their embeddings can tell."""
    red, blue = [2.0, 0.0], [0.0, 0.5]
    config = {"tracker": {"n_init": 1}}
    with Tracker(config) as tracker:
        for number in range(12):
            tracks = tracker.update(boxes_at(0), None, ["x", "y"][:1] * 2, time=number / 25, embeddings=[red, blue])
        assert tracks.detection_index.tolist() == [0, 1]
        with pytest.raises(InputError, match="the embeddings have 3 numbers, and those before 2"):
            tracker.update(boxes_at(0), None, ["x", "x"], time=1, embeddings=np.ones((2, 3)))
        with pytest.raises(InputError, match="embeddings came with the first frame, and not now"):
            tracker.update(boxes_at(0), None, ["x", "x"], time=1)


# What is refused: in one sentence, and the tracker is as it was


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"boxes": [[1, 2, 3]]}, r"the boxes must have shape \(N, 4\), and have \(1, 3\)"),
        ({"boxes": [1, 2, 3, 4]}, r"the boxes must have shape \(N, 4\), and have \(4,\)"),
        ({"boxes": [[1, 2, 3, 4], [1]]}, "rows have different lengths"),
        ({"boxes": [[1, 2, np.nan, 4]]}, "not finite"),
        ({"boxes": [[90, 90, 20, 30]]}, "not x y width height"),
        ({"boxes": [[0.1, 0.1, 0.4, 0.6]]}, "not as fractions of the picture"),
        ({"boxes": "boxes"}, "the boxes must be numbers, not str"),
        ({"boxes": None}, "the boxes must be numbers, not NoneType"),
        ({"scores": [0.9]}, "the number of boxes is 2, and that of scores 1"),
        ({"scores": [90, 80]}, "the scores must be from 0 to 1, and are from 80 to 90"),
        ({"labels": [0, -1]}, "the labels must be names, or whole numbers from 0 on"),
        ({"labels": [0, 0.5]}, "the labels must be names, or whole numbers from 0 on"),
        ({"labels": ["a", "b"]}, "labels were numbers before and are names now"),
        ({"time": 0.2}, "the time of frame 6 is 0.2 s, and that of the frame before it 0.2 s: give seconds that asc"),
        ({"time": float("nan")}, "the time of frame 6 is nan: give seconds"),
        ({"time": "0.3"}, "must be a number of seconds, not str"),
        ({"time": True}, "must be a number of seconds, not bool"),
        (
            {"image": np.zeros((240, 320, 3))},
            "image did not come with the first frame: give it with every frame or with none",
        ),
        ({"image": np.zeros((9, 9, 2))}, r"the image must have shape \(height, width, 3\), and has \(9, 9, 2\)"),
        ({"boxes": Detections.empty(), "scores": [1]}, "these detections hold their scores and labels"),
    ],
)
def test_wrong_input(arguments: dict[str, Any], message: str) -> None:
    with Tracker(size=(320, 240)) as tracker:
        for n in range(6):
            tracker.update(boxes_at(n), [0.9, 0.95], time=n / 25)
        with pytest.raises(InputError, match=message):
            tracker.update(**{"boxes": boxes_at(6), "time": 6 / 25, **arguments})
        assert_same([tracker.update(boxes_at(6), [0.9, 0.95], time=6 / 25)], run(7, size=(320, 240))[-1:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config": {"tracker": {"offline": True}}}, "frame by frame"),
        ({"config": {"tracker": {"rescore": 0.5}}}, "need the detector itself"),
        ({"config": {"detector": {"classes": ["dgo"]}}, "categories": ["dog"]}, "did you mean 'dog'"),
        ({"config": TrackerConfig()}, "not TrackerConfig"),
        ({"config": "bytetrak"}, "did you mean 'bytetrack'"),
        ({"categories": "person"}, "give a list"),
    ],
)
def test_wrong_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Tracker(**options)


def test_a_label_beyond_the_categories() -> None:
    with Tracker(categories=["a"]) as tracker, pytest.raises(InputError, match="the label 1 is none of the 1 classes"):
        tracker.update([[1, 2, 30, 40]], labels=[1], time=0)


# What is told


def test_boxes_outside_of_the_picture_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with Tracker(size=(100, 100)) as tracker:
        for number in range(3):
            tracker.update(boxes_at(number), [0.9, 0.9], time=number / 25)
    assert caplog.text.count("1 of the 2 boxes of frame 0 lie outside of the picture of 100x100") == 1


def test_numbers_of_frames_in_place_of_seconds_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with Tracker() as tracker:
        for number in range(9):
            tracker.update(boxes_at(number), [0.9, 0.9], time=number)
    assert caplog.text.count("the first frames are 1 s apart") == 1


def test_scores_that_start_no_track_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with Tracker() as tracker:
        for number in range(40):
            tracker.update(boxes_at(0), [0.6, 0.55], time=number / 25)
    assert caplog.text.count("none has a score of 0.8, from which on a track begins") == 1


def test_usual_input_is_not_commented_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    run(40, size=(1000, 200))
    assert not caplog.text


def test_a_known_number_of_objects_of_a_class_that_is_named_later(caplog: pytest.LogCaptureFixture) -> None:
    third = [400, 300, 440, 380]
    with Tracker(Config(tracker=TrackerConfig(n_init=1, exactly="cat=1"))) as tracker:
        for n in range(20):
            boxes, labels = (boxes_at(n), ["dog", "cat"]) if n < 10 else ([*boxes_at(n), third], ["dog", "cat", "cat"])
            tracks = tracker.update(boxes, None, labels, time=n / 25)
    assert len(tracks) == 2
    (message,) = caplog.messages
    assert message.startswith("there are detections of more than 1 cat at once at 0.4 to 0.8 s")
    with pytest.raises(InputError, match="exactly: unknown class 'cat'"):
        Tracker(Config(tracker=TrackerConfig(exactly="cat=1")), categories=["dog"])
