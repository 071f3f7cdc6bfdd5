"""Tracks as Parquet: the numbers of the CSV, types, a minute in a row group, and a row for each track."""

import csv
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tracker.config import OutputConfig
from tracker.errors import InputError
from tracker.output import VideoInfo, open_writer
from tracker.structures.types import Frame, Tracks

INFO = VideoInfo("clip", 64, 48, Fraction(1, 10), Fraction(10), max_age=3.0)


def make_frame(index: int) -> Frame:
    return Frame(index, index / 10, index, np.zeros((48, 64, 3), np.uint8))


def make_tracks(ids: list[int], boxes: list[list[float]], labels: list[int], fine: list[str] | None = None) -> Tracks:
    n = len(ids)
    floats = np.linspace(0.5, 0.9, n, dtype=np.float32)
    tracks = Tracks(
        np.array(ids, np.int64),
        np.array(boxes, np.float32).reshape(n, 4),
        floats,
        np.array(labels, np.int64),
        np.zeros((n, 2), np.float32),
        floats,
        np.arange(n) % 2 == 0,
        np.zeros(n, np.int64),
    )
    if fine is None:
        return tracks
    return tracks.with_data(fine_classes=np.array(fine, np.str_), fine_scores=floats)


def write(path: Path, frames: list[tuple[int, Tracks]], info: VideoInfo = INFO) -> Path:
    with open_writer(path, info, ["person", "car"], OutputConfig()) as writer:
        for index, tracks in frames:
            writer.write(make_frame(index), tracks)
    return path


@pytest.mark.parametrize("fine", [False, True])
def test_the_rows_are_those_of_the_csv(tmp_path: Path, fine: bool) -> None:
    info = VideoInfo("clip", 64, 48, Fraction(1, 10), Fraction(10), has_fine_classes=fine)
    frames = [
        (0, make_tracks([1, 2], [[1.111, 2, 9, 9], [60, 40, 80, 90]], [0, 1], ["adult", ""] if fine else None)),
        (1, make_tracks([], [], [], [] if fine else None)),
        (700, make_tracks([7], [[-5, -5, 10.126, 10]], [1], ["truck"] if fine else None)),
    ]
    table = pq.read_table(write(tmp_path / "a.parquet", frames, info))
    with write(tmp_path / "a.csv", frames, info).open() as file:
        rows = list(csv.DictReader(file))
    assert table.column_names == list(rows[0]) and len(table) == len(rows)
    for name in table.column_names:
        for value, text in zip(table[name].to_pylist(), (row[name] for row in rows), strict=True):
            if isinstance(value, str | None):
                assert (value or "") == text
            else:
                assert float(value) == pytest.approx(float(text), abs=1e-4)
    assert str(table.schema.field("class").type).startswith("dictionary")


@pytest.mark.parametrize("zone", [None, timezone(timedelta(hours=2))])
def test_the_column_of_dates_and_times(tmp_path: Path, zone: timezone | None) -> None:
    start = datetime(2026, 5, 24, 23, 59, 59, 950_000, zone)
    info = replace(INFO, start_time=start)
    frames = [(n, make_tracks([1], [[8, 8, 24, 40]], [0])) for n in range(3)]
    rows = pq.read_table(write(tmp_path / "tracks.parquet", frames, info)).to_pylist()
    assert [row["datetime"] - start for row in rows] == [timedelta(milliseconds=100 * n) for n in range(3)]
    with write(tmp_path / "tracks.csv", frames, info).open() as file:
        texts = [row["datetime"] for row in csv.DictReader(file)]
    assert texts[1] == "2026-05-25T00:00:00.050" + ("+02:00" if zone else "")
    assert [datetime.fromisoformat(text) for text in texts] == [row["datetime"] for row in rows]


