"""Which settings of the tracker a search may change, and within what range: the only home of these ranges."""

from collections.abc import Sequence
from dataclasses import dataclass

from tracker.config import TrackerConfig
from tracker.errors import InputError, did_you_mean

Value = float | int | bool | str


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; `log`: each factor as likely as another, instead of each difference."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Whole:
    """Whole numbers from `low` to `high`."""

    low: int
    high: int


@dataclass(frozen=True)
class OneOf:
    """One of some values."""

    values: tuple[bool | str, ...]


Space = dict[str, Range | Whole | OneOf]

SPACE: Space = {
    "max_age": Range(0.3, 6, log=True),
    "n_init": Whole(1, 4),
    "tentative_misses": Whole(0, 3),
    "max_occlusion": Range(0, 1),
    "start_score": Range(0, 0.98),
    "high_score": Range(0, 0.8),
    "low_iou": Range(0.1, 0.7),
    "min_visible": Range(0, 0.95),
    "border_overlap": Range(0, 1),
    "duplicate_iou": Range(0, 0.95),
    "detection_weight": Range(0, 1),
    "position_noise": Range(0.002, 0.1, log=True),
    "velocity_noise": Range(0.0003, 0.01, log=True),
    "measurement_noise": Range(0.02, 0.15, log=True),
    "confidence_noise": Range(0, 0.95),
    "adaptive_noise_gate": Range(4, 30, log=True),
    "re_update": OneOf((True, False)),
    "association": OneOf(("likelihood", "iou")),
    "min_iou": Range(0.01, 0.5),
    "buffer_scale": Range(0, 0.5),
    "generalized_iou": OneOf((False, True)),
    "score_weight": Range(0, 1),
    "direction_weight": Range(0, 0.4),
    "recover_iou": Range(0, 0.5),
    "cascade": OneOf((False, True)),
    "likelihood_weight": Range(0.03, 1, log=True),
    "max_nll": Range(5, 16),
    "absence_penalty": Range(0, 3),
    "height_weight": Range(0, 1),
}
"""All that can be searched without pictures. What is not here changes nothing in them, or is a matter of taste."""

USUAL = (
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
"""What is searched where nothing else is said: what depends on the detector and on how the objects move."""

LIKELIHOOD = ("likelihood_weight", "max_nll", "absence_penalty", "height_weight")
"""Settings that do nothing unless association = likelihood."""


def chosen_space(names: Sequence[str], start: TrackerConfig) -> Space:
    """The ranges of some settings; with no name, of the usual ones that do something in `start`.

    Raises:
        InputError: A name is unknown, or is one that does nothing in `start`.
    """
    for name in names:
        if name not in SPACE:
            raise InputError(f"there is no setting {name!r} to search{did_you_mean(name, list(SPACE))}")
    idle = LIKELIHOOD if start.association != "likelihood" and "association" not in names else ()
    for name in names:
        if name in idle:
            raise InputError(f"{name} does nothing with association = {start.association}: leave it out of the search")
    return {name: SPACE[name] for name in names or USUAL if name not in idle}
