"""Batches by real processes: workers and drivers that are killed, on this machine and on a Ray cluster of two nodes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from paths import TESTS, python_path
from stub_networks import moving_clip
from tracker import Config, track_to_files

pytestmark = [
    pytest.mark.usefixtures("stubbed"),
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL"),
]
RESULTS = Path("results")
CLIPS = 4


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Also for processes that Ray starts.
    monkeypatch.setenv("PYTHONPATH", python_path(TESTS / "stub_site"))
    monkeypatch.setenv("STUB_DELAY", "0.05")
    Path("videos").mkdir()
    for number in range(CLIPS):
        moving_clip(Path(f"videos/{number}.mp4"), 40 + number)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Starts a Ray cluster of two nodes with a core each; returns its address."""
    pytest.importorskip("ray")
    program = (
        "import time, ray.cluster_utils as c\n"
        "cluster = c.Cluster(True, head_node_args={'num_cpus': 1, 'include_dashboard': False})\n"
        "cluster.add_node(num_cpus=1)\n"
        "print(cluster.address, flush=True); input(); cluster.shutdown()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as nodes:
        assert nodes.stdin is not None and nodes.stdout is not None
        address = ""
        while not address.startswith(("127.", "10.", "172.", "192.")) and nodes.poll() is None:
            address = nodes.stdout.readline().strip()
        yield address
        nodes.communicate("\n")


def start(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tracker", "batch", "videos/*.mp4", "--workers", "2", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_folders(number: int, process: "subprocess.Popen[str]") -> None:
    """Waits until the run of so many sources has begun to store detections or rows."""
    while len(list(RESULTS.glob("source=*/tracks.csv"))) < number:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def kill_one(processes: list[psutil.Process]) -> None:
    assert processes
    processes[0].kill()


def ray_workers() -> list[psutil.Process]:
    return [each for each in psutil.process_iter() if "ray::RayWorker" in _name(each)]


def _name(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()[:1])
    except psutil.Error:
        return ""


def check_results(attempts: int) -> None:
    """Checks that all is done, nothing twice, and that the files are those of runs one by one."""
    rows = pq.read_table(RESULTS / "manifest.parquet").to_pylist()
    assert [row["status"] for row in rows] == ["done"] * CLIPS
    assert sum(row["attempts"] for row in rows) <= CLIPS + attempts
    for row in rows:
        folder = RESULTS / f"source={row['name']}"
        track_to_files(row["source"], Config())
        assert _files(folder) == _files(Path("tracked", row["name"]))
        assert json.loads((folder / "run.json").read_text())["status"] == "finished"


def _files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "run.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_workers_and_drivers_of_this_machine_are_killed() -> None:
    with start() as process:
        wait_for_folders(2, process)
        children = psutil.Process(process.pid).children(recursive=True)
        kill_one([each for each in children if "spawn_main" in " ".join(each.cmdline())])
        wait_for_folders(3, process)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    _, alive = psutil.wait_procs(workers, 20)
    assert not alive, "workers outlive their driver"
    with start() as process:
        output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert f"{CLIPS} done" in output
    check_results(attempts=3)


def test_ctrl_c_ends_after_the_current_frames_and_a_second_call_goes_on() -> None:
    with start() as process:
        wait_for_folders(2, process)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 130 and " stopped" in output and "Traceback" not in errors
    with start() as process:
        process.communicate(timeout=300)
    assert process.returncode == 0
    check_results(attempts=2)


def test_workers_and_drivers_of_a_ray_cluster_are_killed(cluster: str) -> None:
    with start("--ray", cluster) as process:
        wait_for_folders(2, process)
        kill_one(ray_workers())
        wait_for_folders(3, process)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    with start("--ray", cluster) as process:
        output, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    assert f"{CLIPS} done" in output
    check_results(attempts=3)


def test_a_cluster_that_is_not_there() -> None:
    pytest.importorskip("ray")
    with start("--ray", "127.0.0.1:1") as process:
        _, errors = process.communicate(timeout=200)
    assert process.returncode == 2 and "there is no Ray cluster" in errors and "Traceback" not in errors
