"""The `track` command: the only part that talks to people."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from tracker import __version__
from tracker.config import (
    AppearanceConfig,
    Config,
    DetectorConfig,
    OutputConfig,
    Section,
    SourceConfig,
    TrackerConfig,
    merged,
    read_yaml,
)
from tracker.errors import InputError

app = App(name="track", version=f"tracker {__version__}", help="Who was where, when, in a video.")
train = App(name="train", help="Train the networks on your own pictures.")
app.command(train)


def _flat(title: str) -> Parameter:
    return Parameter(name="*", group=title)


Source_ = Annotated[SourceConfig, _flat("Source")]
Detector_ = Annotated[DetectorConfig, _flat("Detector")]
Appearance_ = Annotated[AppearanceConfig, _flat("Appearance")]
Tracker_ = Annotated[TrackerConfig, _flat("Tracker")]
Output_ = Annotated[OutputConfig, _flat("Output")]


@app.default
def run(
    source: str,
    *,
    config: Path | None = None,
    quiet: bool = False,
    source_settings: Source_ = SourceConfig(),
    detector: Detector_ = DetectorConfig(),
    appearance: Appearance_ = AppearanceConfig(),
    tracker: Tracker_ = TrackerConfig(),
    output: Output_ = OutputConfig(),
) -> int:
    """Track what moves through a video; write an annotated video and a table of tracks.

    Args:
        source: A video file, a folder or glob of images, a URL, or a camera's number.
        config: YAML file of settings; flags given here go before it.
        quiet: Print errors alone.
        source_settings: What is read.
        detector: The network that finds objects.
        appearance: The network that tells individuals apart.
        tracker: The association.
        output: What is written.
    """
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
    for key in ("classes", "output"):
        for values in given.values():
            if key in values:
                values[key] = tuple(name.strip() for text in values[key] for name in text.split(",") if name.strip())
    return merged(read_yaml(file) if file else {}, given, where=str(file) if file else "the command line")


def _run(source: str, config: Config, quiet: bool) -> int:
    from tracker.screen import follow

    with follow(config, quiet) as (watch, finish):
        from tracker.pipeline import track_to_files

        return finish(track_to_files(source, config, watch))


@app.command
def demo(*, quiet: bool = False) -> int:
    """Draw a short clip, track it with the built-in networks, and say where to look; needs no network."""
    from tracker.demo import draw_clip

    folder = Path("tracked")
    folder.mkdir(exist_ok=True)
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
def detector(config: Path, *, resume: bool = False) -> int:
    """Train a detector.

    Args:
        config: YAML file of settings, such as configs/detector_builtin.yaml.
        resume: Go on from the last checkpoint.
    """
    from tracker.config import DetectorTraining, validated

    settings = validated(DetectorTraining, read_yaml(config), str(config))
    train_detector = _trainer("detector")
    print(train_detector(settings, resume))
    return 0


@train.command
def embedder(config: Path, *, resume: bool = False) -> int:
    """Train an embedder.

    Args:
        config: YAML file of settings, such as configs/embedder_builtin.yaml.
        resume: Go on from the last checkpoint.
    """
    from tracker.config import EmbedderTraining, validated

    settings = validated(EmbedderTraining, read_yaml(config), str(config))
    train_embedder = _trainer("embedder")
    print(train_embedder(settings, resume))
    return 0


def _trainer(kind: str) -> Any:
    import tracker

    try:
        return getattr(tracker, f"train_{kind}")
    except ModuleNotFoundError as error:
        raise InputError(f"training needs the package {error.name}: pip install 'tracker[train]'") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: exit code 0, 2 after bad input, 130 after Ctrl-C; a bug keeps its traceback."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING, stream=sys.stderr)
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
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


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    main()
