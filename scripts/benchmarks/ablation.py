"""Ablation of the tracker's settings: metrics without each one, at several frame rates, with true and assumed times.

Each variant changes one thing about the initial settings, and tracks the same detections.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.config import Config, load_config, merge_config
from tracker.evaluation.mot.metrics import Metrics, combined_metrics
from tracker.evaluation.mot.sequences import MotSequence, find_sequences, read_sequence, run_tracker

FRAME_STEPS = (1, 2, 3)
"""The table has columns for tracking every frame, every second one, and so on."""

ASSUMED_FPS = 30.0
"""Frame rate that a tracker assumes if it counts frames instead of using their times, as in the papers."""

ORIGINAL_FILTER = "original filter"

CHANGES: dict[str, dict[str, Any]] = {
    "re_update off": {"re_update": False},
    "no second pass: high_score 0": {"high_score": 0},
    "adaptive_noise_gate 0": {"adaptive_noise_gate": 0},
    "confidence_noise 0": {"confidence_noise": 0},
    "noise 1/20, 1/160, 1/20": {"position_noise": 1 / 20, "velocity_noise": 1 / 160, "measurement_noise": 1 / 20},
    ORIGINAL_FILTER: {
        "position_noise": 1 / 20,
        "velocity_noise": 1 / 160,
        "measurement_noise": 1 / 20,
        "confidence_noise": 0,
        "adaptive_noise_gate": 0,
        "re_update": False,
    },
    "association iou": {"association": "iou"},
    "association iou, cascade": {"association": "iou", "cascade": True},
    "cascade": {"cascade": True},
    "absence_penalty 0": {"absence_penalty": 0},
    "height_weight 1": {"height_weight": 1},
    "buffer_scale 0": {"buffer_scale": 0},
    "generalized_iou": {"generalized_iou": True},
    "score_weight 1": {"score_weight": 1},
    "direction_weight 0.2": {"direction_weight": 0.2},
    "recover_iou 0.3": {"recover_iou": 0.3},
    "min_visible 0": {"min_visible": 0},
    "border_overlap 0": {"border_overlap": 0},
    "duplicate_iou 0.85": {"duplicate_iou": 0.85},
    "max_age 1": {"max_age": 1},
    "n_init 3": {"n_init": 3},
    "tentative_misses 0": {"tentative_misses": 0},
    "max_occlusion 0": {"max_occlusion": 0},
    "start_score 0.5": {"start_score": 0.5},
    "detection_weight 0": {"detection_weight": 0},
    "detection_weight 1": {"detection_weight": 1},
}
"""Changes of settings, each to its value without an extension, or to another design's choice. The original filter is
that of DeepSORT, arXiv 1703.07402, which many trackers use: noise 1/20, 1/160, 1/20, without corrections."""

COLUMNS = ("HOTA", "MOTA", "IDF1", "IDSW")
_STEP_NAMES = {1: "every frame", 2: "every 2nd frame", 3: "every 3rd frame"}
_NAME_WIDTH = 36  # characters


@dataclass(frozen=True)
class Variant:
    """A variant of the settings.

    Attributes:
        name: The change.
        config: All settings.
        fps: See `run_tracker`.
    """

    name: str
    config: Config
    fps: float = 0.0


Result = tuple[Variant, tuple[Metrics, ...]]
"""A variant, and its metrics of all sequences together for each of `FRAME_STEPS`."""


def make_variants(initial: Config, paths: Sequence[Path]) -> list[Variant]:
    """Returns the initial settings, each of `CHANGES`, and files of settings, with true times and with assumed ones.

    A change that makes no difference is left out.

    Raises:
        InputError: A file of settings cannot be read.
    """
    settings = initial.model_dump()
    changed = [Variant(name, merge_config(settings, {"tracker": change}, name)) for name, change in CHANGES.items()]
    variants = [Variant("start", initial), *(variant for variant in changed if variant.config != initial)]
    with_assumed_times = [variant for variant in variants if variant.name in ("start", ORIGINAL_FILTER)]
    for path in paths:
        with_assumed_times.append(Variant(path.name, load_config(path)))
        variants.append(with_assumed_times[-1])
    return variants + [Variant(f"{v.name}, frames counted", v.config, ASSUMED_FPS) for v in with_assumed_times]


def evaluate_variants(folder: Path, detections: str, variants: Iterable[Variant]) -> Iterator[Result]:
    """Yields the result of each variant as soon as it is known.

    Raises:
        InputError: See `find_sequences`, which has the same arguments, and `read_sequence`.
    """
    folders = find_sequences(folder, detections)
    for variant in variants:
        sequences = [
            read_sequence(path, detections, variant.config.detector.for_given_detections()) for path in folders
        ]
        subsampled = [[sequence.subsample(step) for sequence in sequences] for step in FRAME_STEPS]
        yield variant, tuple(_evaluate(part, variant) for part in subsampled)


def _evaluate(sequences: Sequence[MotSequence], variant: Variant) -> Metrics:
    config = variant.config.tracker
    return combined_metrics({one.name: (run_tracker(one, config, variant.fps), one.gt) for one in sequences})


def heading() -> str:
    """Returns the two lines above the table."""
    titles = [f"{_STEP_NAMES[step]:^26}" for step in FRAME_STEPS]
    columns = "".join(f"{name:>6}" for name in COLUMNS) + "  "
    losses = "".join(f"{_STEP_NAMES[step].split()[1]:>7}" for step in FRAME_STEPS[1:])
    return f"{'':{_NAME_WIDTH}}{''.join(titles)}   HOTA lost\n{'':{_NAME_WIDTH}}{columns * len(FRAME_STEPS)}{losses}"


def as_text(variant: Variant, metrics: Sequence[Metrics]) -> str:
    """Returns a row of the table."""
    cells = [
        "".join(f"{values[name]:6.0f}" if name == "IDSW" else f"{values[name]:6.2f}" for name in COLUMNS)
        for values in metrics
    ]
    losses = "".join(f"{metrics[0]['HOTA'] - values['HOTA']:7.2f}" for values in metrics[1:])
    return f"{variant.name:{_NAME_WIDTH}}{''.join(f'{cell}  ' for cell in cells)}{losses}"


def as_json(variants: Sequence[Result]) -> list[dict[str, Any]]:
    """Returns all metrics, for `write_record`."""
    return [
        {"name": variant.name, "frames_per_second": variant.fps, "every": dict(zip(FRAME_STEPS, metrics, strict=True))}
        for variant, metrics in variants
    ]
