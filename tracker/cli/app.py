"""The `track` command: the table of its commands, and its entry point."""

import logging
import os
import re
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType

from cyclopts import CycloptsError, Parameter, UnusedCliTokensError
from pydantic import ValidationError

from tracker import __version__
from tracker.cli.console import (
    SafeConsole,
    discard_output,
    escape_what_cannot_be_encoded,
    output_error,
    output_failed,
    say_error,
    write_output,
)
from tracker.cli.options import CommandApp
from tracker.cli.track import track
from tracker.cli.usage import HELP, familiar_flag, normalize_tokens
from tracker.errors import InputError

COMMANDS = {
    "live": ("live", "Track cameras and streams as a service, with a page that shows them."),
    "retrack": ("retrack", "Track stored detections without a detector, and write the same results."),
    "batch": ("batch", "Track many files by several workers or on a Ray cluster; a second call does what is missing."),
    "crops": ("crops", "Extract crops of the tracks of videos, a folder for each track, to train on."),
    "view": ("view", "Open a page with the video and the tracks of a run, to look at and to repair."),
    "why": ("why", "Explain a track: why it was born, matched, lost, found again and ended."),
    "edit": ("edit", "Repair the tracks of a run: merge, split, swap, rename, delete; undo and redo."),
    "count": ("analytics:count_app", "Count tracks that cross lines, and their visits and ways between zones."),
    "speed": ("analytics:speed_app", "Measure speeds in metres per second by known points on the ground."),
    "heatmap": ("analytics:heatmap_app", "Draw where tracks spent their time."),
    "blur": ("blur", "Write the video of a run with its tracks blurred, in every frame of each."),
    "quality": ("quality", "Measure tracks without ground truth: agreement with a backward pass, gaps, jumps."),
    "report": ("report", "Write a report of a run: one HTML file that opens anywhere."),
    "import": ("import_tracks", "Make the folder of a run from the tracks of another program."),
    "demo": ("demo", "Draw a short clip, and track it with the built-in networks; works without internet access."),
    "bench": ("bench", "Measure how fast a run with these settings is, stage by stage; writes no results."),
    "export": ("export", "Export a detector for other programs, or the repaired tracks of a run."),
    "models": ("info:models_app", "List the models that --model and --embedder take: classes, size, license."),
    "info": ("info:info_app", "Print versions, devices and codecs, for a bug report."),
    "train detector": ("train:detector_app", "Train a detector."),
    "train embedder": ("train:embedder_app", "Train an embedder (Re-ID)."),
    "train classifier": ("train:classifier_app", "Train a classifier of crops, for finer classes."),
    "eval detector": ("eval_detector", "Evaluate a detector: COCO's AP and AR, precision, recall and F1 by class."),
    "eval embedder": ("eval_embedder", "Evaluate an embedder on crops of known identities: CMC, mAP and mINP."),
    "eval tracker": ("eval_tracker", "Evaluate tracks against ground truth: HOTA, MOTA, IDF1; classes are ignored."),
    "data check": ("data_check", "Find wrong labels, broken images and duplicates, and count classes."),
    "tune tracker": ("tune", "Search settings of the tracker, and cross-validate them on held-out sequences."),
}
"""Module of each command (and the name of its app, if not `app`) and help; it is imported when the command runs."""

GROUPS = {
    "train": "Train the networks on your own images.",
    "eval": "Evaluate against ground truth.",
    "data": "Check your own data.",
    "tune": "Search settings for your own videos.",
}

EXTRAS = {
    "batch": ("batch", "--ray"),
    "train": ("train", "training"),
    "eval": ("eval", "evaluation"),
    "tune": ("tune", "tuning"),
    "count": ("analytics", "counting in zones"),
    "report": ("analytics", "a report with zones"),
    "live": ("web", "the page"),
    "view": ("web", "the page"),
}
"""Groups and commands whose packages are an extra: its name, and what needs it."""

app = CommandApp(
    name="track",
    version=f"tracker {__version__}",
    help="Detect and track objects in videos.",
    usage="Usage: track SOURCE... [OPTIONS]\n       track COMMAND [OPTIONS]",
    help_format="plaintext",
    console=SafeConsole(),
    default_parameter=Parameter(negative_iterable=()),
)
app.default(track)


