"""What a person sees of a detector's evaluation: progress, tables, and where the files are."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tracker.config import DetectorScoring
from tracker.detection import load_detector
from tracker.errors import InputError
from tracker.evaluation.detection import measured, write_report
from tracker.evaluation.detection.report import as_tables, write_json
from tracker.evaluation.detection.running import detect_pictures, pictures_for
from tracker.reports import check_output, page, print_parts
from tracker.screen import PLAIN_INTERVAL


def detect_and_show(
    path: Path, config: DetectorScoring, json: Path | None, report: Path | None, overwrite: bool
) -> int:
    """Runs a detector over annotated pictures, prints how good it is, and writes what is asked for.

    Args:
        path: The pictures, see `read_pictures`.
        config: The detector, and what counts.
        json: File for the figures.
        report: Folder for everything.
        overwrite: Whether the file may exist, and the folder may hold something.

    Returns:
        The exit code.

    Raises:
        InputError: Something cannot be read or written.
        ModuleNotFoundError: A package of the extra [eval] is missing.
    """
    check_output(json, (".json",), overwrite)
    _check_folder(report, overwrite)
    with load_detector(config) as detector:
        pictures = pictures_for(detector, path, config.rename)
        with _counted(len(pictures.pictures)) as watch:
            found, seconds = detect_pictures(detector, pictures, config.batch_size, watch)
    work = write_report(report, found, pictures, seconds, config.at) if report else None
    scores = work or measured(found, pictures, seconds, config.at)
    if json:
        write_json(scores, json)
    console = page()
    print_parts(console, as_tables(scores))
    if report:
        print(f"wrote {report}")
    return 0


def _check_folder(folder: Path | None, overwrite: bool) -> None:
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--report takes a folder, and {folder} is a file: give another name")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise InputError(f"the folder {folder} of the report is not empty: give --overwrite or another name")


@contextmanager
def _counted(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; elsewhere a line now and then."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    last_line = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("detecting", total=total)

        def show(done: int) -> None:
            nonlocal last_line
            bar.update(task, completed=done)
            if not console.is_terminal and time.monotonic() - last_line >= PLAIN_INTERVAL:
                last_line = time.monotonic()
                print(f"detecting: {done}/{total} pictures", file=sys.stderr)

        yield show
