"""Writes an embedder's metrics as tables, as JSON, and as a folder of both with plots."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from tracker.data import ReIDDataset
from tracker.data.files import write_json, write_text
from tracker.errors import InputError
from tracker.evaluation.reid.metrics import CROSS_CAMERA, ReIDMetrics, evaluate_embeddings
from tracker.evaluation.reid.retrieval import RANKS

COLUMNS = (*(f"rank-{k}" for k in RANKS), "mAP", "mINP")
PROTOCOLS = {"": "all, as in Market-1501", CROSS_CAMERA: "other cameras only"}
"""Evaluation protocols, by the suffix of the names of their metrics."""


def write_report(folder: Path, embeddings: NDArray[np.float32], crops: ReIDDataset, queries: int = 0) -> ReIDMetrics:
    """Evaluates an embedder and writes a folder of tables and plots.

    The files are report.json, report.md, cmc.png (the CMC), distances.png (distances of same and of different
    identities), best.jpg and worst.jpg (ranked lists of queries), and map.png (crops by the principal components of
    their embeddings).

    Args:
        folder: The folder, created if it is missing.
        embeddings: float32 (N, D), unit rows.
        crops: The N crops.
        queries: Number of the first crops that are the queries, the others being the gallery; 0: all crops are both.

    Raises:
        InputError: See `evaluate_embeddings`; or a file cannot be written, or an image cannot be read again.
        ModuleNotFoundError: Matplotlib is missing.
    """
    from tracker.evaluation.reid.embedding_map import write_embedding_projection
    from tracker.evaluation.reid.galleries import write_ranked_lists
    from tracker.evaluation.reid.plots import draw_cmc, draw_distances

    metrics = evaluate_embeddings(embeddings, crops, queries)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "report.json", to_dict(metrics, crops), indent=None)
        write_text(folder / "report.md", as_markdown(metrics, crops))
        draw_cmc(metrics, folder / "cmc.png")
        draw_distances(metrics, folder / "distances.png")
        write_ranked_lists(embeddings, crops, queries, metrics.retrieval, folder)
        write_embedding_projection(embeddings, crops, folder / "map.png")
    except OSError as error:
        raise InputError(f"cannot write {error.filename or folder}: {error.strerror}") from None
    return metrics


def as_tables(metrics: ReIDMetrics, crops: ReIDDataset) -> list[Table | str]:
    """Returns a table of the metrics, and sentences, for a terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("gallery", no_wrap=True)
    for title in COLUMNS:
        table.add_column(title, justify="right", no_wrap=True)
    for row in _rows(metrics):
        table.add_row(*row)
    return [table, "\n".join(_sentences(metrics, crops))]


def as_markdown(metrics: ReIDMetrics, crops: ReIDDataset) -> str:
    """Returns the table and the sentences of `as_tables` as Markdown."""
    rows = [("gallery", *COLUMNS), ("---", *["---:"] * len(COLUMNS)), *_rows(metrics)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\n" + "\n".join(f"- {line}" for line in _sentences(metrics, crops)) + "\n"


def to_dict(metrics: ReIDMetrics, crops: ReIDDataset) -> dict[str, Any]:
    """Returns all metrics as values for JSON; the distances are histograms in thousandths."""
    return {
        "crops": len(crops),
        "identities": len(crops.identities),
        "queries": len(metrics.retrieval.valid_queries),
        "metrics": metrics.metrics,
        "cmc": metrics.cmc.round(6).tolist(),
        "distances": {"same": metrics.distances.same.tolist(), "different": metrics.distances.different.tolist()},
        "track_distances": {
            "same": metrics.track_distances.same.tolist(),
            "different": metrics.track_distances.different.tolist(),
        },
    }


def _rows(metrics: ReIDMetrics) -> Iterator[tuple[str, ...]]:
    for suffix, protocol in PROTOCOLS.items():
        if f"mAP{suffix}" in metrics.metrics:
            yield protocol, *(f"{metrics.metrics[name + suffix]:.1%}" for name in COLUMNS)


def _sentences(results: ReIDMetrics, crops: ReIDDataset) -> Iterator[str]:
    metrics, num_queries = results.metrics, len(results.retrieval.valid_queries)
    unmatched = len(results.retrieval.num_matches) - num_queries
    ignored = f"; {unmatched} more have no match and are ignored" if unmatched else ""
    yield f"{len(crops)} crops of {len(crops.identities)} identities, {num_queries} queries{ignored}"
    yield (
        f"crop to crop: AUC {metrics['AUC']:.3f}, EER {metrics['EER']:.1%} at cosine distance "
        f"{metrics['EER distance']:.3f}"
    )
    yield (
        f"crop to the mean of an identity, as in the tracker: AUC {metrics['AUC/track']:.3f}; "
        f"same and different are equally likely at cosine distance {metrics['max distance']:.3f}"
    )
