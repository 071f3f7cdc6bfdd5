"""`track SOURCE...`: tracks objects in one or several sources."""

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

from tracker.cli import options
from tracker.cli.console import say
from tracker.config import Config
from tracker.errors import InputError

if TYPE_CHECKING:
    from tracker.pipeline.file_run import RunResult


def track(
    sources: Annotated[
        tuple[str, ...],
        options.help_text(
            "A video file, a folder or quoted glob of images or of videos, a URL, a camera's number, or - for standard "
            "input; or several of these."
        ),
    ],
    /,
    *,
    config: options.ConfigFile = None,
    quiet: options.Quiet = False,
    source_settings: options.Source = options.DEFAULTS.source,
    detector: options.Detector = options.DEFAULTS.detector,
    appearance: options.Appearance = options.DEFAULTS.appearance,
    tracker: options.Tracker = options.DEFAULTS.tracker,
    output: options.Output = options.DEFAULTS.output,
) -> int:
    """Track the objects in videos; write an annotated video and a table of tracks for each.

    Ctrl-C and SIGTERM let the current frame and all files be finished; a second one ends at once, and so does one that
    comes before there is anything to finish. Of several sources, the error of one is printed at once, and the others go
    on; the exit code is then 2.
    """
    from tracker.pipeline.source_list import expand_sources

    options.set_quiet(quiet)
    settings = options.load_settings(config, source_settings, detector, appearance, tracker, output)
    uris = list(map(str, expand_sources(sources)))
    if len(uris) > 1:
        return _track_all(uris, settings, quiet)
    from tracker.cli.run_monitor import console_monitor
    from tracker.cli.run_summary import print_summary
    from tracker.pipeline.api import track_to_files

    with console_monitor(settings, quiet, lambda: _categories(settings)) as monitor:
        result = track_to_files(uris[0], settings, monitor)
    if not quiet:
        print_summary(result)
    return monitor.signals.exit_code


def _categories(config: Config) -> Sequence[str]:
    from tracker.models.detection import detector_categories

    return detector_categories(config.detector)


def _track_all(sources: Sequence[str], config: Config, quiet: bool) -> int:
    """Tracks several sources at the same time; returns the exit code."""
    if config.output.show:
        raise InputError(f"--show shows one source, and there are {len(sources)}: give one, or leave it out")
    from tracker.cli.progress import ProgressDisplay
    from tracker.cli.run_monitor import ConsoleMonitor, RunProgress
    from tracker.cli.run_summary import print_failure, print_failures
    from tracker.cli.signals import stop_signals
    from tracker.pipeline.multi_source import track_all_to_files
    from tracker.video import redact_password

    names = [redact_password(source) for source in sources]
    monitors: dict[int, ConsoleMonitor] = {}
    results: dict[int, RunResult | InputError] = {}
    with stop_signals() as signals, ProgressDisplay(quiet) as display:

        def start_monitor(number: int) -> ConsoleMonitor:
            monitors[number] = ConsoleMonitor(signals, RunProgress(display, names[number]), config.tracker.offline)
            return monitors[number]

        try:
            with closing(track_all_to_files(sources, config, start_monitor)) as finished:
                for number, result in finished:
                    monitors[number].progress.end()
                    results[number] = result
                    if isinstance(result, InputError):
                        print_failure(names[number], result)
        finally:
            display.close()
            if results and not quiet:
                _print_results(names, results, config)
    failed = [name for number, name in enumerate(names) if isinstance(results.get(number), InputError)]
    print_failures(failed, len(names))
    return signals.exit_code or (2 if failed else 0)


def _print_results(names: Sequence[str], results: "dict[int, RunResult | InputError]", config: Config) -> None:
    from tracker.cli.run_summary import print_summary

    for number, name in enumerate(names):
        result = results.get(number)
        if result is None:
            say(f"{name} was not started")
        elif not isinstance(result, InputError):
            say(name)
            print_summary(result)
    if config.output.all_tracks and any(not isinstance(result, InputError) for result in results.values()):
        say(f"wrote {config.output.all_tracks}")
