"""`track view RUNS`: a page with the video and the tracks of finished runs, to look at and to repair."""

from pathlib import Path
from typing import Annotated

from tracker.cli.console import say
from tracker.cli.options import CommandApp, help_text, section
from tracker.cli.signals import stop_signals
from tracker.config import WebConfig

app = CommandApp(name="view")


@app.default
def view(
    runs: Annotated[tuple[Path, ...], help_text("Folders of runs, such as tracked/video, or a folder of runs.")],
    /,
    *,
    settings: Annotated[WebConfig, section("Page")] = WebConfig(),
) -> int:
    """Runs the command; returns the exit code."""
    from tracker.web import WebServer
    from tracker.web.view import create_view_app, find_runs

    found = find_runs(runs)
    with stop_signals() as signals, WebServer(create_view_app(found, settings.token), settings) as server:
        try:
            signals.graceful = True
            say(f"{server.url}", "Ctrl-C ends the page.")
            while not signals.signal and server.wait(0.2):
                pass
        finally:
            for run in found:  # before the server waits for its last answers
                run.close()
    return signals.exit_code
