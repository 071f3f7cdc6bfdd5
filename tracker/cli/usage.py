"""The short help of `track`, and flags in the forms that people know from other programs."""

import os
import re
from collections.abc import Sequence

HELP = """\
Usage: track SOURCE... [OPTIONS]
       track COMMAND [OPTIONS]

Detect and track objects in videos: writes an annotated video and a table of tracks.
A SOURCE is a video, a folder or quoted glob of images or of videos, a URL, a camera's number, or - for standard input.

  track video.mp4
  track video.mp4 --classes person car --start 1:30 --end 2:00 -o tracks.csv
  track 'videos/*.mp4' --config bytetrack -o 'results/{name}.csv'

Options that most runs need:
  -o, --output FILE     File to write, by suffix: .mp4 .csv .parquet .txt (MOTChallenge) .json (COCO); may be repeated.
                        Without it: a folder in tracked/ with video and tables.
  --overwrite           Replace existing results.
  --classes NAME...     Classes to keep, by name or number; `track models` lists them.
  --score S             Score threshold of detections, 0.5 by default.
  --size PIXELS         Longest side to which images are reduced for the detector; --tiles auto finds small objects.
  --weights FILE        Your own detector, of `track train detector`.
  --config NAME         Settings: botsort, bytetrack, deepsort, ocsort, sort, strongsort, or a YAML file.
  --start T, --end T    Times, in seconds or as 1:30.
  --every N             Process every N-th frame.
  --device DEVICE       auto, cpu, cuda or the number of a GPU.
  --offline             Better tracks, written when the whole video is read.
  --show                Also show the video in a window.
  --quiet               Print only errors.
  --resume              Go on with runs that were stopped.

Commands: live retrack batch view why edit count speed heatmap blur report quality import export crops demo bench
models info train eval data tune; `track COMMAND --help` says more.
All options: `track --help-all`. Guide: README.md and docs/.
"""

FAMILIAR = {
    "--conf": "--score",
    "--conf-thres": "--score",
    "--confidence": "--score",
    "--half": "--precision half",
    "--imgsz": "--size",
    "--img-size": "--size",
    "--iou": "--nms-iou",
    "--name": "--output, such as --output results/tracks.csv",
    "--project": "--output, such as --output results/tracks.csv",
    "--save-csv": "--output tracks.csv; without --output, the folder of the results has tracks.csv",
    "--save-txt": "--output tracks.txt",
    "--source": "no flag: track SOURCE",
    "--tracker": "--config, such as --config bytetrack",
    "--vid-stride": "--every",
    "--view-img": "--show",
}
"""Flags of other programs, and what has their meaning here."""

_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d*)?)")
_TIMES = ("--start", "--end")


def normalize_tokens(tokens: Sequence[str]) -> list[str]:
    """Returns the tokens of a command line in the forms that the parser knows.

    Example:
        >>> normalize_tokens(["a.mp4", "-o", "t.csv", "--classes", "person", "car", "--start", "1:30"])
        ['a.mp4', '--output', 't.csv', '--classes', 'person,car', '--start', '90.0']
    """
    given = [part for token in tokens for part in _split_time(token)]
    result: list[str] = []
    while given:
        token = given.pop(0)
        result.append({"-o": "--output", "-": "pipe:0"}.get(token, token))  # for the parser a lone dash is an option
        if token in _TIMES and given:
            result.append(_seconds(given.pop(0)))
        elif token == "--classes" and given:
            result.append(",".join(_take_classes(given)))
    return result


def _split_time(token: str) -> list[str]:
    flag, equals, value = token.partition("=")
    return [flag, value] if equals and flag in _TIMES else [token]


def _seconds(text: str) -> str:
    """Converts a time such as 1:30 or 1:02:03.5 to seconds; other texts stay."""
    clock = _CLOCK.fullmatch(text)
    if not clock:
        return text
    hours, minutes, seconds = clock.groups()
    return str(3600 * int(hours or 0) + 60 * int(minutes) + float(seconds))


def _take_classes(given: list[str]) -> list[str]:
    """Removes the names or numbers of classes from the start of the tokens, and returns them; the first one is one."""
    classes = [given.pop(0)]
    by_number = classes[0].isdecimal()
    while given and _is_class(given[0], by_number):
        classes.append(given.pop(0))
    return classes


def _is_class(token: str, by_number: bool) -> bool:
    """Returns True for a class after another one, and not for a source: a file, an address, or a camera's number."""
    if by_number or token.isdecimal():
        return by_number and token.isdecimal()
    return bool(re.fullmatch(r"[\w ,]+", token)) and not os.path.lexists(token)


def familiar_flag(tokens: Sequence[str]) -> str:
    """Returns a sentence on the first token that is a flag of other programs; empty if there is none.

    Example:
        >>> familiar_flag(["a.mp4", "--conf", "0.3"])
        '--conf is here --score'
    """
    flags = (token.partition("=")[0] for token in tokens)
    return next((f"{flag} is here {FAMILIAR[flag]}" for flag in flags if flag in FAMILIAR), "")
