"""Score thresholds that a weights file states become settings of a run."""

from pathlib import Path

import numpy as np
import pytest

from tracker import Config, InputError, load_detector
from tracker.config import DetectorConfig
from tracker.models.detection import BUILTIN
from tracker.models.model_file import load_model, save_model
from tracker.pipeline.thresholds import with_stored_thresholds


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Returns a copy of the built-in detector that states two thresholds."""
    state, info = load_model(BUILTIN)
    thresholds = tuple({"person": 0.3, "car": 0.7}.get(name, 0.0) for name in info.categories)
    save_model(tmp_path / "model.safetensors", state, info.model_copy(update={"thresholds": thresholds}))
    return tmp_path / "model.safetensors"


def config(weights: Path, **sections: dict[str, object]) -> Config:
    detector = {"weights": str(weights), "device": "cpu", **sections.pop("detector", {})}
    return Config.model_validate({"detector": detector, **sections})


def test_they_are_used_and_told(weights: Path, caplog: pytest.LogCaptureFixture) -> None:
    resolved = with_stored_thresholds(config(weights))
    assert resolved.detector.class_scores == {"person": 0.3, "car": 0.7}
    assert (resolved.tracker.start_score, resolved.tracker.high_score) == (0.3, 0.3)
    assert "has score thresholds, which are used (person 0.30, car 0.70): --score replaces them" in caplog.text
    assert with_stored_thresholds(resolved) is resolved


@pytest.mark.parametrize("given", [{"score": 0.5}, {"class_scores": {"person": 0.9}}])
def test_a_threshold_that_is_given_replaces_them(weights: Path, given: dict[str, object]) -> None:
    own = config(weights, detector=given)
    assert with_stored_thresholds(own) is own


def test_the_starts_of_tracks_that_are_given_stay(weights: Path) -> None:
    assert with_stored_thresholds(config(weights, tracker={"start_score": 0.8})).tracker.start_score == 0.8


def test_the_detector_applies_the_threshold_of_each_class() -> None:
    image = np.asarray(read_demo_image())
    settings = {"device": "cpu", "backend": "torch"}
    with load_detector(DetectorConfig(score=0.05, **settings)) as detector:
        (every,) = detector.detect([image])
        person = detector.info.categories.index("person")
    best = float(every.scores[every.labels == person].max())
    with load_detector(DetectorConfig(score=0.05, class_scores={"person": best + 1e-4}, **settings)) as detector:
        (fewer,) = detector.detect([image])
    with load_detector(DetectorConfig(score=0.99, class_scores={"person": best}, **settings)) as detector:
        (one,) = detector.detect([image])
    assert person not in fewer.labels and len(fewer) == (every.labels != person).sum()
    assert one.labels.tolist() == [person]
    with pytest.raises(InputError, match=r"unknown class 'persn'.*did you mean 'person'"):
        load_detector(DetectorConfig(class_scores={"persn": 0.3}))


def read_demo_image() -> np.ndarray:
    from PIL import Image

    import tracker.cli.demo

    path = Path(tracker.cli.demo.__file__).parent / "demo_images" / "astronaut.jpg"
    return np.asarray(Image.open(path).convert("RGB"))
