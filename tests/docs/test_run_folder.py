"""The queries of docs/run-folder.md, on a run with stub networks."""

from pathlib import Path

import numpy as np
import pytest

from doc_commands import fenced_blocks
from paths import REPOSITORY
from stub_networks import moving_clip
from tracker import Config, track_to_files

PAGE = (REPOSITORY / "docs" / "run-folder.md").read_text(encoding="utf-8")
duckdb = pytest.importorskip("duckdb")


def test_the_queries_of_the_guide(stubbed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    moving_clip(Path("video.mp4"), 60)
    result = track_to_files("video.mp4", Config())
    rows = [duckdb.sql(query).fetchall() for query in fenced_blocks(PAGE, "sql")]
    assert len(rows) == 5
    objects, minutes, minute, speeds, scores = rows
    assert {name: count for name, count, _ in objects} == result.summary.counts
    assert minutes == [(0.0, result.summary.counts.total())]
    assert len(minute) == len(Path("tracked/video/tracks.csv").read_text().splitlines()) - 1
    assert speeds[0][1] == pytest.approx(20, rel=0.2)  # 2 pixels a frame, at 10 frames/s
    assert [(name, score) for name, score, _ in scores] == [("car", pytest.approx(0.9)), ("person", pytest.approx(0.9))]
    embedding = duckdb.sql("SELECT embedding FROM 'tracked/video/detections/*.parquet' LIMIT 1").fetchall()[0][0]
    assert np.linalg.norm(np.array(embedding, np.float32)) == pytest.approx(1, abs=0.02)
    (program,) = fenced_blocks(PAGE, "python")
    values: dict[str, object] = {}
    exec(program, values)
    assert len(values["minute"]) == len(minute)  # type: ignore[arg-type]
