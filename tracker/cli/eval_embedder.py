"""What a person sees of an embedder's evaluation: progress, tables, and where the files are."""

import os
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from tracker.cli.console import check_folder, check_output, page, print_report, progress
from tracker.config import EmbedderEvalConfig
from tracker.data.annotations.mot import sequences_in
from tracker.errors import InputError
from tracker.evaluation.reid import embed_crops, measured, write_report
from tracker.evaluation.reid.baselines import BASELINES, open_embedder, open_for_pictures
from tracker.evaluation.reid.inference import read_search, seconds_per_crop
from tracker.evaluation.reid.report import as_tables, plain, write_json
from tracker.evaluation.reid.temporal_gap import embed_objects, known_objects, temporal_retrieval
from tracker.models.reid import Embedder, embedder_path

GAP_COLUMNS = {"rank-1": "rank-1", "AUC": "AUC", "AUC/track": "AUC of tracks", "max distance": "max distance"}


def embed_and_show(
    folders: Sequence[Path],
    query: Path | None,
    config: EmbedderEvalConfig,
    json: Path | None,
    report: Path | None,
    overwrite: bool,
) -> int:
    """Embeds crops of known individuals, prints how well these are told apart, and writes what is asked for.

    Args:
        folders: The crops, see `read_crops`.
        query: A folder of the queries; None where each crop is one.
        config: The embedder.
        json: File for the figures.
        report: Folder for everything.
        overwrite: Whether the file may exist, and the folder may hold something.

    Returns:
        The exit code.

    Raises:
        InputError: Something cannot be read or written.
        ModuleNotFoundError: A package of the extra [eval] is missing.
    """
    check_output(json, (".json",), overwrite)
    check_folder(report, overwrite)
    crops, queries = read_search(folders, query)
    with open_embedder(config) as embedder, progress("embedding") as show:
        embeddings = embed_crops(embedder, crops, lambda done, total: show(done, total, f"{done}/{total} pictures"))
        cost = _cost(embedder, config)
    scores = write_report(report, embeddings, crops, queries) if report else measured(embeddings, crops, queries)
    if json:
        write_json(plain(scores, crops), json)
    print_report(page(), [*as_tables(scores, crops), cost])
    if report:
        print(f"wrote {report}")
    return 0


def eval_temporal_gap(
    folders: Sequence[Path],
    gaps: Sequence[int],
    detections: str,
    config: EmbedderEvalConfig,
    json: Path | None,
    overwrite: bool,
) -> int:
    """Prints how well the objects of sequences are told apart after some frames.

    Args:
        folders: Sequences in the layout of the MOTChallenge, or folders of such.
        gaps: Frames.
        detections: See `known_objects`.
        config: The embedder, or a detector whose features embed.
        json: File for the figures.
        overwrite: Whether that may exist.

    Returns:
        The exit code.

    Raises:
        InputError: Something cannot be read or written.
    """
    check_output(json, (".json",), overwrite)
    figures: dict[str, dict[str, dict[str, float]]] = {}
    with open_for_pictures(config) as embedder:
        for place in _sequences(folders):
            rows = known_objects(place, detections)
            with progress(f"embedding {place.name}") as show:
                seen = embed_objects(
                    embedder, place, rows, lambda done, total: show(done, total, f"{done}/{total} frames")
                )
            figures[place.name] = {str(gap): temporal_retrieval(seen, gap) for gap in gaps}
    if json:
        write_json(figures, json)
    print_report(page(), [_gap_table(figures)])
    return 0


def _sequences(folders: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for folder in folders:
        try:
            inside = sequences_in(folder)
        except OSError as error:
            raise InputError(f"cannot read {folder}: {error.strerror} - give a folder with gt/gt.txt") from None
        if not inside:
            raise InputError(f"{folder} holds no gt/gt.txt: --gap needs sequences in the layout of the MOTChallenge")
        found += [place.resolve() for place in inside]
    return found


def _gap_table(figures: dict[str, dict[str, dict[str, float]]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("sequence", no_wrap=True)
    for title in ("frames", *GAP_COLUMNS.values()):
        table.add_column(title, justify="right", no_wrap=True)
    for name, by_gap in figures.items():
        for gap, found in by_gap.items():
            table.add_row(name, gap, *(f"{found[key]:.3f}" for key in GAP_COLUMNS))
    return table


def _cost(embedder: Embedder, config: EmbedderEvalConfig) -> str:
    threads = config.threads or os.cpu_count() or 1
    seconds = seconds_per_crop(embedder, threads)
    size = "" if config.weights in BASELINES else f", {embedder_path(config.weights).stat().st_size / 1e6:.1f} MB"
    side = f"{threads} thread{'s' * (threads != 1)}" if embedder.device.type == "cpu" else str(embedder.device)
    return f"{config.weights}: {seconds * 1000:.2f} ms a crop in batches ({side}), {embedder.dimension} numbers{size}"
