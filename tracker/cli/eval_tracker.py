"""What a person sees of an evaluation: tables of scores, a diagram, and pictures of what went wrong."""

from pathlib import Path

from rich.console import Console

from tracker.cli.console import check_output, page, print_report
from tracker.errors import InputError
from tracker.evaluation import read_sequences, score_sequences
from tracker.evaluation.mot.files import Pairs
from tracker.evaluation.mot.report import run_names, score_tables, write_scores


def score_and_show(
    results: Path,
    gt: Path,
    against: Path | None,
    json: Path | None,
    plot: Path | None,
    errors: Path | None,
    video: str,
    overwrite: bool,
) -> int:
    """Scores tracks, prints the figures, and writes what else is asked for; returns the exit code.

    Args:
        results: Tracks, as `read_sequences` takes them.
        gt: Their truth.
        against: Other tracks, to compare with.
        json: File for the figures.
        plot: File for a diagram.
        errors: Folder for pictures of the id switches.
        video: Where these pictures come from, as `find_videos` takes it.
        overwrite: Whether the two files may exist.

    Raises:
        InputError: Something cannot be read or written; nothing is printed then.
        ModuleNotFoundError: A package of the extra [eval] is missing.
    """
    if (errors is None) != (not video):
        raise InputError("--errors draws into pictures of the video, and --video is for that alone: give both")
    check_output(json, (".json",), overwrite)
    check_output(plot, (".png", ".svg", ".pdf"), overwrite)
    pairs = read_sequences(results, gt)
    runs = {results.resolve().name: score_sequences(pairs)}
    if against:
        others = read_sequences(against, gt)
        if others.keys() != pairs.keys():
            raise InputError(f"{results} and {against} are not of the same sequences: give both as files or as folders")
        runs = dict(zip(run_names(results, against), (*runs.values(), score_sequences(others)), strict=True))
    drawn = _draw_switches(pairs, video, errors) if errors else ""
    if plot:
        from tracker.evaluation.mot.plots import draw_curves

        draw_curves(runs, plot)
    if json:
        write_scores(runs, json)
    console = page()
    print_report(console, score_tables(runs, console.width))
    print(end=drawn)
    return 0


def _draw_switches(pairs: Pairs, video: str, folder: Path) -> str:
    """Draws them, and says how many there are and where."""
    from tracker.evaluation.mot.id_switches.report import find_videos, write_switches

    videos = find_videos(video, pairs)
    with Console(stderr=True).status("drawing the id switches"):
        count = write_switches(pairs, videos, folder)
    return f"drew {count} id switches: {folder / 'index.html'}\n"
