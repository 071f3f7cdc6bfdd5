"""`track eval embedder`: evaluates an embedder on crops of known identities, or on sequences."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

from rich.table import Table

from tracker.cli.console import check_folder, check_output, print_report, report_console, say
from tracker.cli.options import CommandApp, help_text, section, split_numbers
from tracker.cli.progress import progress
from tracker.config import EmbedderEvalConfig
from tracker.data.annotations.mot import list_sequences
from tracker.data.files import write_json
from tracker.errors import InputError
from tracker.evaluation.reid import embed_crops, evaluate_embeddings, write_report
from tracker.evaluation.reid.baselines import BASELINES, open_embedder, open_image_embedder
from tracker.evaluation.reid.inference import read_query_gallery, seconds_per_crop
from tracker.evaluation.reid.report import as_tables, to_dict
from tracker.evaluation.reid.temporal_gap import embed_objects, read_labeled_boxes, temporal_retrieval
from tracker.models.reid import Embedder, embedder_path

GAP_COLUMNS = {"rank-1": "rank-1", "AUC": "AUC", "AUC/track": "AUC of tracks", "max distance": "max distance"}

app = CommandApp(name="embedder")


@app.default
def eval_embedder(
    folders: Annotated[
        tuple[Path, ...],
        help_text(
            "Crops of known identities: files named ID_cCAMERA... as in Market-1501, a folder for each identity, or "
            "MOTChallenge sequences with img1/."
        ),
    ],
    /,
    *,
    query: Annotated[
        Path | None, help_text("A folder of queries; without it each crop is a query of all others.")
    ] = None,
    gap: Annotated[
        tuple[str, ...],
        help_text("Compare the objects of sequences with those so many frames later: 1,7,30. Takes a video too."),
    ] = (),
    det: Annotated[
        str, help_text("With --gap, a file in the folders det/ whose boxes are used, not those of gt/.")
    ] = "",
    json: Annotated[Path | None, help_text("Write all metrics to this file.")] = None,
    report: Annotated[
        Path | None, help_text("Folder for curves, distances, best and worst queries, and a map of the embeddings.")
    ] = None,
    overwrite: Annotated[bool, help_text("Replace the file of --json, and files in the folder of --report.")] = False,
    settings: Annotated[EmbedderEvalConfig, section("Embedder")] = EmbedderEvalConfig(),
) -> int:
    """Runs the command; returns the exit code."""
    if gap and (query or report):
        raise InputError("--gap compares frames of a sequence, and has no queries and no report: leave these out")
    if det and not gap:
        raise InputError("--det is for --gap alone: give both, or none")
    check_output(json, (".json",), overwrite)
    check_folder(report, overwrite)
    if gap:
        _eval_temporal_gap(folders, split_numbers(gap, "--gap"), det, settings, json)
        return 0
    crops, queries = read_query_gallery(folders, query)
    with open_embedder(settings) as embedder, progress("embedding") as show:
        embeddings = embed_crops(embedder, crops, lambda done, total: show(done, total, f"{done}/{total} images"))
        cost = _cost(embedder, settings)
    evaluate = partial(write_report, report) if report else evaluate_embeddings
    metrics = evaluate(embeddings, crops, queries)
    if json:
        write_json(json, to_dict(metrics, crops), indent=None)
    print_report(report_console(), [*as_tables(metrics, crops), cost])
    if report:
        say(f"wrote {report}")
    return 0


def _eval_temporal_gap(
    folders: Sequence[Path], gaps: Sequence[int], detections: str, config: EmbedderEvalConfig, json: Path | None
) -> None:
    """Prints how well the objects of sequences are matched after gaps of some frames."""
    metrics: dict[str, dict[str, dict[str, float]]] = {}
    with open_image_embedder(config) as embedder:
        for folder in _sequence_folders(folders):
            boxes = read_labeled_boxes(folder, detections)
            with progress(f"embedding {folder.name}") as show:
                objects = embed_objects(
                    embedder, folder, boxes, lambda done, total: show(done, total, f"{done}/{total} frames")
                )
            metrics[folder.name] = {str(gap): temporal_retrieval(objects, gap) for gap in gaps}
    if json:
        write_json(json, metrics, indent=None)
    print_report(report_console(), [_gap_table(metrics)])


def _sequence_folders(folders: Sequence[Path]) -> list[Path]:
    sequences: list[Path] = []
    for folder in folders:
        try:
            inside = list_sequences(folder)
        except OSError as error:
            raise InputError(f"cannot read {folder}: {error.strerror} - give a folder with gt/gt.txt") from None
        if not inside:
            raise InputError(f"{folder} holds no gt/gt.txt: --gap needs sequences in the layout of the MOTChallenge")
        sequences += [path.resolve() for path in inside]
    return sequences


def _gap_table(metrics: dict[str, dict[str, dict[str, float]]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("sequence", no_wrap=True)
    for title in ("frames", *GAP_COLUMNS.values()):
        table.add_column(title, justify="right", no_wrap=True)
    for name, by_gap in metrics.items():
        for gap, values in by_gap.items():
            table.add_row(name, gap, *(f"{values[key]:.3f}" for key in GAP_COLUMNS))
    return table


def _cost(embedder: Embedder, config: EmbedderEvalConfig) -> str:
    threads = config.threads or os.cpu_count() or 1
    seconds = seconds_per_crop(embedder, threads)
    size = "" if config.weights in BASELINES else f", {embedder_path(config.weights).stat().st_size / 1e6:.1f} MB"
    device = f"{threads} thread{'s' * (threads != 1)}" if embedder.device.type == "cpu" else str(embedder.device)
    return f"{config.weights}: {seconds * 1000:.2f} ms a crop in batches ({device}), {embedder.dimension} numbers{size}"
