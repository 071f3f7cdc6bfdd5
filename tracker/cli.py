"""The `track` command: the only part that talks to people."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from cyclopts import App, ArgumentCollection, CycloptsError, Group, Parameter, UnusedCliTokensError
from pydantic import ValidationError

from tracker import __version__
from tracker.config import (
    AppearanceConfig,
    Config,
    DetectorConfig,
    DetectorTraining,
    EmbedderTraining,
    OutputConfig,
    Section,
    SourceConfig,
    TrackerConfig,
    merged,
    read_yaml,
    validated,
)
from tracker.errors import InputError

T = TypeVar("T", DetectorTraining, EmbedderTraining)


class _App(App):
    """Takes all help from annotations: reading docstrings out of the sources would take as long as all the rest."""

    def assemble_argument_collection(
        self, *, default_parameter: Parameter | None = None, parse_docstring: bool = False
    ) -> ArgumentCollection:
        return super().assemble_argument_collection(default_parameter=default_parameter, parse_docstring=False)


app = _App(
    name="track",
    version=f"tracker {__version__}",
    help="Who was where, when, in a video.",
    usage="Usage: track SOURCE [OPTIONS]\n       track COMMAND [OPTIONS]",
    help_format="plaintext",
    default_parameter=Parameter(negative_iterable=()),
)
train = _App(name="train", help="Train the networks on your own pictures.")
app.command(train)


def _flat(title: str) -> Parameter:
    """The settings of a section as flags without the section's name, under a title of their own."""
    return Parameter(name="*", group=Group.create_ordered(title))


def _help(text: str) -> Parameter:
    return Parameter(help=text, negative=(), show_default=False)


Source_ = Annotated[SourceConfig, _flat("Source")]
Detector_ = Annotated[DetectorConfig, _flat("Detector")]
Appearance_ = Annotated[AppearanceConfig, _flat("Appearance")]
Tracker_ = Annotated[TrackerConfig, _flat("Tracker")]
Output_ = Annotated[OutputConfig, _flat("Output")]
ConfigFile = Annotated[Path | None, _help("YAML file of settings; flags given here go before it.")]
TrainingFile = Annotated[Path | None, _help("YAML file of settings, such as one of configs/; flags go before it.")]
Quiet = Annotated[bool, _help("Print errors alone.")]
Resume = Annotated[bool, _help("Go on from the last checkpoint.")]


@app.default
def run(
    source: Annotated[str, _help("A video file, a folder or glob of images, a URL, or a camera's number.")],
    /,
    *,
    config: ConfigFile = None,
    quiet: Quiet = False,
    source_settings: Source_ = SourceConfig(),
    detector: Detector_ = DetectorConfig(),
    appearance: Appearance_ = AppearanceConfig(),
    tracker: Tracker_ = TrackerConfig(),
    output: Output_ = OutputConfig(),
) -> int:
    """Track what moves through a video; write an annotated video and a table of tracks."""
    sections = {
        "source": source_settings,
        "detector": detector,
        "appearance": appearance,
        "tracker": tracker,
        "output": output,
    }
    return _run(source, _settings(config, sections), quiet)


def _settings(file: Path | None, sections: dict[str, Section]) -> Config:
    """The defaults, changed by a file, changed by the flags that were given."""
    given = {name: section.model_dump(exclude_unset=True) for name, section in sections.items()}
    for values in given.values():
        for key in values.keys() & {"classes", "output"}:
            values[key] = tuple(name.strip() for text in values[key] for name in text.split(",") if name.strip())
    return merged(read_yaml(file) if file else {}, given, where=str(file) if file else "the command line")


def _run(source: str, config: Config, quiet: bool) -> int:
    if quiet:
        logging.getLogger().setLevel(logging.ERROR)
    from tracker.screen import run_and_show

    return run_and_show(source, config, quiet)


@app.command
def demo(*, quiet: Quiet = False) -> int:
    """Draw a short clip, track it with the built-in networks, and say where to look; needs no network."""
    from tracker.demo import draw_clip

    folder = Path("tracked")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder} for the clip: {error.strerror}") from None
    clip = folder / "demo.mp4"
    draw_clip(clip)
    return _run(str(clip), Config(), quiet)


@app.command
def models() -> int:
    """List what --model and --embedder take: classes, size, licence."""
    from tracker.screen import print_models

    print_models()
    return 0


@app.command
def info() -> int:
    """Print versions, devices and codecs, for a bug report."""
    from tracker.screen import print_info

    print_info()
    return 0


@train.command
def detector(
    config: TrainingFile = None,
    /,
    *,
    resume: Resume = False,
    settings: Annotated[DetectorTraining, Parameter(name="*")] = DetectorTraining(),
) -> int:
    """Train a detector."""
    return _train("detector", _training_settings(config, settings), resume)


@train.command
def embedder(
    config: TrainingFile = None,
    /,
    *,
    resume: Resume = False,
    settings: Annotated[EmbedderTraining, Parameter(name="*")] = EmbedderTraining(),
) -> int:
    """Train an embedder."""
    return _train("embedder", _training_settings(config, settings), resume)


def _training_settings(file: Path | None, given: T) -> T:
    values = {**(read_yaml(file) if file else {}), **given.model_dump(exclude_unset=True)}
    return validated(type(given), values, str(file) if file else "the command line")


def _train(kind: Literal["detector", "embedder"], settings: DetectorTraining | EmbedderTraining, resume: bool) -> int:
    import tracker

    if not settings.train:
        raise InputError("training needs pictures: give a file of settings, or --train; see track train --help")
    try:
        work: Any = getattr(tracker, f"train_{kind}")
    except ModuleNotFoundError as error:
        if str(error.name).startswith("tracker"):
            raise
        raise InputError(f"training needs the package {error.name}: pip install 'tracker[train]'") from None
    print(work(settings, resume))
    return 0


class _Lines(logging.Handler):
    """Warnings as lines on whatever stderr is at the moment, so that they pass above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"{record.levelname.lower()}: {record.getMessage()}", file=sys.stderr)


def _sentence(error: Exception) -> str:
    """What is said of an error in the command line, in one line."""
    if isinstance(error, InputError):
        text = str(error)
    elif isinstance(error, UnusedCliTokensError):
        extra = (error.unused_tokens or [""])[0]
        text = f"unexpected {extra!r} - give one source, with quotes around spaces and *; see track --help"
    elif isinstance(error.__cause__, ValidationError):
        first = error.__cause__.errors()[0]
        text = f"--{str(first['loc'][0]).replace('_', '-')} {first['input']}: {first['msg']}; see track --help"
    else:
        text = f"{str(error).rstrip('.')}; see track --help"
    return " ".join(text.split())


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: exit code 0, 2 after bad input, 130 after Ctrl-C; a bug keeps its traceback."""
    logging.basicConfig(handlers=[_Lines(logging.WARNING)])
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        print(end="", flush=True)  # what is still buffered may find the pipe broken
    except (InputError, CycloptsError) as error:
        print(f"track: {_sentence(error)}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # Whoever read our output (head, say) has seen enough; nothing more may be printed, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code)


if __name__ == "__main__":
    main()
