"""`track quality`: the quality of the tracks of a run, without ground truth."""

from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import RenderableType
from rich.table import Table

from tracker.cli.analytics import Run
from tracker.cli.console import check_output, print_report, report_console
from tracker.cli.options import CommandApp, help_text
from tracker.data.run_tracks import read_run_tracks
from tracker.errors import InputError

if TYPE_CHECKING:
    from tracker.evaluation.quality import Quality

app = CommandApp(name="quality")

_MOST_ROWS = 40
_COLUMNS = ("track", "class", "from s", "to s", "agreement", "fill", "fragments", "jumps", "appearance")


@app.default
def quality(
    run: Run,
    /,
    *,
    output: Annotated[Path | None, help_text("A .csv or .parquet for the measures of all tracks.")] = None,
    detections: Annotated[
        str, help_text("Its detections, a file or the folder of another run, where the run did not store them.")
    ] = "",
    overwrite: Annotated[bool, help_text("Replace the file of --output.")] = False,
) -> None:
    """Runs the command."""
    from tracker.evaluation.quality import TrackQuality, measure_run
    from tracker.output.rows import write_rows

    check_output(output, (".csv", ".parquet"), overwrite)
    tracks = read_run_tracks(run)
    if not len(tracks):
        raise InputError(f"{run} has no tracks: there is nothing to measure")
    found = measure_run(tracks, detections)
    lines = [f"{name:22}{text}" for name, text in found.describe().items()]
    parts: list[RenderableType] = [_table(found), "\n".join(lines)]
    if output:
        write_rows(output, TrackQuality, found.tracks)
        parts.append(f"wrote {output}")
    elif len(found.tracks) > _MOST_ROWS:
        parts.insert(1, f"and {len(found.tracks) - _MOST_ROWS} tracks more, which --output writes")
    print_report(report_console(), parts)


def _table(found: "Quality") -> Table:
    """Returns the tracks as a table, those of the least agreement first."""
    table = Table(box=None, pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "class" else "right")
    for one in sorted(found.tracks, key=lambda track: track.agreement)[:_MOST_ROWS]:
        table.add_row(
            str(one.track_id),
            one.category,
            f"{one.start_s:.1f}",
            f"{one.end_s:.1f}",
            *(f"{value:.2f}" for value in (one.agreement, one.fill)),
            str(one.fragments),
            str(one.jumps),
            "-" if isnan(one.appearance) else f"{one.appearance:.2f}",
        )
    return table
