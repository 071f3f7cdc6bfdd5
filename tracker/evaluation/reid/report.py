"""An embedder's figures as tables for people, as JSON for programs, and as a folder of both with pictures."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from tracker.data import ReIDDataset
from tracker.errors import InputError
from tracker.evaluation.reid.metrics import ACROSS, ReIDMetrics, measured
from tracker.evaluation.reid.retrieval import RANKS

COLUMNS = (*(f"rank-{k}" for k in RANKS), "mAP", "mINP")
RULES = {"": "all, as in Market-1501", ACROSS: "other cameras only"}
"""What a query's gallery is, by what the names of its figures end with."""


def write_report(folder: Path, embeddings: NDArray[np.float32], crops: ReIDDataset, queries: int = 0) -> ReIDMetrics:
    """Measures an embedder and fills a folder with what a person wants to see of it.

    These are report.json, report.md, cmc.png (the CMC), distances.png (the distances of the same and of different
    individuals), best.jpg and worst.jpg (queries with what was found for them), and map.png (who looks like whom).

    Args:
        folder: Where they go; it is made where it is missing.
        embeddings: float32 (N, D), unit rows.
        crops: The N crops.
        queries: So many of the first crops are the queries, and the others the gallery; 0: all crops are both.

    Raises:
        InputError: As `measured`; or a file cannot be written, or a picture not be read again.
        ModuleNotFoundError: Matplotlib is missing.
    """
    from tracker.evaluation.reid.embedding_map import write_embedding_projection
    from tracker.evaluation.reid.galleries import write_ranked_lists
    from tracker.evaluation.reid.plots import draw_cmc, draw_distances

    scores = measured(embeddings, crops, queries)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(plain(scores, crops), folder / "report.json")
        (folder / "report.md").write_text(as_markdown(scores, crops), encoding="utf-8")
        draw_cmc(scores, folder / "cmc.png")
        draw_distances(scores, folder / "distances.png")
        write_ranked_lists(embeddings, crops, queries, scores.retrieval, folder)
        write_embedding_projection(embeddings, crops, folder / "map.png")
    except OSError as error:
        raise InputError(f"cannot write {error.filename or folder}: {error.strerror}") from None
    return scores


def as_tables(scores: ReIDMetrics, crops: ReIDDataset) -> list[Table | str]:
    """What a terminal shows: figures and sentences."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("gallery", no_wrap=True)
    for title in COLUMNS:
        table.add_column(title, justify="right", no_wrap=True)
    for row in _rows(scores):
        table.add_row(*row)
    return [table, "\n".join(_sentences(scores, crops))]


def as_markdown(scores: ReIDMetrics, crops: ReIDDataset) -> str:
    """The same as Markdown."""
    rows = [("gallery", *COLUMNS), ("---", *["---:"] * len(COLUMNS)), *_rows(scores)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\n" + "\n".join(f"- {line}" for line in _sentences(scores, crops)) + "\n"


def plain(scores: ReIDMetrics, crops: ReIDDataset) -> dict[str, Any]:
    """Everything that was measured, in plain values; the distances by thousandths, from 0 on."""
    return {
        "crops": len(crops),
        "individuals": len(crops.identities),
        "queries": len(scores.retrieval.counted),
        "figures": scores.figures,
        "cmc": scores.cmc.round(6).tolist(),
        "distances": {"same": scores.distances.same.tolist(), "different": scores.distances.different.tolist()},
        "track_distances": {
            "same": scores.track_distances.same.tolist(),
            "different": scores.track_distances.different.tolist(),
        },
    }


def write_json(values: dict[str, Any], path: Path) -> None:
    """Writes plain values.

    Raises:
        InputError: The file cannot be written.
    """
    try:
        path.write_text(json.dumps(values) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def _rows(scores: ReIDMetrics) -> Iterator[tuple[str, ...]]:
    for suffix, words in RULES.items():
        if f"mAP{suffix}" in scores.figures:
            yield words, *(f"{scores.figures[name + suffix]:.1%}" for name in COLUMNS)


def _sentences(scores: ReIDMetrics, crops: ReIDDataset) -> Iterator[str]:
    figures, queries = scores.figures, len(scores.retrieval.counted)
    left = len(scores.retrieval.matches) - queries
    alone = f"; {left} more have no match and do not count" if left else ""
    yield f"{len(crops)} crops of {len(crops.identities)} individuals, {queries} queries{alone}"
    yield (
        f"crop against crop: AUC {figures['AUC']:.3f}, equal error {figures['equal error']:.1%} at cosine distance "
        f"{figures['equal-error distance']:.3f}"
    )
    yield (
        f"crop against the mean of an individual, as the tracker has it: AUC {figures['AUC/track']:.3f}; "
        f"as likely the same as not at cosine distance {figures['max distance']:.3f}"
    )
