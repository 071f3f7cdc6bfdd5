"""The presets in configs/: settings as in the papers, and accuracy as that of the published trackers."""

from pathlib import Path

import pytest

from paths import MOT15, REPOSITORY, SEQUENCES
from tracker.config import load_config
from tracker.evaluation import combined_metrics
from tracker.evaluation.mot.sequences import find_sequences, read_sequence, run_tracker

CONFIGS = REPOSITORY / "configs"

FILTER = {"position_noise": 1 / 20, "velocity_noise": 1 / 160, "measurement_noise": 1 / 20, "adaptive_noise_gate": 0}
COMMON = FILTER | {
    "buffer_scale": 0,
    "min_visible": 0,
    "min_presence": 1,
    "border_overlap": 0,
    "max_coast": 0,
    "tentative_misses": 0,
    "max_occlusion": 0,
    "offline": False,
}
BYTE = {"association": "iou", "high_score": 0.6, "start_score": 0.7, "min_iou": 0.2, "low_iou": 0.5, "score_weight": 1}
BYTE |= {"min_evidence": 0, "max_age": 1, "n_init": 2, "duplicate_iou": 0.85, "recover_iou": 0, "re_update": False}
ONE_PASS = {"high_score": 0, "start_score": 0, "min_iou": 0.3, "n_init": 3, "duplicate_iou": 0, "score_weight": 0}
NO_CAMERA = {"camera_motion": "none", "rescore": 0}

PUBLISHED = {
    "sort": (0.5, "none", ONE_PASS | NO_CAMERA | {"association": "iou", "re_update": False, "recover_iou": 0}),
    "deepsort": (
        0.3,
        "builtin",
        ONE_PASS
        | NO_CAMERA
        | {"association": "mahalanobis", "cascade": True, "max_age": 1, "gallery_size": 100, "appearance_momentum": 0}
        | {"gating_probability": 0.95, "appearance_weight": 1, "confidence_noise": 0, "re_update": False},
    ),
    "bytetrack": (0.1, "none", BYTE | NO_CAMERA),
    "ocsort": (
        0.6,
        "none",
        ONE_PASS
        | NO_CAMERA
        | {"association": "iou", "re_update": True, "direction_weight": 0.2, "recover_iou": 0.3, "max_age": 1},
    ),
    "botsort": (0.1, "builtin", BYTE | {"camera_motion": "flow", "appearance_momentum": 0.9}),
    "strongsort": (
        0.6,
        "builtin",
        ONE_PASS
        | {"association": "mahalanobis", "cascade": False, "camera_motion": "ecc", "confidence_noise": 1, "max_age": 1}
        | {"appearance_momentum": 0.9, "appearance_weight": 0.98, "max_cosine_distance": 0.45, "re_update": False},
    ),
}
"""Score threshold, embedder, and the settings of each design, independent of the defaults of this tracker."""

FLOORS = {
    "sort": ((39.2, 51.0), (40.9, 51.8)),
    "deepsort": ((38.3, 51.7), (40.1, 52.3)),
    "bytetrack": ((39.3, 52.3), (41.0, 52.7)),
    "ocsort": ((38.1, 50.6), (39.7, 50.9)),
    "botsort": ((39.3, 52.3), (41.0, 52.7)),
    "strongsort": ((38.7, 51.4), (39.7, 51.7)),
}
"""Least HOTA and MOTA by motion alone, with true times, and with counted frames as their authors ran them."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_has_the_settings_of_its_source(name: str) -> None:
    config = load_config(CONFIGS / f"{name}.yaml")
    score, embedder, published = PUBLISHED[name]
    assert (config.detector.score, config.appearance.embedder) == (score, embedder)
    settings = config.tracker.model_dump()
    expected = COMMON | published
    assert {setting: settings[setting] for setting in expected} == pytest.approx(expected)


@pytest.fixture(scope="module")
def sequence_paths() -> list[Path]:
    if not SEQUENCES.is_dir():
        pytest.skip("the MOT15 sequences are not here")
    return [path for path in find_sequences(SEQUENCES, "det.txt") if path.name in MOT15]


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_is_as_accurate_as_the_published_tracker(name: str, sequence_paths: list[Path]) -> None:
    config = load_config(CONFIGS / f"{name}.yaml")
    sequences = [read_sequence(path, "det.txt", config.detector) for path in sequence_paths]

    for rate, (hota, mota) in zip((0.0, 30.0), FLOORS[name], strict=True):
        metrics = combined_metrics({seq.name: (run_tracker(seq, config.tracker, rate), seq.gt) for seq in sequences})
        assert metrics["HOTA"] >= hota and metrics["MOTA"] >= mota, (rate, metrics)