def _register() -> None:
    groups = {name: CommandApp(name=name, help=text) for name, text in GROUPS.items()}
    for group in groups.values():
        app.command(group)
    for name, (location, text) in COMMANDS.items():
        parent, _, command = name.rpartition(" ")
        module, _, attribute = location.partition(":")
        target = f"tracker.cli.{module}:{attribute or 'app'}"
        groups.get(parent, app).command(target, name=command, help=text)


_register()


class _WarningHandler(logging.Handler):
    """Prints warnings as lines on the current stderr, so that they appear above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        say_error(f"{record.levelname.lower()}: {record.getMessage()}")


def _format_error(error: Exception, tokens: Sequence[str]) -> str:
    """Returns one line about an error in the command line."""
    command = next((name for name in (" ".join(tokens[:2]), *tokens[:1]) if name in COMMANDS), "")
    help_command = " ".join(["track", *command.split(), "--help"])
    named_as_option = next((token for token in tokens if token.startswith("-") and os.path.lexists(token)), "")
    if isinstance(error, InputError):
        text = str(error)
    elif isinstance(error, CycloptsError) and (text := familiar_flag(tokens)):
        text = f"{text}; see {help_command}"
    elif named_as_option:
        text = f"{named_as_option} begins with a dash, as options do: give the file as ./{named_as_option}"
    elif isinstance(error, UnusedCliTokensError):
        extra = (error.unused_tokens or [""])[0]
        text = f"unexpected {extra!r} - names with spaces or * need quotes; see {help_command}"
    elif isinstance(error.__cause__, ValidationError):
        first = error.__cause__.errors()[0]
        reason = str(first["msg"]).removeprefix("Value error, ")
        text = f"--{str(first['loc'][0]).replace('_', '-')} {first['input']}: {reason}; see {help_command}"
    else:
        reason = re.sub('^Command ".*?" parameter ', "", str(error)).rstrip(".")
        text = f"{reason}; see {help_command}"
    return " ".join(text.split())


def _missing_package(error: ImportError, group: str) -> str:
    """Returns one line about a missing package that is optional; empty if an import failed for another reason."""
    cause = error if isinstance(error, ModuleNotFoundError) else error.__cause__
    package = str(cause.name).partition(".")[0] if isinstance(cause, ModuleNotFoundError) else "tracker"
    if package in ("torch", "torchvision"):
        return f"{group} needs the package {package}: pip install torch torchvision"
    if package == "tracker" or group not in EXTRAS:
        return ""
    extra, what = EXTRAS[group]
    return f"{what} needs the package {package}: pip install 'video-tracker[{extra}]'"


def _print_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Prints the traceback of a bug, without passwords."""
    say_error("".join(traceback.format_exception(kind, error, trace)).rstrip())


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits.

    The exit code is 0, 2 after bad input, 130 after Ctrl-C, 141 when the output's reader is gone; a bug keeps its
    traceback.
    """
    escape_what_cannot_be_encoded()
    handler = _WarningHandler(logging.WARNING)
    # FFmpeg's own lines, which older versions of torchvision switch on: our errors say the same in one sentence.
    handler.addFilter(lambda record: not record.name.startswith("libav."))
    logging.getLogger().addHandler(handler)
    sys.excepthook = _print_bug
    tokens = normalize_tokens(sys.argv[1:] if arguments is None else arguments)
    code: int = 2
    try:
        if tokens in (["--help"], ["-h"]):
            write_output(HELP)
            sys.exit(0)
        tokens = ["--help" if token == "--help-all" else token for token in tokens]
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        write_output("")  # what is still buffered, of a help text say, may fail now
    except (InputError, CycloptsError) as error:
        say_error(f"track: {_format_error(error, tokens)}")
    except ImportError as error:
        text = _missing_package(error, tokens[0])
        if not text:
            raise
        say_error(f"track: {text}")
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # The reader of our output (head, say) is gone; nothing more may be printed, not even at exit.
        discard_output()
        code = 141
    except OSError as error:
        if not output_failed():  # what cyclopts prints, such as a help text
            raise
        say_error(f"track: {output_error(error)}")
    finally:
        logging.getLogger().removeHandler(handler)
    sys.exit(code)