def test_a_minute_is_a_row_group(tmp_path: Path) -> None:
    frames = [(n, make_tracks([1], [[1, 1, 9, 9]], [0])) for n in range(0, 2000, 7)]
    file = pq.ParquetFile(write(tmp_path / "a.parquet", frames))
    assert file.num_row_groups == 4
    for group in range(4):
        times = file.read_row_group(group, columns=["time_s"])["time_s"].to_numpy()
        assert (times // 60 == group).all()
    minute = pq.read_table(tmp_path / "a.parquet", filters=[("time_s", ">=", 60), ("time_s", "<", 120)])
    assert len(minute) == sum(600 <= n < 1200 for n, _ in frames)


def test_a_row_for_each_track(tmp_path: Path) -> None:
    box = [1.0, 1, 9, 9]
    frames = [(n, make_tracks([1, 2], [box, box], [0, 1])) for n in range(10)]
    frames += [(n, make_tracks([2], [box], [0])) for n in range(10, 50)]
    frames += [(n, make_tracks([3, 2], [box, box], [0, 1])) for n in range(50, 60)]
    rows = pq.read_table(write(tmp_path / "a_summary.parquet", frames)).to_pylist()
    assert [(row["track_id"], row["class"], row["first_frame"], row["last_frame"]) for row in rows] == [
        (1, "person", 0, 9),
        (3, "person", 50, 59),
        (2, "car", 0, 59),
    ]
    assert [row["frames"] for row in rows] == [10, 10, 60] and [row["observed"] for row in rows] == [10, 10, 40]
    assert rows[0]["last_s"] == 0.9 and rows[0]["mean_score"] == pytest.approx(0.5)


def test_both_tables_of_tracks_say_what_the_table_of_boxes_says(tmp_path: Path) -> None:
    """Each column, computed from the rows of boxes; a track outside of the image has no row."""
    random = np.random.default_rng(0)
    frames = []
    for n in range(40):
        corners = random.uniform(-10, 50, (3, 2))
        boxes = np.concatenate([corners, corners + random.uniform(5, 30, (3, 2))], 1).tolist()
        frames.append((n, make_tracks([4, 2, 9], [*boxes[:2], [-30, -30, -9, -9]], [0, 1, 1])))
    info = replace(INFO, name="=clip")
    with write(tmp_path / "tracks.csv", frames, info).open() as file:
        rows = list(csv.DictReader(file))
    with write(tmp_path / "summary.csv", frames, info).open() as file:
        tracks = list(csv.DictReader(file))
    assert [track["track_id"] for track in tracks] == ["4", "2"] and tracks[0]["source"] == "'=clip"
    for track in tracks:
        own = [row for row in rows if row["track_id"] == track["track_id"]]
        boxes = np.array([[float(row[name]) for name in ("x1", "y1", "x2", "y2")] for row in own])
        steps = np.diff(boxes[:, :2] + boxes[:, 2:], axis=0) / 2
        assert float(track["path_px"]) == pytest.approx(np.linalg.norm(steps, axis=1).sum(), abs=0.01)
        assert float(track["mean_score"]) == pytest.approx(np.mean([float(row["score"]) for row in own]), abs=1e-4)
        assert (track["first_frame"], track["last_frame"]) == (own[0]["frame"], own[-1]["frame"])
        assert (track["first_s"], track["last_s"]) == (own[0]["time_s"], own[-1]["time_s"])
        assert float(track["seconds"]) == pytest.approx(float(track["last_s"]) - float(track["first_s"]))
        assert (track["class"], int(track["frames"])) == (own[-1]["class"], len(own))
        assert int(track["observed"]) == sum(row["observed"] == "1" for row in own)
    table = pq.read_table(write(tmp_path / "tracks_summary.parquet", frames, info))
    assert table.column_names == list(tracks[0]) and len(table) == len(tracks)
    for name in table.column_names:
        for value, text in zip(table[name].to_pylist(), (track[name] for track in tracks), strict=True):
            same = (
                value == text.removeprefix("'")
                if isinstance(value, str)
                else float(text) == pytest.approx(value, abs=0.01)
            )
            assert same, name


def test_a_track_is_in_the_table_as_soon_as_it_has_ended(tmp_path: Path) -> None:
    """So that a run that is killed leaves those that have ended."""
    path = tmp_path / "film.summary.csv"
    with open_writer(path, INFO, ["person"], OutputConfig()) as writer:
        for n in range(60):
            writer.write(make_frame(n), make_tracks([1] if n < 10 else [2], [[1, 1, 9, 9]], [0]))
        assert [line.split(",")[1] for line in path.read_text().splitlines()] == ["track_id", "1"]
    assert [line.split(",")[1] for line in path.read_text().splitlines()] == ["track_id", "1", "2"]


def test_what_was_written_before_an_error_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(ZeroDivisionError), open_writer(path, INFO, ["person"], OutputConfig()) as writer:
        writer.write(make_frame(0), make_tracks([1], [[1, 1, 9, 9]], [0]))
        raise ZeroDivisionError
    assert len(pq.read_table(path)) == 1 and [file.name for file in tmp_path.iterdir()] == ["a.parquet"]
    with pytest.raises(InputError, match="exists"):
        open_writer(path, INFO, ["person"], OutputConfig(), overwrite=False)
