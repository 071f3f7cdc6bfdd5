"""`track why RUN TRACK`: explains why a track is as it is."""

from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tracker.cli.console import check_output, say
from tracker.cli.edit import parse_time
from tracker.cli.options import CommandApp, help_text
from tracker.errors import InputError

if TYPE_CHECKING:
    from tracker.pipeline.explain import Account

app = CommandApp(name="why")

_SUFFIXES = (".csv", ".parquet", ".json")


@app.default
def why(
    run: Annotated[Path, help_text("The folder of a run, such as tracked/video.")],
    track: Annotated[int, help_text("Id of the track.")],
    /,
    *,
    at: Annotated[
        str, help_text("Time of one frame to explain in detail: seconds since the first frame, or 1:02:03.5.")
    ] = "",
    start: Annotated[str, help_text("Time from which on each frame is explained, like --at.")] = "",
    end: Annotated[str, help_text("Time up to which each frame is explained, like --at.")] = "",
    video: Annotated[
        str, help_text("The video of the run, where it is needed (--camera-motion flow) and no longer at its place.")
    ] = "",
    output: Annotated[
        Path | None, help_text("Table of all decisions, a row for each: a .csv, .parquet or .json file.")
    ] = None,
    overwrite: Annotated[bool, help_text("Replace the file of --output.")] = False,
) -> None:
    """Runs the command."""
    # These take a while to import, and `--help` does without.
    from tracker.pipeline.explain import RunExplainer

    if at and (start or end):
        raise InputError("give either --at, or --start and --end")
    first = parse_time(start, "--start") if start else 0.0
    last = parse_time(end, "--end") if end else inf
    if first > last:
        raise InputError(f"--end {end} is before --start {start}")
    moment = parse_time(at) if at else None
    check_output(output, _SUFFIXES, overwrite)
    explainer = RunExplainer(run, video)
    account = explainer.explain(track)
    if moment is not None:
        first, last = _frame(account, moment)
    if output is not None:
        _write(account, output, first, last)
        say(f"wrote {output}")
        return
    say(account.heading(), *account.edit_lines())
    if at or start or end:
        lines = [line for _, _, line in account.decisions(first, last)]
        say(*(map(str, lines) if lines else [f"nothing was decided about track {track} then"]))
    else:
        say(*map(str, account.lines()))


def _frame(account: "Account", time: float) -> tuple[float, float]:
    """Returns the time of the last decision until a time, seconds, twice: the frame that is shown then.

    Raises:
        InputError: The track did not exist then.
    """
    times = [line.start for _, _, line in account.decisions(0.0, inf)]
    before = [one for one in times if one <= time + 1e-6]
    if not before or time > max(times) + 1:
        raise InputError(
            f"nothing was decided about track {account.row.id} at {time:g} s: it is known from {min(times):.2f} s to "
            f"{max(times):.2f} s"
        )
    return before[-1], before[-1]


def _write(account: "Account", path: Path, start: float, end: float) -> None:
    from dataclasses import asdict

    from tracker.data.files import write_json
    from tracker.output.rows import write_rows
    from tracker.pipeline.explain import DecisionRow, decision_rows

    rows = decision_rows(account, start, end)
    if path.suffix.lower() != ".json":
        write_rows(path, DecisionRow, rows)
        return
    edits = account.edit_lines()
    lines = [asdict(line) for line in account.lines() if line.start <= end and line.end >= start]
    known = [{name: None if value != value else value for name, value in asdict(row).items()} for row in rows]
    write_json(path, {"track": asdict(account.row), "edits": edits, "account": lines, "decisions": known})
