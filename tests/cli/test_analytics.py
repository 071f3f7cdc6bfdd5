"""`track count`, `track speed` and `track heatmap`."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from run_folders import make_run, walk
from video_clips import write_clip

ZONES = """
lines:
  gate: [[0.5, 0.2], [0.5, 0.8]]
zones:
  left: [[0, 0], [0.3, 0], [0.3, 1], [0, 1]]
  right: [[0.7, 0], [1, 0], [1, 1], [0.7, 1]]
calibration:
  length: {image: [[0.1, 0.5], [0.9, 0.5]], metres: 40}
"""


@pytest.fixture(name="run")
def make_crossing(tmp_path: Path) -> Path:
    clip = write_clip(tmp_path / "clip.mp4", 33, 10, size=(100, 100))
    run = make_run({7: walk((10, 50), (90, 50), range(33))}, tmp_path / "tracked" / "clip", source={"path": str(clip)})
    (run / "zones.yaml").write_text(ZONES)
    return run


def test_count_writes_tables_and_prints_counts(track: Callable[..., tuple[int, str, str]], run: Path) -> None:
    code, out, err = track("count", run)
    assert (code, err) == (0, "") and "gate  left       person       0     3      1  1 to 1" in out
    tables = {path.stem: list(csv.DictReader(path.read_text().splitlines())) for path in (run / "analytics").iterdir()}
    assert {name: len(rows) for name, rows in tables.items()} == {
        "counts": 2,
        "crossings": 1,
        "visits": 2,
        "occupancy": 2,
        "flows": 1,
    }
    assert [row["count"] for row in tables["counts"]] == ["0", "1"]
    assert tables["flows"][0] | {"mean_s": ""} == {
        "origin": "left",
        "destination": "right",
        "class": "person",
        "count": "1",
        "low": "1",
        "high": "1",
        "mean_s": "",
    }


def test_repairs_count(track: Callable[..., tuple[int, str, str]], run: Path) -> None:
    assert track("edit", run, "delete", 7)[0] == 0
    assert "1 to 1" not in track("count", run)[1]


def test_tables_as_parquet_in_another_folder(track: Callable[..., tuple[int, str, str]], run: Path) -> None:
    assert track("count", run, "--format", "parquet", "--output", run / "mine", "--interval", 1)[0] == 0
    counts = pq.read_table(run / "mine" / "counts.parquet").to_pydict()
    assert counts["count"] == [0, 0, 0, 0, 0, 1, 0, 0] and counts["start_s"] == [0, 1, 2, 3] * 2


def test_speed(track: Callable[..., tuple[int, str, str]], run: Path) -> None:
    code, out, _ = track("speed", run)
    assert code == 0 and "12.50" in out  # 80 pixels, 40 metres, in 3.2 s
    (row,) = csv.DictReader((run / "analytics" / "speeds.csv").read_text().splitlines())
    assert float(row["speed_m_s"]) == pytest.approx(12.5) and float(row["low_m_s"]) < 12.5 < float(row["high_m_s"])


def test_heat_map_lies_on_the_path(track: Callable[..., tuple[int, str, str]], run: Path) -> None:
    assert track("heatmap", run)[0] == 0
    image = np.asarray(Image.open(run / "analytics" / "heatmap.png")).astype(int)
    assert image.shape == (100, 100, 3)
    colorful = image.max(axis=2) - image.min(axis=2)  # the background is gray
    assert colorful[49:51, 15:85].mean() > 60 and colorful[:35].max() < 12


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["count", "nowhere"], "nowhere does not exist"),
        (["count", "RUN", "--zones", "none.yaml"], "there is no file none.yaml"),
        (["count", "RUN", "--classes", "zebra"], "no tracks of the class 'zebra'; it has: person"),
        (["count", "RUN", "--zones", "bad.yaml"], "bad.yaml: lines.gate.points.0.0 = 300"),
        (["count", "RUN", "--zones", "key.yaml"], "unknown key 'lines.gate.wright' (did you mean 'right'?)"),
        (["speed", "RUN", "--zones", "key2.yaml"], "has no calibration"),
        (["heatmap", "RUN", "--video", "gone.mp4"], "there is no file or folder gone.mp4"),
        (["heatmap", "RUN", "--output", "heat.gif"], "must end with .png or .jpg"),
    ],
)
def test_wrong_input_gets_a_sentence(
    track: Callable[..., tuple[int, str, str]], run: Path, arguments: list[str], message: str
) -> None:
    Path("bad.yaml").write_text("lines: {gate: [[300, 0], [1, 1]]}")
    Path("key.yaml").write_text("lines: {gate: {points: [[0, 0], [1, 1]], wright: west}}")
    Path("key2.yaml").write_text("lines: {gate: [[0, 0], [1, 1]]}")
    code, _, err = track(*(str(run) if argument == "RUN" else argument for argument in arguments))
    assert code == 2 and message in err and len(err.splitlines()) == 1
