"""The summary of a run that is printed at its end; of several sources, a table of their ends, and their errors."""

import os
from collections.abc import Container, Mapping, Sequence
from typing import Any

from rich.table import Table

from tracker.cli.console import SafeConsole, print_report, report_console, say_error, write_output
from tracker.errors import InputError
from tracker.pipeline.run_result import RunResult
from tracker.pipeline.summary import TrackSummary
from tracker.structures.end_reason import EndReason


def print_summary(result: RunResult) -> None:
    """Prints the number of frames and tracks, the longest tracks, and the files that were written."""
    console = SafeConsole(highlight=False, markup=False)
    with console.capture() as captured:
        for line in _lines(result):
            console.print(line)
        longest = result.summary.longest()
        if longest:
            console.print(_table(longest))
        for path in result.output_paths:
            console.print(f"wrote {path}", soft_wrap=True)
    write_output(captured.get())


def end_line(source: str, result: RunResult) -> str:
    """Returns one line about a run that ended: its frames, time, tracks and files."""
    end = "" if result.end is EndReason.COMPLETE else f", {result.end.value}"
    return (
        f"{source}: {result.frames} frames in {result.elapsed:.1f} s{end}; tracks: {_counts(result)}; {_place(result)}"
    )


def print_ends(sources: Sequence[str], results: Mapping[int, RunResult | InputError], started: Container[int]) -> None:
    """Prints a table of several sources: how each ended, what was found in it, and where the results are.

    Args:
        sources: The names of all sources.
        results: The result or the error of each source that ended, by its index.
        started: The indices of the sources that were begun.
    """
    table = Table(box=None, pad_edge=False)
    for title in ("source", "end", "frames", "seconds", "tracks", "results"):
        right = title in ("frames", "seconds")
        table.add_column(title, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for number, source in enumerate(sources):
        result = results.get(number)
        if isinstance(result, RunResult):
            cells = result.end.value, str(result.frames), f"{result.elapsed:.1f}", _counts(result), _place(result)
        elif result is not None:
            cells = EndReason.FAILED.value, "", "", "", ""
        else:
            cells = "unfinished" if number in started else "not started", "", "", "", ""
        table.add_row(source, *cells)
    print_report(report_console(), [table])


def _counts(result: RunResult) -> str:
    """Returns the number of tracks of each class, the most frequent one first."""
    return ", ".join(f"{count} {name}" for name, count in result.summary.counts.most_common() if count) or "none"


def _place(result: RunResult) -> str:
    """Returns the folder of the results, and the files outside of it."""
    paths = result.output_paths
    folder = paths[-1].parent if paths and paths[-1].name == "run.json" else None
    inside = [] if folder is None else [f"{folder}{os.sep}"]
    return ", ".join([*inside, *(str(path) for path in paths if path.parent != folder)])


def _lines(result: RunResult) -> list[str]:
    rate = f" ({result.frames / result.elapsed:.1f} frames/s)" if result.elapsed else ""
    lines = [f"{result.frames} frames in {result.elapsed:.1f} s{rate}{', stopped' if result.stopped else ''}"]
    if result.frames_kept:
        lines.append(f"the detections of {result.frames_kept} frames were kept from before")
    if result.corrupt_packets:
        lines.append(f"{result.corrupt_packets} corrupt packets were skipped")
    if result.live:
        lines += _live_lines(result.live)
    if result.frames_predicted:
        lines.append(f"the detector did not run on {result.frames_predicted} frames; their boxes are predicted")
    if result.filtered_out:
        lines.append(f"{result.filtered_out} stored detections were left out: score, class, or outside of the image")
    if result.outside_roi:
        lines.append(f"{result.outside_roi} detections were not tracked: outside of the regions of interest")
    if result.truncated:
        lines.append("the file ends before its stated end; it was processed as far as it goes")
    if result.end in (EndReason.BROKE_OFF, EndReason.STALLED):
        lines.append(f"the source {'broke off' if result.end is EndReason.BROKE_OFF else 'stalled'}")
    return [*lines, f"tracks: {_counts(result)}"]


def _live_lines(live: dict[str, Any]) -> list[str]:
    """Returns what became of the frames of a live source, and of its connection."""
    dropped = ", ".join(f"{count} {reason}" for reason, count in live["dropped"].items() if count)
    lines = [f"{live['captured']} frames came, {sum(live['dropped'].values())} of them were dropped"]
    lines[0] += f" ({dropped})" if dropped else ""
    if live["reconnects"]:
        times = "once" if live["reconnects"] == 1 else f"{live['reconnects']} times"
        lines.append(f"the connection was restored {times}")
    return lines


def _table(longest: list[TrackSummary]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("id", "class", "from s", "to s", "seconds", "frames"):
        table.add_column(title, justify="left" if title == "class" else "right")
    for track in longest:
        times = (track.first, track.last, track.duration)
        table.add_row(str(track.track_id), track.category, *(f"{t:.2f}" for t in times), str(track.frames))
    return table


def print_failure(source: str, error: InputError) -> None:
    """Prints the error of one of several sources, in one line."""
    text = " ".join(str(error).split())
    say_error(f"track: {text if source in text else f'{source}: {text}'}")


def print_failures(failed: Sequence[str], total: int) -> None:
    """Prints which of several sources failed, if any did."""
    if failed:
        say_error(f"track: {len(failed)} of {total} sources failed: {', '.join(failed)}")
