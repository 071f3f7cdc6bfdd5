"""`track live`: tracks cameras and streams as a service with a page."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tracker.cli import options
from tracker.cli.console import exit_code, say
from tracker.config import EventsConfig, WebConfig, ZonesConfig, read_zones
from tracker.errors import InputError
from tracker.structures.end_reason import EndReason

if TYPE_CHECKING:
    from tracker.pipeline.run_result import RunResult
    from tracker.web.event_delivery import EventDelivery
    from tracker.web.live_camera import LiveCamera

app = options.CommandApp(name="live")


@app.default
def live(
    sources: Annotated[tuple[str, ...], options.help_text("Addresses of streams, or numbers of cameras.")],
    /,
    *,
    config: options.ConfigFile = None,
    quiet: options.Quiet = False,
    web: Annotated[WebConfig, options.section("Page")] = WebConfig(),
    events: Annotated[EventsConfig, options.section("Events")] = EventsConfig(),
    source_settings: options.Source = options.DEFAULTS.source,
    detector: options.Detector = options.DEFAULTS.detector,
    appearance: options.Appearance = options.DEFAULTS.appearance,
    tracker: options.Tracker = options.DEFAULTS.tracker,
    output: options.Output = options.DEFAULTS.output,
) -> int:
    """Track cameras and streams until Ctrl-C, with a page that shows each of them.

    Results are written as `track` does. A lost connection is tried again forever, unless --reconnect says otherwise.
    """
    from tracker.cli.signals import stop_signals
    from tracker.pipeline.multi_source import track_all_to_files
    from tracker.pipeline.source_list import plan_sources
    from tracker.web import WebServer
    from tracker.web.live_app import create_live_app
    from tracker.web.live_camera import LiveCamera

    options.set_quiet(quiet)
    base = {"source": {"reconnect": "forever"}}
    settings = options.load_settings(config, source_settings, detector, appearance, tracker, output, base=base)
    with stop_signals() as signals:

        def stop() -> bool:
            return bool(signals.signal)

        cameras = [
            LiveCamera(name := planned.name or planned.uri, planned.uri, settings, stop, _lines(events.zones, name))
            for planned in plan_sources(sources)
        ]
        with (
            _deliveries(events, cameras) as deliveries,
            WebServer(create_live_app(cameras, web.token, deliveries), web) as server,
        ):
            say(f"see {server.url}")
            signals.graceful = True
            with closing(track_all_to_files(sources, settings, cameras.__getitem__)) as finished:
                ends = [_finish(cameras[number], result, quiet) for number, result in finished]
    # A signal is how a service is asked to stop; a source that failed before stays a failure.
    return max(map(exit_code, ends), default=signals.exit_code)


def _finish(camera: "LiveCamera", result: "RunResult | InputError", quiet: bool) -> EndReason:
    """Tells how the run over a source ended, and returns it."""
    from tracker.cli.run_summary import print_failure, print_summary

    if isinstance(result, InputError):
        camera.finish(str(result), has_failed=True)
        print_failure(camera.uri, result)
        return EndReason.FAILED
    camera.finish(f"it ended: {result.end.value}", has_failed=False)
    if not quiet:
        print_summary(result)
    return result.end


def _lines(path: str, name: str) -> ZonesConfig | None:
    """Returns the lines of a source, whose name {name} stands for in the path of their file."""
    if not path:
        return None
    path = path.replace("{name}", name)
    zones = read_zones(Path(path).expanduser())
    if not zones.lines:
        raise InputError(f"{path} has no lines whose crossings could be events: add some under lines:")
    return zones


@contextmanager
def _deliveries(config: EventsConfig, cameras: Sequence["LiveCamera"]) -> Iterator[list["EventDelivery"]]:
    """Sends events to where the settings say, until the end of the block, and tells how many arrived."""
    from tracker.web.event_targets import open_targets

    with ExitStack() as stack:
        deliveries = []
        for target in open_targets(config):
            from tracker.web.event_delivery import EventDelivery

            deliveries.append(stack.enter_context(EventDelivery(target, cameras)))
        yield deliveries
