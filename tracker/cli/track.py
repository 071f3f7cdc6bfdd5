"""`track SOURCE...`: tracks objects in one or several sources."""

import sys
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

from tracker.cli import options
from tracker.cli.console import exit_code, say
from tracker.config import Config
from tracker.errors import InputError
from tracker.structures.end_reason import EndReason

if TYPE_CHECKING:
    from tracker.pipeline.resume import StartedRun
    from tracker.pipeline.run_result import RunResult


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
    resume: Annotated[
        bool,
        options.help_text(
            "Go on with runs that were killed, stopped or failed, with their own settings; SOURCES may be folders of "
            "results too. A source without such a run is tracked from its beginning."
        ),
    ] = False,
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
    on. The exit code is 0 where all sources came to their ends, 2 where one failed, is truncated, broke off or stalled,
    and 130 or 143 if a signal ended one before its end; cameras and streams have none, so that it is 0 for them.
    """
    from tracker.pipeline.source_list import expand_sources

    options.set_quiet(quiet)
    settings = options.load_settings(config, source_settings, detector, appearance, tracker, output)
    if resume:
        sources, settings, runs = _started_runs(sources, settings)
        if not sources:
            return 0
    else:
        runs = {}
    uris = list(map(str, expand_sources(sources)))
    if len(uris) > 1:
        return _track_all(uris, settings, quiet, runs)
    from tracker.cli.run_monitor import console_monitor
    from tracker.cli.run_summary import print_summary
    from tracker.pipeline.api import track_to_files

    with console_monitor(settings, quiet, lambda: _categories(settings)) as monitor:
        result = track_to_files(uris[0], settings, monitor, runs.get(uris[0]))
    if not quiet:
        print_summary(result)
    return exit_code(result.end, monitor.signals.exit_code, bool(result.live))


def _started_runs(sources: Sequence[str], settings: Config) -> "tuple[tuple[str, ...], Config, dict[str, StartedRun]]":
    """Returns the sources that are not finished, the settings of their runs, and the runs by source."""
    from tracker.pipeline.resume import find_run, is_run
    from tracker.pipeline.source_list import expand_sources

    runs: dict[str, StartedRun] = {}
    left: list[str] = []
    for source in sources:
        for name in [source] if is_run(source) else map(str, expand_sources([source])):
            run = find_run(name)
            if run is not None and run.is_finished:
                say(f"{run.folder} is finished: nothing is left to do")
                continue
            left.append(name if run is None else run.source)
            if run is not None:
                runs[left[-1]] = run
    configs = [run.config for run in runs.values()]
    for run in runs.values():
        if run.config != configs[0]:
            raise InputError(f"{run.folder} was begun with other settings than the other runs: resume it alone")
        if not run.has_settings(settings):
            raise InputError(f"{run.folder} goes on with the settings that it was begun with: leave the others out")
    return tuple(left), configs[0] if configs else settings, runs


def _categories(config: Config) -> Sequence[str]:
    from tracker.models.detection import detector_categories

    return detector_categories(config.detector)


def _track_all(sources: Sequence[str], config: Config, quiet: bool, runs: "dict[str, StartedRun]") -> int:
    """Tracks several sources at the same time; returns the exit code."""
    if config.output.show:
        raise InputError(f"--show shows one source, and there are {len(sources)}: give one, or leave it out")
    from tracker.cli.progress import ProgressDisplay
    from tracker.cli.run_monitor import ConsoleMonitor, RunProgress
    from tracker.cli.run_summary import end_line, print_ends, print_failure, print_failures
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
            with closing(track_all_to_files(sources, config, start_monitor, runs)) as finished:
                for number, result in finished:
                    monitors[number].progress.end()
                    results[number] = result
                    if isinstance(result, InputError):
                        print_failure(names[number], result)
                    elif not quiet and not sys.stdout.isatty():  # a log holds what ended, whatever happens later
                        say(end_line(names[number], result))
        finally:
            display.close()
            if results and not quiet:
                print_ends(names, results, monitors)
                if config.output.all_tracks and any(not isinstance(one, InputError) for one in results.values()):
                    say(f"wrote {config.output.all_tracks}")
    failed = [name for number, name in enumerate(names) if isinstance(results.get(number), InputError)]
    print_failures(failed, len(names))
    if len(results) < len(names):  # some were not started
        return signals.exit_code
    codes = (_exit_code(result, signals.exit_code) for result in results.values())
    return max(codes, default=signals.exit_code)


def _exit_code(result: "RunResult | InputError", signal_code: int) -> int:
    if isinstance(result, InputError):
        return signal_code or exit_code(EndReason.FAILED)
    return exit_code(result.end, signal_code, bool(result.live))
