"""The `track` command: the table of its commands, and its entry point."""

import logging
import os
import sys
from collections.abc import Sequence

from cyclopts import CycloptsError, Parameter, UnusedCliTokensError
from pydantic import ValidationError

from tracker import __version__
from tracker.cli.options import CommandApp
from tracker.cli.track import track
from tracker.errors import InputError

COMMANDS = {
    "retrack": ("retrack", "Track stored detections without a detector, and write the same results."),
    "crops": ("crops", "Extract crops of the tracks of videos, a folder for each track, to train on."),
    "demo": ("demo", "Draw a short clip, and track it with the built-in networks; works without internet access."),
    "bench": ("bench", "Measure how fast a run with these settings is, stage by stage; writes no results."),
    "export": ("export", "Export a detector, with pre- and postprocessing, for other programs."),
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

EXTRAS = {"train": "training", "eval": "evaluation", "tune": "tuning"}
"""Groups whose packages are an extra of the same name, and what needs them."""

app = CommandApp(
    name="track",
    version=f"tracker {__version__}",
    help="Detect and track objects in videos.",
    usage="Usage: track SOURCE... [OPTIONS]\n       track COMMAND [OPTIONS]",
    help_format="plaintext",
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
        print(f"{record.levelname.lower()}: {record.getMessage()}", file=sys.stderr)


def _format_error(error: Exception) -> str:
    """Returns one line about an error in the command line."""
    if isinstance(error, InputError):
        text = str(error)
    elif isinstance(error, UnusedCliTokensError):
        extra = (error.unused_tokens or [""])[0]
        text = f"unexpected {extra!r} - names with spaces or * need quotes; see track --help"
    elif isinstance(error.__cause__, ValidationError):
        first = error.__cause__.errors()[0]
        text = f"--{str(first['loc'][0]).replace('_', '-')} {first['input']}: {first['msg']}; see track --help"
    else:
        text = f"{str(error).rstrip('.')}; see track --help"
    return " ".join(text.split())


def _missing_package(error: ImportError, group: str) -> str:
    """Returns one line about a missing package of an extra; empty if an import failed for another reason."""
    cause = error if isinstance(error, ModuleNotFoundError) else error.__cause__
    if not isinstance(cause, ModuleNotFoundError) or group not in EXTRAS:
        return ""
    package = str(cause.name).partition(".")[0]
    if package == "tracker":
        return ""
    return f"{EXTRAS[group]} needs the package {package}: pip install 'video-tracker[{group}]'"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits.

    The exit code is 0, 2 after bad input, 130 after Ctrl-C, 141 when the output's reader is gone; a bug keeps its
    traceback.
    """
    logging.basicConfig(handlers=[_WarningHandler(logging.WARNING)])
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        print(end="", flush=True)  # what is still buffered may find the pipe broken
    except (InputError, CycloptsError) as error:
        print(f"track: {_format_error(error)}", file=sys.stderr)
        code = 2
    except ImportError as error:
        text = _missing_package(error, tokens[0])
        if not text:
            raise
        print(f"track: {text}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # The reader of our output (head, say) is gone; nothing more may be printed, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code)
