"""Runs over live sources: what they write and say."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from live_streams import HlsEncoder, MotionJpegHandler, serve, serve_folder
from paths import STUB
from stub_networks import moving_rectangles
from tracker.pipeline.segments import segment_folders

Result = tuple[int, str, str]

pytestmark = pytest.mark.usefixtures("working_folder", "stubbed")


@pytest.mark.slow
def test_live_hls_gives_every_frame_one_id_and_a_date(track: Callable[..., Result], tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    encoder = HlsEncoder(folder, frames=50, draw=lambda number: moving_rectangles(number, 160, 120))
    before = time.time()
    with encoder, serve_folder(folder) as url:
        code, output, _ = track(f"{url}/live.m3u8", "--timeout", 5)
    assert code == 0 and "50 frames came, 0 of them were dropped" in output
    (results,) = tmp_path.glob("tracked/*")
    with (results / "tracks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["track_id"] for row in rows} == {"1", "2"}
    assert all(float(row["time_s"]) == int(row["frame"]) / 10 for row in rows)
    dates = [datetime.fromisoformat(row["datetime"]) for row in rows]
    assert before < dates[0].timestamp() < time.time() and dates[0].tzinfo == UTC
    for row, date in zip(rows, dates, strict=True):  # which become exact once a segment came with little delay
        assert abs((date - dates[0]).total_seconds() - float(row["time_s"]) + float(rows[0]["time_s"])) < 0.5
    table = pq.read_table(results / "tracks.parquet")
    assert table["datetime"].to_pylist() == dates
    live = json.loads((results / "run.json").read_text())["live"]
    assert live["captured"] == live["processed"] == 50 and live["state"] == "ended"
    assert [event["event"] for event in live["events"]] == ["running", "ended"]


def test_a_source_that_is_given_up_is_exit_code_2_and_told(track: Callable[..., Result], tmp_path: Path) -> None:
    with serve(MotionJpegHandler) as url:
        code, output, errors = track(f"{url}/camera", "--timeout", 1, "--reconnect", 1)
    assert code == 2 and "given up after 1 tries to reconnect" in errors and "the source broke off" in output
    (record,) = tmp_path.glob("tracked/*/run.json")
    run = json.loads(record.read_text())
    assert (run["status"], run["end"], run["live"]["state"]) == ("finished", "broke off", "failed")
    assert [event["event"] for event in run["live"]["events"] if event["event"] != "dropped"] == [
        "running", "reconnecting", "reconnected", "failed",
    ]  # fmt: skip
    assert run["live"]["captured"] == run["live"]["processed"] + sum(run["live"]["dropped"].values()) == 120


@pytest.mark.skipif(sys.platform == "win32", reason="there are no interrupts to send")
def test_ctrl_c_while_no_frame_comes(track: Callable[..., Result], tmp_path: Path) -> None:
    record = tmp_path / "tracked" / "127.0.0.1" / "run.json"

    def interrupt() -> None:
        end = time.monotonic() + 60
        while len(MotionJpegHandler.sent) < sent + 30 and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)  # no frame comes any more
        os.kill(os.getpid(), signal.SIGINT)

    handler = type("StallingHandler", (MotionJpegHandler,), {"hang": True, "frames": 30})
    MotionJpegHandler.released.clear()
    sent = len(MotionJpegHandler.sent)
    interrupter = threading.Thread(target=interrupt)
    with serve(handler) as url:
        interrupter.start()
        code, output, errors = track(f"{url}/camera", "--timeout", 20, "--reconnect", "forever")
        MotionJpegHandler.released.set()
        interrupter.join()
    assert code == 0, errors
    assert json.loads(record.read_text())["status"] == "stopped" and "30 frames came" in output


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to send")
def test_ids_and_segments_go_on_after_the_process_was_killed(tmp_path: Path) -> None:
    """The second process knows the tracks of the first, which was killed in mid-stream, and completes its tables."""
    folder = tmp_path / "shared"
    folder.mkdir()
    root = tmp_path / "tracked/127.0.0.1"
    counts = []
    # On a busy machine the second process starts many seconds later: what stands still is at its place even then.
    encoder = HlsEncoder(folder, segment=0.5, draw=lambda _: moving_rectangles(0, 160, 120))
    with encoder, serve_folder(folder) as url:
        flags = ["--segment", "1s", "--timeout", "5", "--max-age", "600"]
        for end in (signal.SIGKILL, signal.SIGINT):
            command = [sys.executable, str(STUB), "0", "0", f"{url}/live.m3u8", *flags]
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            state = root / "state.safetensors"
            seen = state.stat().st_mtime if state.exists() else 0.0
            before = len(segment_folders(root))
            while not state.exists() or state.stat().st_mtime == seen or len(segment_folders(root)) < before + 2:
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(end)
            process.wait()
            counts.append(len(segment_folders(root)))
    tables = [pq.read_table(folder / "tracks.parquet") for folder in segment_folders(root)]
    assert counts[1] == len(tables) >= counts[0] + 2
    table = pa.concat_tables(table.set_column(3, "class", table["class"].cast(pa.string())) for table in tables)
    assert set(table["track_id"].to_pylist()) == {1, 2}
    dates = table["datetime"].to_pylist()
    assert dates[0] < dates[-1] and len(set(zip(dates, table["track_id"].to_pylist(), strict=True))) == len(table)
    rows = sum(len((folder / "tracks.csv").read_text().splitlines()) - 1 for folder in segment_folders(root))
    assert rows == len(table)
    record = json.loads((root / "run.json").read_text())
    assert record["status"] == "stopped" and [run["status"] for run in record["earlier"]] == ["running"]
    assert record["segments"]["count"] == len(tables) and not list(root.glob("*/.*"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no interrupts to send")
def test_frames_that_a_playlist_serves_again_are_not_tracked_twice(
    track: Callable[..., Result], tmp_path: Path
) -> None:
    """A run that is stopped and started again joins the playlist some segments back, before where it was."""
    folder = tmp_path / "shared"
    folder.mkdir()
    root = tmp_path / "tracked/127.0.0.1"

    def interrupt(rows: int, ended: threading.Event) -> None:
        end = time.monotonic() + 60
        try:
            while count_rows() < rows and time.monotonic() < end:
                time.sleep(0.05)
        finally:  # the run would never end
            while not ended.is_set():
                os.kill(os.getpid(), signal.SIGINT)
                ended.wait(30)

    def count_rows() -> int:
        return sum(len(path.read_text().splitlines()) - 1 for path in root.glob("*/tracks.csv"))

    # The second run joins three segments back: far enough for what the first one did not read, and for its own start.
    encoder = HlsEncoder(folder, segment=2.0, draw=lambda number: moving_rectangles(number, 640, 120))
    with encoder, serve_folder(folder) as url:
        for _ in range(2):
            ended = threading.Event()
            interrupter = threading.Thread(target=interrupt, args=(count_rows() + 160, ended))
            interrupter.start()
            code, _, errors = track(f"{url}/live.m3u8", "--segment", "1h", "--timeout", "5")
            ended.set()
            interrupter.join()
            assert code == 0, errors
    tables = [pq.read_table(folder / "tracks.parquet").to_pylist() for folder in segment_folders(root)]
    assert len(tables) == 2 and all({row["track_id"] for row in table} == {1, 2} for table in tables)
    for one in (1, 2):
        dates = [row["datetime"].timestamp() for table in tables for row in table if row["track_id"] == one]
        assert [later - earlier for earlier, later in pairwise(dates)] == pytest.approx(
            [0.1] * (len(dates) - 1), abs=0.05
        )
