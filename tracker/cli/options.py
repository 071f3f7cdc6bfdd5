"""Parameters that several commands share, and the settings that they stand for."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, ArgumentCollection, Group, Parameter

from tracker.config import (
    AppearanceConfig,
    Config,
    DetectionFilterConfig,
    DetectorConfig,
    OutputConfig,
    Section,
    SourceConfig,
    TrackerConfig,
    merge_config,
    read_yaml,
)
from tracker.errors import InputError

DEFAULTS = Config()
_LISTS = {"classes", "classify_classes", "output"}
"""Settings of several values, which may be given as a,b,c."""


class CommandApp(App):
    """A command whose help comes from annotations alone: parsing docstrings would take as long as all the rest."""

    def assemble_argument_collection(
        self, *, default_parameter: Parameter | None = None, parse_docstring: bool = False
    ) -> ArgumentCollection:
        return super().assemble_argument_collection(default_parameter=default_parameter, parse_docstring=False)


def section(title: str) -> Parameter:
    """Returns a parameter that turns a section's settings into flags without the section's name, under a title."""
    return Parameter(name="*", group=Group.create_ordered(title))


def help_text(text: str) -> Parameter:
    """Returns a parameter with a help text, without `--no-...` and without a default in the help."""
    return Parameter(help=text, negative=(), show_default=False)


Source = Annotated[SourceConfig, section("Source")]
Stored = Annotated[DetectionFilterConfig, section("Detections")]
Detector = Annotated[DetectorConfig, section("Detector")]
Appearance = Annotated[AppearanceConfig, section("Appearance")]
Tracker = Annotated[TrackerConfig, section("Tracker")]
Output = Annotated[OutputConfig, section("Output")]
ConfigFile = Annotated[
    Path | None, help_text("YAML file of settings, or a name such as bytetrack (see configs/); flags take precedence.")
]
Quiet = Annotated[bool, help_text("Print only errors.")]


def load_settings(file: Path | None, *sections: Section, base: Mapping[str, Mapping[str, Any]] | None = None) -> Config:
    """Returns the defaults, replaced by a file's values, replaced by the flags that were given.

    Args:
        file: A YAML file, or the name of a shipped one.
        sections: All sections in the order of `Config`, with the flags' values.
        base: Values of sections that replace the defaults before the file does.

    Raises:
        InputError: The file or a value is wrong.
    """
    pairs = zip(Config.model_fields, sections, strict=True)
    given = {name: values.model_dump(exclude_unset=True) for name, values in pairs}
    for values in given.values():
        for key in values.keys() & _LISTS:
            values[key] = split_names(values[key])
    values = read_yaml(file) if file else {}
    if base:
        values = {name: {**base.get(name, {}), **(values.get(name) or {})} for name in {*base, *values}}
    return merge_config(values, given, where=str(file) if file else "the command line")


def split_names(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Splits `a,b` and `c` into a, b, c."""
    return tuple(part.strip() for text in texts for part in text.split(",") if part.strip())


def split_numbers(texts: tuple[str, ...], flag: str) -> tuple[int, ...]:
    """Splits `1,2` and `3` into 1, 2, 3, without repetition; (1,) if there are none.

    Raises:
        InputError: A part is not a whole number from 1 on.
    """
    numbers = tuple(dict.fromkeys(int(part) if part.isdecimal() else 0 for part in split_names(texts)))
    if 0 in numbers:
        raise InputError(f"{flag} {','.join(texts)}: give whole numbers from 1, such as 1,2,3")
    return numbers or (1,)


def set_quiet(quiet: bool) -> None:
    """Silences warnings too, if only errors are to be printed."""
    if quiet:
        logging.getLogger().setLevel(logging.ERROR)
