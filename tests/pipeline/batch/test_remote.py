"""Batches whose sources and results are in an object store: a real S3 server on this machine."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pyarrow.parquet as pq
import pytest

from paths import REPOSITORY, TESTS
from stub_networks import moving_clip
from tracker import Config, track_to_files
from tracker.data.fingerprint import fingerprint
from tracker.errors import InputError
from tracker.pipeline.batch import remote
from tracker.pipeline.batch.manifest import NAME, Manifest
from tracker.pipeline.batch.plan import Plan, plan_batch
from tracker.pipeline.batch.task import Outcome
from tracker.pipeline.batch.worker import BatchWorker

pytestmark = [pytest.mark.usefixtures("stubbed"), pytest.mark.slow]
RESULTS = "s3://bucket/results"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Starts an S3 server; returns its address."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            _wait_for(address, process)
            yield address
        finally:
            process.kill()


def _wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urlopen(address, timeout=5).close()
            return
        except URLError:
            time.sleep(0.1)
    raise RuntimeError("the S3 server did not start")


@pytest.fixture
def bucket(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a bucket with two videos, which are in this folder too; returns its file system."""
    import fsspec

    monkeypatch.chdir(tmp_path)
    for name, value in (
        ("AWS_ENDPOINT_URL", server),
        ("AWS_ACCESS_KEY_ID", "me"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    files = fsspec.filesystem("s3")
    files.invalidate_cache()
    if files.exists("bucket"):
        files.rm("bucket", recursive=True)
    files.mkdir("bucket")
    for number, name in enumerate(("a", "b")):
        moving_clip(Path(f"{name}.mp4"), 12 + 5 * number)
        files.put_file(f"{name}.mp4", f"bucket/videos/{name}.mp4")
    return files


def run(work: str = "work") -> tuple[Plan, list[Outcome]]:
    """Runs a batch over all videos in this process."""
    folder = remote.work_folder(RESULTS, work)
    folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(folder / NAME, RESULTS)
    plan = plan_batch(["s3://bucket/videos/*.mp4"], manifest, Config())
    worker = BatchWorker(Config(), "worker 1")
    outcomes = [worker.run(task) for task, _ in plan.todo]
    worker.close()
    for (task, _), outcome in zip(plan.todo, outcomes, strict=True):
        manifest.record(task, outcome)
    manifest.write()
    return plan, outcomes


def results(files: Any, name: str) -> dict[str, bytes]:
    """Returns the remote files of a run but its record."""
    files.invalidate_cache()
    root = f"bucket/results/source={name}"
    found = {path.removeprefix(f"{root}/"): files.cat_file(path) for path in files.find(root)}
    assert found.pop("run.json")
    return found


def local_results(name: str) -> dict[str, bytes]:
    """Tracks a video of this folder; returns the files of the run but its record."""
    track_to_files(f"{name}.mp4", Config())
    folder = Path("tracked", name)
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "run.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_the_command_gives_the_bytes_of_single_runs(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (TESTS / "stub_site", REPOSITORY))))
    monkeypatch.setenv("STUB_DELAY", "0")
    command = [sys.executable, "-m", "tracker", "batch", "s3://bucket/videos/*.mp4"]
    command += ["--output", "s3://bucket/results/", "--work", "work"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "2 done" in ended.stdout and "wrote s3://bucket/results/manifest.parquet" in ended.stdout
    assert not run()[0].todo
    for name in ("a", "b"):
        assert results(bucket, name) == local_results(name)
    with bucket.open("bucket/results/manifest.parquet") as file:
        rows = pq.read_table(file).to_pylist()
    assert [(row["source"], row["status"]) for row in rows] == [
        (f"s3://bucket/videos/{name}.mp4", "done") for name in ("a", "b")
    ]
    left = [path.name for path in Path("work").rglob("*") if path.is_file()]
    assert left == ["manifest.parquet"]


def test_complete_results_are_not_made_again(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    before = results(bucket, "a")
    bucket.rm("bucket/results/manifest.parquet")  # as if the driver had been killed before it wrote it
    plan, outcomes = run("another machine")
    assert [outcome.status for outcome in outcomes] == ["done", "done"] and len(plan.todo) == 2
    assert results(bucket, "a") == before
    bucket.rm("bucket/results/source=b/run.json")  # as if the copying had been ended
    bucket.put_file("a.mp4", "bucket/results/source=b/detections/of-another-run")
    bucket.rm("bucket/results/manifest.parquet")
    _, outcomes = run()
    assert outcomes[1].frames == 17 and results(bucket, "b") == local_results("b")


def test_results_that_could_not_be_written_are_written_later(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise InputError("cannot write")

    with monkeypatch.context() as broken:
        broken.setattr(remote, "store_results", fail)
        _, outcomes = run()
    assert {(outcome.status, outcome.reason) for outcome in outcomes} == {("failed", "cannot write")}
    assert not bucket.exists("bucket/results/source=a")
    _, outcomes = run()
    assert [outcome.status for outcome in outcomes] == ["done", "done"]
    assert results(bucket, "a") == local_results("a")


def test_a_changed_source_and_a_missing_bucket_get_one_sentence(bucket: Any) -> None:
    run()
    assert not run()[0].todo
    bucket.put_file("a.mp4", "bucket/videos/b.mp4")
    bucket.invalidate_cache()
    with pytest.raises(InputError, match=r"s3://bucket/videos/b\.mp4 changed since it was tracked"):
        run()
    for address in ("s3://nowhere/a.mp4", "s3://bucket/nothing/*.mp4"):
        with pytest.raises(InputError, match="holds none"):
            plan_batch([address], Manifest(Path("manifest.parquet")), Config())
    with pytest.raises(InputError, match="files are not read from there"):
        plan_batch(["nope://bucket/a.mp4"], Manifest(Path("manifest.parquet")), Config())
    with pytest.raises(InputError, match="cannot read or write s3://nowhere/x"):
        remote.store(Path("a.mp4"), "s3://nowhere/x")


def test_the_fingerprint_is_that_of_a_copy(bucket: Any) -> None:
    Path("large").write_bytes(bytes(range(256)) * 10_000)
    bucket.put_file("large", "bucket/large")
    assert remote.fingerprint_remote("s3://bucket/large") == fingerprint([Path("large")])
    assert remote.fetch("s3://bucket/large", Path("copy")) and Path("copy").read_bytes() == Path("large").read_bytes()
    assert not remote.fetch("s3://bucket/gone", Path("gone")) and not Path("gone").exists()
