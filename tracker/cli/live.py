"""`track live`: tracks cameras and streams as a service with a page."""

from contextlib import closing
from typing import Annotated

from tracker.cli import options
from tracker.cli.console import exit_code, say
from tracker.config import WebConfig
from tracker.errors import InputError
from tracker.structures.end_reason import EndReason

app = options.CommandApp(name="live")


@app.default
def live(
    sources: Annotated[tuple[str, ...], options.help_text("Addresses of streams, or numbers of cameras.")],
    /,
    *,
    config: options.ConfigFile = None,
    quiet: options.Quiet = False,
    web: Annotated[WebConfig, options.section("Page")] = WebConfig(),
    source_settings: options.Source = options.DEFAULTS.source,
    detector: options.Detector = options.DEFAULTS.detector,
    appearance: options.Appearance = options.DEFAULTS.appearance,
    tracker: options.Tracker = options.DEFAULTS.tracker,
    output: options.Output = options.DEFAULTS.output,
) -> int:
    """Track cameras and streams until Ctrl-C, with a page that shows each of them.

    Results are written as `track` does. A lost connection is tried again forever, unless --reconnect says otherwise.
    """
    from tracker.cli.run_summary import print_failure, print_summary
    from tracker.cli.signals import stop_signals
    from tracker.pipeline.multi_source import track_all_to_files
    from tracker.pipeline.source_list import plan_sources
    from tracker.web import WebServer
    from tracker.web.live_app import create_live_app
    from tracker.web.live_camera import LiveCamera

    options.set_quiet(quiet)
    base = {"source": {"reconnect": "forever"}}
    settings = options.load_settings(config, source_settings, detector, appearance, tracker, output, base=base)
    ends: list[EndReason] = []
    with stop_signals() as signals:
        cameras = [
            LiveCamera(
                planned.name or planned.uri,
                planned.uri,
                settings.output,
                lambda: bool(signals.signal),
            )
            for planned in plan_sources(sources)
        ]
        with WebServer(create_live_app(cameras, web.token), web) as server:
            say(f"see {server.url}")
            signals.graceful = True
            with closing(track_all_to_files(sources, settings, cameras.__getitem__)) as finished:
                for number, result in finished:
                    camera = cameras[number]
                    if isinstance(result, InputError):
                        camera.error = str(result)
                        print_failure(camera.uri, result)
                        ends.append(EndReason.FAILED)
                        continue
                    ends.append(result.end)
                    camera.error = f"it ended: {result.end.value}"
                    if not quiet:
                        print_summary(result)
    # A signal is how a service is asked to stop; a source that failed before stays a failure.
    return max(map(exit_code, ends), default=signals.exit_code)
