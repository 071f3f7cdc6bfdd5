"""Base class, value ranges and validation of all settings, and reading them from YAML files."""

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
        raise InputError(f"{where}: {key} = {first['input']!r}: {first['msg']}") from None


def _known_keys(section: type[Section], path: tuple[int | str, ...]) -> str:
    for part in path[:-1]:
        section = section.model_fields[str(part)].annotation  # type: ignore[assignment]
    return did_you_mean(str(path[-1]), list(section.model_fields))


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
    if path.suffix or len(path.parts) != 1 or path.is_file():
        return path
    preset = presets_folder() / f"{path}.yaml"
    if not preset.is_file():
        names = sorted(file.stem for file in presets_folder().glob("*.yaml"))
        raise InputError(f"there is no config {str(path)!r}{did_you_mean(str(path), names)}")
    return preset


def read_yaml(config: str | Path) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping or nothing.

    Args:
        config: A path or the name of a shipped config, as `find_config` takes it.

    Raises:
        InputError: The file is missing, is not YAML, or holds something else.
    """
    import yaml

    path = find_config(config)
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
