"""`track import`: the tracks of another program as the folder of a run."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tracker.cli.console import say
from tracker.cli.options import CommandApp, help_text
from tracker.config.base import parse_frame_rate
from tracker.errors import InputError

app = CommandApp(name="import")


@app.default
def import_(
    tracks: Annotated[
        Path,
        help_text(
            "A file of tracks: MOTChallenge (.txt), a table of `track` or VIA-tracks (.csv), COCO with track_id or "
            "DIVE (.json), or CVAT for video (.xml)."
        ),
    ],
    /,
    *,
    video: Annotated[str, help_text("Their video, which gives the times of the frames.")] = "",
    fps: Annotated[str, help_text("Frames per second, without a video: 25, 29.97 or 30000/1001.")] = "",
    output: Annotated[
        Path | None, Parameter(alias="-o", help="The folder of the run; without it a new one, tracked/NAME.")
    ] = None,
    overwrite: Annotated[bool, help_text("Replace the tables of a folder that exists.")] = False,
) -> None:
    """Runs the command."""
    from fractions import Fraction

    from tracker.pipeline.import_tracks import import_tracks

    try:
        rate = parse_frame_rate(fps) if fps else Fraction(0)
    except ValueError as error:
        raise InputError(f"--fps {fps}: {error}") from None
    made = import_tracks(tracks, video, output, rate, overwrite)
    count = len(set(made.ids.tolist()))
    say(f"{count} tracks with {len(made)} boxes: wrote the folder of a run, {made.folder}")
