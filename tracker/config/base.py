"""What all settings share: their base class, the usual ranges, and reading them with clear words for mistakes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tracker.errors import InputError, did_you_mean

Fraction01 = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A group of settings: immutable, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


S = TypeVar("S", bound=Section)


def validated(section: type[S], values: Mapping[str, Any], where: str) -> S:
    """Builds a section from plain values.

    Raises:
        InputError: A key is unknown or a value is out of its range; says which, and what was meant.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise InputError(f"{where}: unknown key {key!r}{_known_keys(section, first['loc'])}") from None
        raise InputError(f"{where}: {key} = {first['input']!r}: {first['msg']}") from None


def _known_keys(section: type[Section], path: tuple[int | str, ...]) -> str:
    for part in path[:-1]:
        section = section.model_fields[str(part)].annotation  # type: ignore[assignment]
    return did_you_mean(str(path[-1]), list(section.model_fields))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping (or nothing).

    Raises:
        InputError: The file is missing, is not YAML, or holds something else.
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the config {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {str(error).splitlines()[0]}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold sections such as 'detector:', not a {type(values).__name__}")
    return values
