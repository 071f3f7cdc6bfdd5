"""`track report`: a run as one HTML file."""

import logging
from pathlib import Path
from typing import Annotated

from tracker.cli.analytics import ZONES, Classes, Run, Settings, Zones
from tracker.cli.console import check_output, say
from tracker.cli.options import CommandApp, help_text, split_names
from tracker.cli.progress import progress
from tracker.config import AnalyticsConfig, read_zones
from tracker.data.run_tracks import read_run_tracks
from tracker.errors import InputError

app = CommandApp(name="report")
logger = logging.getLogger(__name__)


@app.default
def report(
    run: Run,
    /,
    *,
    output: Annotated[Path | None, help_text("An .html; without it report.html in the folder of the run.")] = None,
    zones: Zones = None,
    video: Annotated[str, help_text("The video of the run, where it is not at its place any more.")] = "",
    classes: Classes = (),
    overwrite: Annotated[bool, help_text("Replace the file of --output.")] = False,
    settings: Settings = AnalyticsConfig(),
) -> None:
    """Runs the command."""
    from tracker.analytics.report import write_report
    from tracker.data.store import find_stored_run
    from tracker.evaluation.quality import measure_run

    check_output(output, (".html",), overwrite)
    every = read_run_tracks(run)
    tracks = every.of_classes(split_names(classes))
    if not len(tracks):
        raise InputError(f"{run} has no tracks: there is nothing to report")
    file = zones or run / ZONES
    known = read_zones(file) if zones or file.is_file() else None
    path = output or run / "report.html"
    quality: dict[str, str] = {}
    if find_stored_run(every.folder, every.record):
        try:
            quality = measure_run(every).describe()
        except InputError as error:  # of a run whose settings another version wrote, say
            logger.warning("the report tells no quality: %s", error)
    with progress("reading images") as show:

        def show_images(done: int, total: int) -> None:
            show(done, total, f"{done}/{total} images")

        write_report(tracks, path, known, settings, video, show_images, quality)
    say(f"wrote {path}")
