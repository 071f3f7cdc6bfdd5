"""Defines the search space: the settings of the tracker that can be tuned, and their ranges."""

from collections.abc import Sequence
from dataclasses import dataclass

from tracker.config import TrackerConfig
from tracker.errors import InputError, did_you_mean

Value = float | int | bool | str


@dataclass(frozen=True)
class FloatRange:
    """Numbers from `low` to `high`, uniform, or uniform in the logarithm if `log`."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class IntRange:
    """Integers from `low` to `high`."""

    low: int
    high: int


@dataclass(frozen=True)
class Categorical:
    """A choice of some values."""

    values: tuple[bool | str, ...]


SearchSpace = dict[str, FloatRange | IntRange | Categorical]

SEARCH_SPACE: SearchSpace = {
    "max_age": FloatRange(0.3, 6, log=True),
    "n_init": IntRange(1, 4),
    "tentative_misses": IntRange(0, 3),
    "max_occlusion": FloatRange(0, 1),
    "start_score": FloatRange(0, 0.98),
    "min_evidence": FloatRange(2, 20, log=True),
    "high_score": FloatRange(0, 0.8),
    "low_iou": FloatRange(0.1, 0.7),
    "min_visible": FloatRange(0, 0.95),
    "min_presence": FloatRange(0.1, 1),
    "border_overlap": FloatRange(0, 1),
    "duplicate_iou": FloatRange(0, 0.95),
    "detection_weight": FloatRange(0, 1),
    "position_noise": FloatRange(0.002, 0.1, log=True),
    "velocity_noise": FloatRange(0.0003, 0.01, log=True),
    "measurement_noise": FloatRange(0.02, 0.15, log=True),
    "confidence_noise": FloatRange(0, 0.95),
    "adaptive_noise_gate": FloatRange(4, 30, log=True),
    "re_update": Categorical((True, False)),
    "association": Categorical(("likelihood", "iou")),
    "min_iou": FloatRange(0.01, 0.5),
    "buffer_scale": FloatRange(0, 0.5),
    "generalized_iou": Categorical((False, True)),
    "score_weight": FloatRange(0, 1),
    "direction_weight": FloatRange(0, 0.4),
    "recover_iou": FloatRange(0, 0.5),
    "cascade": Categorical((False, True)),
    "likelihood_weight": FloatRange(0.03, 1, log=True),
    "max_nll": FloatRange(5, 16),
    "absence_penalty": FloatRange(0, 3),
    "height_weight": FloatRange(0, 1),
}
"""All settings that can be tuned. The others need images, have no effect on the tracks, or are a matter of taste."""

DEFAULT_SETTINGS = (
    "max_age",
    "start_score",
    "high_score",
    "low_iou",
    "min_visible",
    "detection_weight",
    "position_noise",
    "velocity_noise",
    "measurement_noise",
    "confidence_noise",
    "min_iou",
    "buffer_scale",
    "likelihood_weight",
    "max_nll",
    "absence_penalty",
)
"""Settings that are tuned by default: those that depend on the detector and on the motion of the objects."""

LIKELIHOOD_SETTINGS = ("likelihood_weight", "max_nll", "absence_penalty", "height_weight")
"""Settings that have no effect unless association = likelihood."""


def search_space(names: Sequence[str], start: TrackerConfig) -> SearchSpace:
    """Returns the ranges of some settings; without names, of the default ones that have an effect in `start`.

    Raises:
        InputError: A name is unknown, or the setting has no effect in `start`.
    """
    for name in names:
        if name not in SEARCH_SPACE:
            raise InputError(f"there is no setting {name!r} to tune{did_you_mean(name, list(SEARCH_SPACE))}")
    unused = LIKELIHOOD_SETTINGS if start.association != "likelihood" and "association" not in names else ()
    for name in names:
        if name in unused:
            raise InputError(f"{name} has no effect with association = {start.association}: leave it out of the search")
    return {name: SEARCH_SPACE[name] for name in names or DEFAULT_SETTINGS if name not in unused}
