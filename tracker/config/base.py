"""Base class, value ranges and validation of all settings, and reading them from YAML files."""

import os
import re
from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationError,
)

from tracker.errors import InputError, did_you_mean
from tracker.parsing import read_yaml_file

Fraction01 = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


def parse_frame_rate(value: object) -> Fraction:
    """Returns a frame rate as an exact fraction: 25, 12.5, 29.97, "30000/1001".

    Example:
        >>> parse_frame_rate("30000/1001"), parse_frame_rate(12.5)
        (Fraction(30000, 1001), Fraction(25, 2))

    Raises:
        ValueError: It is none.
    """
    try:
        rate = Fraction(str(value))  # of a float the digits that are shown, not those of its binary value
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not _LEAST_RATE <= rate <= 1 / _LEAST_RATE:
        raise ValueError("give frames per second, such as 25, 29.97 or 30000/1001")
    return rate


def _frame_rate_to_json(rate: Fraction) -> float | str:
    return float(rate) if Fraction(str(float(rate))) == rate else str(rate)


_LEAST_RATE = Fraction(1, 10**6)
FrameRate = Annotated[
    Fraction, PlainValidator(parse_frame_rate), PlainSerializer(_frame_rate_to_json, when_used="json")
]


def check_clock_time(text: str) -> str:
    """Returns a date and time as it is, if it is one of ISO 8601, or empty.

    Example:
        >>> check_clock_time("2026-05-24 08:00:10")
        '2026-05-24 08:00:10'

    Raises:
        ValueError: It is none.
    """
    try:
        datetime.fromisoformat(text or "2000-01-01")
    except ValueError:
        raise ValueError("give a date and time such as 2026-05-24T08:00:10 or 2026-05-24T08:00:10+02:00") from None
    return text


ClockTime = Annotated[str, AfterValidator(check_clock_time)]


def parse_duration(text: str) -> float:
    """Returns a duration in seconds; that of an empty text is infinite.

    Example:
        >>> parse_duration("90s"), parse_duration("1h"), parse_duration("30 d")
        (90.0, 3600.0, 2592000.0)

    Raises:
        ValueError: It is none, or shorter than a second.
    """
    if not text:
        return inf
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(s|m|min|h|d|w)", text.strip().lower())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if seconds < 1:
        raise ValueError("give a number with a unit, such as 30m, 1h or 1d (s, m, h, d, w), from 1s on")
    return seconds


_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_limit(text: str) -> tuple[float, float]:
    """Returns a limit on what is kept, in seconds and in bytes; the one that is not given is infinite.

    Example:
        >>> parse_limit("30d"), parse_limit("200GB")
        ((2592000.0, inf), (inf, 200000000000.0))

    Raises:
        ValueError: It is none.
    """
    try:
        return parse_duration(text), inf
    except ValueError:
        try:
            size = 0 if text.strip().isdecimal() else int(_SIZE.validate_python(text))
        except ValidationError:
            size = 0
        if size <= 0:
            raise ValueError("give a duration such as 30d, or a size such as 200GB") from None
        return inf, float(size)


_SIZE: TypeAdapter[ByteSize] = TypeAdapter(ByteSize)


def _check_duration(text: str) -> str:
    parse_duration(text)
    return text


def _check_limit(text: str) -> str:
    parse_limit(text)
    return text


Duration = Annotated[str, AfterValidator(_check_duration)]
Limit = Annotated[str, AfterValidator(_check_limit)]


class Section(BaseModel):
    """A group of settings: immutable, and an error for unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


S = TypeVar("S", bound=Section)


def validate_section(section: type[S], values: Mapping[str, Any], where: str) -> S:
    """Builds a section from a mapping of values.

    Raises:
        InputError: A key is unknown or a value is out of its range; the message suggests the nearest key.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise InputError(f"{where}: unknown key {key!r}{_known_keys(section, first['loc'])}") from None
        raise InputError(f"{where}: {key} = {first['input']!r}: {first['msg'].removeprefix('Value error, ')}") from None


def _known_keys(section: type[Section], path: tuple[int | str, ...]) -> str:
    for part in path[:-1]:
        if field := section.model_fields.get(str(part)):  # other parts are keys and indices in a section's value
            section = _section_in(field.annotation) or section
    return did_you_mean(str(path[-1]), list(section.model_fields))


def _section_in(annotation: Any) -> type[Section] | None:
    """Returns the section that a type is or holds, such as that of `dict[str, Section]`."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)


def presets_folder() -> Path:
    """Returns the folder of the shipped YAML files: inside the installed package, `configs/` in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "config" / "presets"
    return installed if installed.is_dir() else package.parent / "configs"


def find_config(config: str | Path) -> Path:
    """Returns the path of a config file.

    Args:
        config: A path, or the name of a shipped file without its suffix, such as `bytetrack`. An existing file of that
            name in the current folder is preferred.

    Raises:
        InputError: It is a name, and neither a file nor a shipped config has it.
    """
    path = Path(config)
    if path.suffix or len(path.parts) != 1 or os.path.isfile(path):  # not is_file(), which raises for long names
        return path
    preset = presets_folder() / f"{path}.yaml"
    if not os.path.isfile(preset):
        names = sorted(file.stem for file in presets_folder().glob("*.yaml"))
        raise InputError(f"there is no config {str(path)!r}{did_you_mean(str(path), names)}")
    return preset


def read_yaml(config: str | Path) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping or nothing, as `read_yaml_file` does.

    Args:
        config: A path or the name of a shipped config, as `find_config` takes it.

    Raises:
        InputError: The file is missing, is not YAML, or holds something else.
    """
    path = find_config(config)
    values = read_yaml_file(path)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold sections such as 'detector:', not a {type(values).__name__}")
    return values
