"""`track eval tracker`: evaluates tracks against ground truth, with plots and images of the id switches."""

from pathlib import Path
from typing import Annotated

from tracker.cli.console import check_output, error_console, print_report, report_console, say
from tracker.cli.options import CommandApp, help_text
from tracker.errors import InputError
from tracker.evaluation import evaluate_sequences, read_sequences
from tracker.evaluation.mot.files import SequencePairs
from tracker.evaluation.mot.report import metrics_tables, run_names, write_metrics

app = CommandApp(name="tracker")


@app.default
def eval_tracker(
    results: Annotated[Path, help_text("Tracks: .txt (MOTChallenge) or our .csv, or a folder of NAME.txt, NAME.csv.")],
    gt: Annotated[Path, help_text("Ground truth in the same form, or a folder of NAME/gt/gt.txt.")],
    /,
    *,
    against: Annotated[Path | None, help_text("Other results, to compare with.")] = None,
    json: Annotated[Path | None, help_text("Write the metrics to this file.")] = None,
    plot: Annotated[Path | None, help_text("Plot HOTA, DetA and AssA over the IoU: .png, .svg or .pdf.")] = None,
    errors: Annotated[Path | None, help_text("Folder for an image of each id switch; needs --video.")] = None,
    video: Annotated[str, help_text("The video, or for folders one of NAME/video.mp4, NAME.mp4 or NAME/img1.")] = "",
    overwrite: Annotated[bool, help_text("Replace the files of --json and --plot.")] = False,
) -> int:
    """Runs the command; returns the exit code."""
    if (errors is None) != (not video):
        raise InputError("--errors draws into frames of the video, and --video is only for that: give both")
    check_output(json, (".json",), overwrite)
    check_output(plot, (".png", ".svg", ".pdf"), overwrite)
    pairs = read_sequences(results, gt)
    runs = {results.resolve().name: evaluate_sequences(pairs)}
    if against:
        others = read_sequences(against, gt)
        if others.keys() != pairs.keys():
            raise InputError(f"{results} and {against} are not of the same sequences: give both as files or as folders")
        runs = dict(zip(run_names(results, against), (*runs.values(), evaluate_sequences(others)), strict=True))
    drawn = _draw_switches(pairs, video, errors) if errors else ""
    if plot:
        from tracker.evaluation.mot.plots import draw_curves

        draw_curves(runs, plot)
    if json:
        write_metrics(runs, json)
    console = report_console()
    print_report(console, metrics_tables(runs, console.width))
    if drawn:
        say(drawn)
    return 0


def _draw_switches(pairs: SequencePairs, video: str, folder: Path) -> str:
    """Draws them, and says how many there are and where."""
    from tracker.evaluation.mot.id_switches.report import find_videos, write_id_switches

    videos = find_videos(video, pairs)
    with error_console().status("drawing the id switches"):
        count = write_id_switches(pairs, videos, folder)
    return f"drew {count} id switches: {folder / 'index.html'}"
