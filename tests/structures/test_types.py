import numpy as np
import pytest

from tracker.structures.types import Detections, Frame, Tracks


def make_detections(n):
    return Detections(
        np.arange(4 * n, dtype=np.float32).reshape(n, 4), np.linspace(0, 1, n, dtype=np.float32), np.arange(n)
    )


def test_indexing_selects_rows_of_all_columns():
    selected = make_detections(5)[np.array([True, False, True, False, False])]
    assert len(selected) == 2
    assert selected.labels.tolist() == [0, 2]
    assert selected.boxes[1].tolist() == [8, 9, 10, 11]


def test_empty_detections():
    assert len(Detections.empty()) == 0


@pytest.mark.parametrize(
    ("boxes", "scores", "labels", "error"),
    [
        (np.zeros((2, 4)), np.zeros(2, np.float32), np.zeros(2, np.int64), TypeError),
        (np.zeros((2, 4), np.float32), np.zeros(3, np.float32), np.zeros(2, np.int64), ValueError),
        (np.zeros((2, 5), np.float32), np.zeros(2, np.float32), np.zeros(2, np.int64), ValueError),
        (np.zeros((2, 4), np.float32), np.zeros(2, np.float32), np.zeros(2, np.int32), TypeError),
    ],
)
def test_wrong_shapes_and_types_are_refused(boxes, scores, labels, error):
    with pytest.raises(error):
        Detections(boxes, scores, labels)


def test_a_frame_holds_rgb_bytes():
    with pytest.raises(ValueError, match="image"):
        Frame(0, 0.0, 0, np.zeros((4, 4), np.uint8))
    with pytest.raises(TypeError, match="uint8"):
        Frame(0, 0.0, 0, np.zeros((4, 4, 3), np.float32))


def test_fields_cannot_be_replaced():
    with pytest.raises(AttributeError):
        make_detections(1).scores = np.ones(1, np.float32)


def test_tracks_check_every_field():
    columns = {
        "ids": np.array([1]),
        "boxes": np.zeros((1, 4), np.float32),
        "scores": np.zeros(1, np.float32),
        "labels": np.zeros(1, np.int64),
        "velocities": np.zeros((1, 2), np.float32),
        "ages": np.zeros(1, np.float32),
        "observed": np.ones(1, bool),
        "detection_index": np.zeros(1, np.int64),
    }
    assert len(Tracks(**columns)) == 1
    for name, array in columns.items():
        with pytest.raises((TypeError, ValueError), match=name if name != "ids" else "must"):
            Tracks(**{**columns, name: np.concatenate([array, array])})
