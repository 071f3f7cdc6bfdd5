"""Runs over live sources: what they write and say."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from live_streams import HlsEncoder, MotionJpegHandler, serve, serve_folder
from paths import STUB
from stub_networks import moving_rectangles

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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no interrupts to send")
def test_ctrl_c_while_no_frame_comes(tmp_path: Path) -> None:
    handler = type("StallingHandler", (MotionJpegHandler,), {"hang": True, "frames": 30})
    MotionJpegHandler.released.clear()
    with serve(handler) as url:
        command = [sys.executable, str(STUB), "0", "0", f"{url}/camera", "--timeout", "20", "--reconnect", "forever"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        record = tmp_path / "tracked" / "127.0.0.1" / "tracks.csv"
        while not record.exists():
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(2)
        os.kill(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=90)
        MotionJpegHandler.released.set()
    assert process.returncode == 0, errors
    assert json.loads(record.with_name("run.json").read_text())["status"] == "stopped" and "30 frames came" in output


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to send")
def test_ids_go_on_after_the_process_was_killed(tmp_path: Path) -> None:
    """The second process knows the tracks of the first one, which was killed in mid-stream."""
    folder = tmp_path / "shared"
    folder.mkdir()
    encoder = HlsEncoder(folder, segment=0.5, draw=lambda number: moving_rectangles(number, 1280, 120))
    with encoder, serve_folder(folder) as url:
        arguments = [f"{url}/live.m3u8", "--timeout", "5", "--state", "a.state", "--max-age", "120"]
        for name, end in (("a.csv", signal.SIGKILL), ("b.csv", signal.SIGINT)):
            command = [sys.executable, str(STUB), "0", "0", *arguments, "--output", name]
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            state = tmp_path / "a.state"
            seen = state.stat().st_mtime if state.exists() else 0.0
            while not state.exists() or state.stat().st_mtime == seen:
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(end)
            process.wait()
    ids, ages = [], []
    for name in ("a.csv", "b.csv"):
        with (tmp_path / name).open() as file:
            rows = list(csv.DictReader(file))
        ids.append({row["track_id"] for row in rows})
        ages.append((rows[0]["datetime"], rows[-1]["datetime"], rows[0]["time_s"], rows[-1]["time_s"]))
    assert ids == [{"1", "2"}, {"1", "2"}], ages
