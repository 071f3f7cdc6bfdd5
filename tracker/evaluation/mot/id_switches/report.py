"""A folder of the id switches of some sequences: a picture of each, a table, and a page to browse them."""

import csv
import html
import io
from collections.abc import Collection, Mapping
from configparser import ConfigParser, Error
from dataclasses import astuple, fields
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.evaluation.mot.files import Rows
from tracker.evaluation.mot.id_switches.strips import Switch, draw_switches, write_file

_VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm")

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ margin: 2em auto; max-width: 1280px; padding: 0 1em; font-family: sans-serif }}
body {{ background: #181818; color: #e1e1e1 }}
a {{ color: inherit }}
img {{ max-width: 100%; display: block; margin: 0 0 1.5em }}
.truth {{ border-bottom: 2px dashed #fff }}
.old {{ color: #ff961e }}
.new {{ color: #46aaff }}
.other {{ color: #969696 }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>Boxes: <span class="truth">truth</span>, <span class="old">the id before</span>,
<span class="new">the id after</span>, <span class="other">other tracks</span>.
Frames count from 1. The same as a table: <a href="errors.csv">errors.csv</a>.</p>
{body}
</body>
</html>
"""


def find_videos(place: str, names: Collection[str]) -> dict[str, str]:
    """The video of each sequence.

    Args:
        place: For one sequence its video, or its folder of pictures; for any number a folder that holds for each
            NAME/video.mp4, NAME.mp4 (or another suffix) or NAME/img1.
        names: Of the sequences.

    Returns:
        By name what `open_source` takes.

    Raises:
        InputError: A sequence has none.
    """
    folder, single = Path(place), len(names) == 1
    if not folder.is_dir():
        if single:
            return dict.fromkeys(names, place)  # open_source says what is wrong with it
        raise InputError(
            f"{len(names)} sequences need a folder of videos, and {place} is none: see track eval tracker -h"
        )
    found: dict[str, str] = {}
    for name in names:
        bases = [folder / name, folder] if single else [folder / name]
        candidates = [base / f"video{suffix}" for base in bases for suffix in _VIDEO_SUFFIXES]
        candidates += [folder / f"{name}{suffix}" for suffix in _VIDEO_SUFFIXES] + [base / "img1" for base in bases]
        there = [path for path in candidates if path.exists()] or ([folder] if single else [])
        if not there:
            raise InputError(f"no video of {name} in {place}: looked for {name}/video.mp4, {name}.mp4 and {name}/img1")
        found[name] = str(there[0])
    return found


def write_switches(pairs: Mapping[str, tuple[Rows, Rows]], videos: Mapping[str, str], folder: Path) -> int:
    """Fills a folder with a picture of each id switch, `errors.csv` with a row for each, and `index.html`.

    Args:
        pairs: For each sequence (found rows, true rows).
        videos: For each sequence what `open_source` takes.
        folder: A new or empty one.

    Returns:
        The number of switches.

    Raises:
        InputError: The folder is not empty, a file cannot be written, or as `draw_switches`.
    """
    _check_free(folder)
    switches: list[Switch] = []
    for name, (found, truth) in pairs.items():
        switches += draw_switches(name, found, truth, videos[name], _frame_rate(Path(videos[name])), folder)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(field.name for field in fields(Switch))
    rows.writerows(astuple(switch) for switch in switches)
    write_file(folder / "errors.csv", table.getvalue().encode())
    write_file(folder / "index.html", _page(switches).encode())
    return len(switches)


def _check_free(folder: Path) -> None:
    try:
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"the folder {folder} is not empty: name a new one")
    except OSError as error:
        raise InputError(f"cannot use the folder {folder}: {error.strerror}") from None


def _frame_rate(video: Path) -> float:
    """Frames per second of a folder of pictures, by the seqinfo.ini beside it; videos know their own."""
    sequence = ConfigParser()
    try:
        sequence.read(video.parent / "seqinfo.ini")
        rate = sequence.getfloat("Sequence", "frameRate")
    except (Error, ValueError):
        rate = 0.0
    return rate if rate > 0 else SourceConfig().fps


def _page(switches: list[Switch]) -> str:
    parts: list[str] = []
    for name, group in groupby(switches, key=lambda switch: switch.sequence):
        of_sequence = [*group]
        parts.append(f"<h2>{html.escape(name)}: {len(of_sequence)}</h2>")
        for switch in of_sequence:
            file = quote(switch.picture)
            text = f"{switch.time_s:.2f} s: object {switch.object_id} goes from id {switch.old_id} to {switch.new_id}"
            parts.append(f'<a href="{file}"><img src="{file}" alt="{text}" title="{text}" loading="lazy"></a>')
    return _PAGE.format(title=f"{len(switches)} id switches", body="\n".join(parts) or "<p>None.</p>")
