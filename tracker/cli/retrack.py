"""`track retrack DETECTIONS`: tracks stored detections."""

from typing import Annotated

from tracker.cli import options
from tracker.cli.console import exit_code
from tracker.config import DetectionFilterConfig
from tracker.errors import InputError

app = options.CommandApp(name="retrack")


@app.default
def retrack(
    detections: Annotated[
        str,
        options.help_text(
            "A file of detections: what --detections or --output wrote (.csv, .json), a MOTChallenge det.txt (all are "
            "persons; a seqinfo.ini beside it or one folder up is read too), or COCO results. Or the folder of a run, "
            "whose settings then count where no others are given."
        ),
    ],
    /,
    *,
    video: Annotated[
        str,
        options.help_text(
            "The video of the detections, for appearance and annotation; without it tracking is by motion alone."
        ),
    ] = "",
    source: Annotated[
        str, options.help_text("The source to track again, of a table of several that --all-tracks wrote.")
    ] = "",
    config: options.ConfigFile = None,
    quiet: options.Quiet = False,
    source_settings: options.Source = options.DEFAULTS.source,
    detection_filter: options.Stored = DetectionFilterConfig(),
    appearance: options.Appearance = options.DEFAULTS.appearance,
    tracker: options.Tracker = options.DEFAULTS.tracker,
    output: options.Output = options.DEFAULTS.output,
) -> int:
    """Runs the command; returns the exit code."""
    # These take seconds to import, and `--help` does without.
    from tracker.cli.run_monitor import console_monitor
    from tracker.cli.run_summary import print_summary
    from tracker.data.detections import read_detections
    from tracker.pipeline.api import retrack_to_files
    from tracker.pipeline.resume import is_run, retrack_settings

    options.set_quiet(quiet)
    sections = source_settings, detection_filter, appearance, tracker, output
    settings = options.load_settings(
        config, *sections, base=retrack_settings(detections) if is_run(detections) else None
    )
    if settings.output.show and not video:
        raise InputError("--show needs the images: give --video, or leave it out")
    stored = read_detections(detections, float(settings.source.fps), source)
    with console_monitor(settings, quiet, lambda: stored.categories) as monitor:
        result = retrack_to_files(stored, settings, video, monitor)
    if not quiet:
        print_summary(result)
    return monitor.signals.exit_code or exit_code(result.end)
