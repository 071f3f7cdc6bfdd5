"""The saved state of a tracker."""

from pathlib import Path

import numpy as np
import pytest

from tracker import DeepSort, Detections, TrackerConfig
from tracker.errors import InputError
from tracker.tracking.state import TrackerState


def detections(frame: int) -> tuple[Detections, np.ndarray]:
    """Returns two objects that walk towards each other and pass, with embeddings."""
    x = np.array([20 + 6 * frame, 320 - 6 * frame])
    boxes = np.stack([x, [50, 52], x + 30, [140, 142]], 1).astype(np.float32)
    embeddings = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    return Detections(boxes, np.full(2, 0.9, np.float32), np.zeros(2, np.int64)), embeddings


@pytest.mark.parametrize("settings", [{}, {"appearance_momentum": 0.0, "gallery_size": 5}])
def test_a_restored_tracker_goes_on_as_if_it_had_not_ended(tmp_path: Path, settings: dict[str, float]) -> None:
    config = TrackerConfig.model_validate(settings)
    whole, first, second = (DeepSort(config, [0]) for _ in range(3))
    expected = [whole.update(*detections(frame), frame / 10) for frame in range(40)]
    for frame in range(20):
        first.update(*detections(frame), frame / 10)
    path = tmp_path / "a.state"
    first.state().save(path, ("person",))
    second.restore(TrackerState.load(path, ("person",)), elapsed=2.0)  # its source starts at frame 20
    for frame in range(20, 40):
        tracks = second.update(*detections(frame), (frame - 20) / 10)
        assert tracks.ids.tolist() == expected[frame].ids.tolist() == [1, 2]
        assert np.allclose(tracks.boxes, expected[frame].boxes, atol=1e-3)
        assert np.allclose(tracks.ages, expected[frame].ages, atol=1e-4)


def test_no_id_is_given_twice_after_a_long_break() -> None:
    first, second = DeepSort(TrackerConfig(max_age=1)), DeepSort(TrackerConfig(max_age=1))
    for frame in range(5):
        first.update(*detections(frame), frame / 10)
    second.restore(first.state(), elapsed=60)
    for frame in range(5):
        tracks = second.update(*detections(frame), frame / 10)
    assert tracks.ids.tolist() == [3, 4]


def test_a_state_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.state"
    DeepSort(TrackerConfig()).state().save(path, ("person",))
    with pytest.raises(InputError, match="other classes"):
        TrackerState.load(path, ("person", "car"))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match="no saved state"):
        TrackerState.load(path, ("person",))
