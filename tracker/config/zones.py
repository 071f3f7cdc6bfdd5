"""Lines, zones and the calibration of a camera, in coordinates of the image from 0 to 1: the file zones.yaml."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tracker.config.base import Count, Fraction01, NonNegative, Positive, Section, validate_section
from tracker.errors import InputError
from tracker.parsing import read_yaml_file

Point = tuple[Fraction01, Fraction01]
"""x and y as fractions of the width and height of the image, from its top left corner."""


class LineConfig(Section):
    """A line that tracks cross."""

    points: tuple[Point, Point]
    """Its two ends. Who stands at the first and looks at the second has the right side to the right in the image."""
    right: str = "right"
    """Name of the direction from the left side to the right one."""
    left: str = "left"
    """Name of the direction from the right side to the left one."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"points": value} if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _check(self) -> "LineConfig":
        if self.points[0] == self.points[1]:
            raise ValueError("its two ends are the same point")
        if self.right == self.left:
            raise ValueError("its two directions have the same name")
        return self


class GroundPoint(Section):
    """A point on the ground, in the image and in metres."""

    image: Point
    ground: tuple[float, float]
    """Its place on the ground, metres, in any right-angled coordinates."""


class KnownLength(Section):
    """A length on the ground, for a camera that looks straight down or objects at the same distance."""

    image: tuple[Point, Point]
    """Its two ends."""
    metres: Positive


class CalibrationConfig(Section):
    """Known points on the ground, four or more, or one known length; in metres."""

    points: tuple[GroundPoint, ...] = ()
    """Points on the ground, no three of them on a line; more than four tell their own error."""
    length: KnownLength | None = None
    """One known length, in place of points."""
    click_error: Positive = 2.0
    """Standard deviation of the marked points, pixels, for each coordinate; a larger reprojection error replaces it."""

    @model_validator(mode="after")
    def _check(self) -> "CalibrationConfig":
        if bool(self.points) == bool(self.length):
            raise ValueError("give either points or a length")
        if self.points and len(self.points) < 4:
            raise ValueError(f"four points or more are needed, not {len(self.points)}")
        return self


class ZonesConfig(Section):
    """The lines and zones of a camera."""

    lines: dict[str, LineConfig] = Field(default_factory=dict)
    """Lines by name."""
    zones: dict[str, tuple[Point, ...]] = Field(default_factory=dict)
    """Polygons by name: three corners or more. As regions of interest (`--roi`), only what is in one of them is
    tracked."""
    ignore: dict[str, tuple[Point, ...]] = Field(default_factory=dict)
    """Polygons by name; as regions of interest, nothing in them is tracked. Counts do not use them."""
    calibration: CalibrationConfig | None = None
    """Known points or a known length on the ground, for speeds."""

    @field_validator("zones", "ignore")
    @classmethod
    def _check_corners(cls, zones: dict[str, tuple[Point, ...]]) -> dict[str, tuple[Point, ...]]:
        for name, corners in zones.items():
            if len(set(corners)) < 3:
                raise ValueError(f"the zone {name} needs three corners or more")
        return zones


def read_zones(path: Path) -> ZonesConfig:
    """Reads lines, zones and calibration from a YAML file.

    Raises:
        InputError: It cannot be read, or something in it is wrong.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "zones.yaml").write_text("lines: {gate: [[0.5, 0], [0.5, 1]]}")
        ...     read_zones(Path(folder, "zones.yaml")).lines["gate"].points
        ((0.5, 0.0), (0.5, 1.0))
    """
    values = read_yaml_file(path) or {}
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold lines: and zones:, not a {type(values).__name__}")
    return validate_section(ZonesConfig, values, str(path))


def regions_text(value: Any) -> str:
    """Returns the regions of a YAML file, or of a mapping, as a line of JSON, as a record can keep it.

    Raises:
        InputError: The file cannot be read, or has no zones.

    Example:
        >>> regions_text({"ignore": {"tree": [[0, 0], [0.5, 0], [0, 1]]}})
        '{"zones": {}, "ignore": {"tree": [[0.0, 0.0], [0.5, 0.0], [0.0, 1.0]]}}'
    """
    if isinstance(value, Mapping):
        known = validate_section(ZonesConfig, value, "roi")
    elif not str(value):
        return ""
    elif str(value).startswith("{"):
        known = parse_regions(str(value))
    else:
        known = read_zones(Path(value).expanduser())
    if not known.zones and not known.ignore:
        raise InputError(f"{value} has neither zones: nor ignore: - add polygons to one of them")
    return json.dumps(known.model_dump(include={"zones", "ignore"}, mode="json"))


def parse_regions(text: str) -> ZonesConfig:
    """Reads what `regions_text` wrote; empty for no zones.

    Raises:
        InputError: It is something else.
    """
    try:
        values = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise InputError(f"regions of interest are a YAML file, or JSON that can be read ({error})") from None
    return validate_section(ZonesConfig, values, "roi")


RegionsText = Annotated[str, BeforeValidator(regions_text)]
"""Polygons as JSON; the name of a YAML file is replaced by its polygons, so that these count when it has changed."""


class AnalyticsConfig(Section):
    """Settings of counts, dwell times, flows and speeds."""

    anchor: Literal["bottom", "center"] = "bottom"
    """The point of a box that crosses lines and is inside zones: the middle of its lower side, or its center."""
    hysteresis: NonNegative = 0.1
    """Least distance from a line at which a point is on one of its sides, as a fraction of the height of the box."""
    interval: NonNegative = 0.0
    """Seconds for which counts and occupancy are stated together; 0 is the whole video."""
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Probability of the intervals."""
    link_gap: Positive = 3.0
    """Longest gap, seconds, over which the end of a track and the beginning of another may be one object."""
    min_visit: NonNegative = 0.5
    """Least seconds of a visit to a zone, and longest ones of an absence that does not end it."""
    window: Positive = 1.0
    """Seconds over which a speed is measured."""
    grid: Annotated[int, Field(ge=8, le=1000)] = 160
    """Cells of a heat map along the longer side of the image."""
    min_rows: Count = 3
    """Least detections of a track for a speed."""
