"""What each setting of the tracker contributes: figures without it, at several frame rates, with true times and not.

Each row changes one thing about the settings that it starts from, and tracks the same detections again.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker.config import Config, load_config, merged
from tracker.evaluation.mot.metrics import Figures, score_tracks
from tracker.evaluation.mot.sequences import MotSequence, find_sequences, follow, read_sequence

STEPS = (1, 2, 3)
"""Every so many-th frame is tracked, for the columns of the table."""

COUNTED = 30.0
"""Frames per second that a tracker takes for granted which counts frames, as those of the papers do."""

PAPERS = "the papers' filter"

SWITCHES: dict[str, dict[str, Any]] = {
    "re_update off": {"re_update": False},
    "no second pass: high_score 0": {"high_score": 0},
    "adaptive_noise_gate 0": {"adaptive_noise_gate": 0},
    "confidence_noise 0": {"confidence_noise": 0},
    "noise 1/20, 1/160, 1/20": {"position_noise": 1 / 20, "velocity_noise": 1 / 160, "measurement_noise": 1 / 20},
    PAPERS: {
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
"""Changes of settings, each to what it is without the switch, or to another design's choice. The papers' filter is
DeepSORT's, arXiv 1703.07402, which many trackers took over: noise 1/20, 1/160, 1/20, and nothing that corrects it."""

SHOWN = ("HOTA", "MOTA", "IDF1", "IDSW")
_EVERY = {1: "every frame", 2: "every 2nd frame", 3: "every 3rd frame"}
_NAME = 36  # characters of a row's name


@dataclass(frozen=True)
class Row:
    """One line of the comparison.

    Attributes:
        name: What is different.
        config: All settings.
        rate: As in `follow`.
    """

    name: str
    config: Config
    rate: float = 0.0


Result = tuple[Row, tuple[Figures, ...]]
"""A row and, for each of `STEPS`, its figures of all sequences together."""


def rows(start: Config, files: Sequence[Path]) -> list[Row]:
    """What is compared: the start, each of `SWITCHES`, and files of settings, with true times and with counted frames.

    A change that makes no difference to the start gets no row.

    Raises:
        InputError: A file of settings cannot be read.
    """
    changed = [Row(name, merged(start.model_dump(), {"tracker": change}, name)) for name, change in SWITCHES.items()]
    different = [Row("start", start), *(row for row in changed if row.config != start)]
    counted = [row for row in different if row.name in ("start", PAPERS)]
    for path in files:
        counted.append(Row(path.name, load_config(path)))
        different.append(counted[-1])
    return different + [Row(f"{row.name}, frames counted", row.config, COUNTED) for row in counted]


def measured(folder: Path, detections: str, compared: Iterable[Row]) -> Iterator[Result]:
    """The results of all rows, as soon as each is known.

    Raises:
        InputError: As `find_sequences`, which tells the arguments, and as `read_sequence`.
    """
    places = find_sequences(folder, detections)
    for row in compared:
        sequences = [read_sequence(place, detections, row.config.detector) for place in places]
        yield row, tuple(_scored([one.every(step) for one in sequences], row) for step in STEPS)


def _scored(sequences: Sequence[MotSequence], row: Row) -> Figures:
    return score_tracks({one.name: (follow(one, row.config.tracker, row.rate), one.truth) for one in sequences})


def heading() -> str:
    """Two lines for above the rows."""
    titles = [f"{_EVERY[step]:^26}" for step in STEPS]
    columns = "".join(f"{name:>6}" for name in SHOWN) + "  "
    lost = "".join(f"{_EVERY[step].split()[1]:>7}" for step in STEPS[1:])
    return f"{'':{_NAME}}{''.join(titles)}   HOTA lost\n{'':{_NAME}}{columns * len(STEPS)}{lost}"


def as_text(row: Row, figures: Sequence[Figures]) -> str:
    """A line of the table."""
    parts = [
        "".join(f"{each[name]:6.0f}" if name == "IDSW" else f"{each[name]:6.2f}" for name in SHOWN) for each in figures
    ]
    lost = "".join(f"{figures[0]['HOTA'] - each['HOTA']:7.2f}" for each in figures[1:])
    return f"{row.name:{_NAME}}{''.join(f'{part}  ' for part in parts)}{lost}"


def as_json(compared: Sequence[Result]) -> list[dict[str, Any]]:
    """All figures, for `write_record`."""
    return [
        {"name": row.name, "frames_per_second": row.rate, "every": dict(zip(STEPS, figures, strict=True))}
        for row, figures in compared
    ]
