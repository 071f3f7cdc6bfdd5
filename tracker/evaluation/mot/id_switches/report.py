"""Writes a folder of id switches: an image of each, a CSV table, and an HTML page."""

import csv
import html
import io
from collections.abc import Collection, Mapping
from dataclasses import astuple, fields
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from tracker.data.text_cells import to_cell
from tracker.errors import InputError
from tracker.evaluation.mot.files import MotTable
from tracker.evaluation.mot.id_switches.strips import IdSwitch, draw_id_switches, write_file

_VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm")

_HTML = """<!DOCTYPE html>
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
.gt {{ border-bottom: 2px dashed #fff }}
.old {{ color: #ff961e }}
.new {{ color: #46aaff }}
.other {{ color: #969696 }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>Boxes: <span class="gt">ground truth</span>, <span class="old">the id before</span>,
<span class="new">the id after</span>, <span class="other">other tracks</span>.
Frames count from 1. The same as a table: <a href="errors.csv">errors.csv</a>.</p>
{body}
</body>
</html>
"""


def find_videos(source: str, names: Collection[str]) -> dict[str, str]:
    """Finds the video of each sequence.

    Args:
        source: For one sequence its video, or its folder of images; for any number a folder that holds for each
            NAME/video.mp4, NAME.mp4 (or another suffix) or NAME/img1.
        names: Names of the sequences.

    Returns:
        By name a source of `open_source`.

    Raises:
        InputError: A sequence has no video.
    """
    folder, single = Path(source), len(names) == 1
    if not folder.is_dir():
        if single:
            return dict.fromkeys(names, source)  # open_source reports what is wrong with it
        raise InputError(
            f"{len(names)} sequences need a folder of videos, but {source} is not a folder: see track eval tracker -h"
        )
    videos: dict[str, str] = {}
    for name in names:
        bases = [folder / name, folder] if single else [folder / name]
        candidates = [base / f"video{suffix}" for base in bases for suffix in _VIDEO_SUFFIXES]
        candidates += [folder / f"{name}{suffix}" for suffix in _VIDEO_SUFFIXES] + [base / "img1" for base in bases]
        existing = [path for path in candidates if path.exists()] or ([folder] if single else [])
        if not existing:
            raise InputError(f"no video of {name} in {source}: looked for {name}/video.mp4, {name}.mp4 and {name}/img1")
        videos[name] = str(existing[0])
    return videos


def write_id_switches(pairs: Mapping[str, tuple[MotTable, MotTable]], videos: Mapping[str, str], folder: Path) -> int:
    """Writes a folder of an image of each id switch, `errors.csv` with a row for each, and `index.html`.

    Args:
        pairs: The tables of tracks and of ground truth of each sequence.
        videos: For each sequence a source of `open_source`.
        folder: A new or empty one.

    Returns:
        The number of id switches.

    Raises:
        InputError: The folder is not empty, a file cannot be written, or see `draw_id_switches`.
    """
    _check_empty(folder)
    switches: list[IdSwitch] = []
    for name, (tracks, gt) in pairs.items():
        switches += draw_id_switches(name, tracks, gt, videos[name], folder)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(IdSwitch))
    for switch in switches:
        writer.writerow(to_cell(value) if isinstance(value, str) else value for value in astuple(switch))
    write_file(folder / "errors.csv", text.getvalue().encode())
    write_file(folder / "index.html", _to_html(switches).encode())
    return len(switches)


def _check_empty(folder: Path) -> None:
    try:
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"the folder {folder} is not empty: give a new one")
    except OSError as error:
        raise InputError(f"cannot use the folder {folder}: {error.strerror}") from None


def _to_html(switches: list[IdSwitch]) -> str:
    parts: list[str] = []
    for name, group in groupby(switches, key=lambda switch: switch.sequence):
        sequence_switches = [*group]
        parts.append(f"<h2>{html.escape(name)}: {len(sequence_switches)}</h2>")
        for switch in sequence_switches:
            url = quote(switch.image)
            text = f"{switch.time_s:.2f} s: object {switch.object_id} goes from id {switch.old_id} to {switch.new_id}"
            parts.append(f'<a href="{url}"><img src="{url}" alt="{text}" title="{text}" loading="lazy"></a>')
    return _HTML.format(title=f"{len(switches)} id switches", body="\n".join(parts) or "<p>None.</p>")
