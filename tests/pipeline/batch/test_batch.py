"""Batches: what a second call does, what is tried again, and that the results are those of single runs."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from doc_commands import fenced_blocks
from paths import REPOSITORY
from stub_networks import moving_clip
from tracker import Config, track_to_files
from tracker.config import DetectorConfig, OutputConfig, TrackerConfig
from tracker.errors import InputError
from tracker.pipeline.batch.manifest import NAME, Manifest
from tracker.pipeline.batch.pieces import detect_piece, split_task
from tracker.pipeline.batch.plan import Plan, plan_batch
from tracker.pipeline.batch.pools import WorkerDied, WorkerPool
from tracker.pipeline.batch.runner import BatchMonitor, BatchRunner
from tracker.pipeline.batch.task import Outcome, Task
from tracker.pipeline.batch.worker import BatchWorker, _TaskMonitor
from tracker.structures.types import Frame, Tracks
from tracker.video import Source

pytestmark = pytest.mark.usefixtures("stubbed")
RESULTS = Path("results")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mon/a.mp4", "tue/a.mp4", "tue/b.mp4"):
        Path("videos", name).parent.mkdir(parents=True, exist_ok=True)
        moving_clip(Path("videos", name), 12 + 5 * ("tue" in name))


class InlinePool(WorkerPool):
    """Workers in this thread."""

    def __init__(self, size: int = 2, before: Callable[[Task], None] = lambda _: None, config: Config = Config()):
        self.size = size
        self.tasks: list[tuple[int, str]] = []
        self._before = before
        self._workers = [BatchWorker(config, f"worker {n}") for n in range(size)]

    def submit(self, worker: int, task: Task) -> Future[Outcome]:
        self.tasks.append((worker, Path(task.source).stem))
        outcome: Future[Outcome] = Future()
        try:
            self._before(task)
            outcome.set_result(self._workers[worker].run(task))
        except Exception as error:
            outcome.set_exception(error)
        return outcome

    def stop(self) -> None:
        for worker in self._workers:
            worker.stop()

    def close(self) -> None:
        for worker in self._workers:
            worker.close()


def run(
    pool: InlinePool,
    config: Config = Config(),
    monitor: BatchMonitor | None = None,
    split: float = 0.0,
    join_gap: float = 0.0,
) -> Plan:
    """Runs a batch over all videos; returns its plan."""
    RESULTS.mkdir(exist_ok=True)
    manifest = Manifest(RESULTS / NAME)
    plan = plan_batch(["videos/**/*.mp4"], manifest, config, join_gap)
    with pool:
        runner = BatchRunner(pool, manifest, config, split, monitor=monitor or BatchMonitor())
        runner.run([task for task, _ in plan.todo])
    return plan


def statuses() -> dict[str, tuple[str, int]]:
    """Returns status and attempts by the names of the results."""
    rows = pq.read_table(RESULTS / NAME).to_pylist()
    return {row["name"]: (row["status"], row["attempts"]) for row in rows}


def files(folder: Path) -> dict[str, bytes]:
    """Returns the content of all files of a run but its record."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "run.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_results_are_those_of_single_runs_and_a_second_call_does_nothing() -> None:
    plan = run(InlinePool())
    assert [reason for _, reason in plan.todo] == ["it is new"] * 3
    assert statuses() == {"a": ("done", 1), "a-2": ("done", 1), "b": ("done", 1)}
    track_to_files("videos/tue/b.mp4", Config())
    assert files(RESULTS / "source=b") == files(Path("tracked/b"))
    before = files(RESULTS)
    pool = InlinePool()
    plan = run(pool)
    assert not pool.tasks and len(plan.kept) == 3 and files(RESULTS).keys() == before.keys()


def test_new_videos_change_no_names() -> None:
    run(InlinePool())
    Path("videos/first").mkdir()
    moving_clip(Path("videos/first/a.mp4"), 8)
    plan = run(InlinePool())
    assert [task.folder.name for task, _ in plan.todo] == ["source=a-3"] and len(plan.kept) == 3


def test_the_queries_of_the_guide() -> None:
    duckdb = pytest.importorskip("duckdb")
    run(InlinePool())
    page = (REPOSITORY / "docs" / "batch.md").read_text(encoding="utf-8")
    classes, sources = (duckdb.sql(query).fetchall() for query in fenced_blocks(page, "sql"))
    assert [row[:2] for row in classes] == [(name, kind) for name in ("a", "a-2", "b") for kind in ("car", "person")]
    assert sources == [("done", 3, 12 + 17 + 17)]


def test_only_what_failed_is_done_again() -> None:
    Path("videos/b.mp4").write_text("no video")
    run(InlinePool())
    assert statuses()["b"] == ("failed", 1) and statuses()["b-2"] == ("done", 1)
    assert not (RESULTS / "source=b").exists()
    (row,) = (row for row in Manifest(RESULTS / NAME) if row.name == "b")
    assert "is not a video" in row.reason
    moving_clip(Path("videos/b.mp4"), 9)
    pool = InlinePool()
    plan = run(pool)
    assert [name for _, name in pool.tasks] == ["b"] and statuses()["b"] == ("done", 1)
    assert len(plan.kept) == 3


def test_a_worker_that_dies_and_a_bug_are_tried_again_but_not_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    fails = {"a.mp4": 2, "b.mp4": 9}

    def before(task: Task) -> None:
        name = Path(task.source).name
        if fails.get(name, 0):
            fails[name] -= 1
            raise WorkerDied("its worker died") if name == "a.mp4" else ZeroDivisionError("a bug")

    pool = InlinePool(before=before)
    run(pool)
    found = statuses()
    (_, first), (_, second) = found["a"], found["a-2"]
    assert found["a"][0] == found["a-2"][0] == "done" and first + second == 1 + 1 + 2
    assert found["b"] == ("failed", 3) and "ZeroDivisionError" in caplog.text
    assert len(pool.tasks) == 3 + 2 + 2


def test_what_a_killed_driver_did_not_record_is_found() -> None:
    run(InlinePool())
    (RESULTS / NAME).unlink()
    record = RESULTS / "source=b" / "run.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | {"status": "running", "end": None}))
    whole = files(RESULTS / "source=b")
    (RESULTS / "source=b" / "tracks.parquet").unlink()
    pool = InlinePool()
    plan = run(pool)
    assert [name for _, name in pool.tasks] == ["b"] and [reason for _, reason in plan.todo] == [
        "its run is not finished"
    ]
    assert files(RESULTS / "source=b") == whole
    assert json.loads(record.read_text())["frames_kept"] > 0
    assert statuses() == {"a": ("done", 1), "a-2": ("done", 1), "b": ("done", 1)}


def test_other_settings_and_changed_sources_are_refused() -> None:
    run(InlinePool())
    other = Config(detector=DetectorConfig(score=0.3))
    with pytest.raises(InputError, match=r"was tracked with other settings: give --overwrite"):
        run(InlinePool(), other)
    assert not run(InlinePool(), Config(detector=DetectorConfig(batch_size=2))).todo
    moving_clip(Path("videos/tue/b.mp4"), 20)
    with pytest.raises(InputError, match=r"b\.mp4 changed since it was tracked"):
        run(InlinePool())
    pool = InlinePool()
    run(pool, Config(output=OutputConfig(overwrite=True)))
    assert [name for _, name in pool.tasks] == ["b"]
    pool = InlinePool(config=other)
    run(pool, other.with_overwrite())
    assert len(pool.tasks) == 3


@pytest.mark.parametrize("offline", [False, True])
def test_pieces_of_a_long_source_give_the_same_files(offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree("videos")
    Path("videos").mkdir()
    moving_clip(Path("videos/long.mp4"), 64, rate=2)  # 32 s
    config = Config(tracker=TrackerConfig(offline=offline))
    pool = InlinePool(3, config=config)
    detected: list[tuple[float, float] | None] = []
    monkeypatch.setattr(pool, "_before", lambda task: detected.append(task.piece))
    run(pool, config, split=10)
    # It is tracked while the last piece is detected; here one follows the other, and the tracking detects there itself.
    assert detected == [(0.0, 10.0), (10.0, 20.0), (20.0, 30.0), None, (30.0, float("inf"))]
    assert statuses() == {"long": ("done", 1)}
    record = json.loads((RESULTS / "source=long" / "run.json").read_text())
    assert (record["frames"], record["frames_kept"]) == (64, 60)
    assert not list((RESULTS / "source=long").glob(".pieces*"))
    track_to_files("videos/long.mp4", config)
    assert files(RESULTS / "source=long") == files(Path("tracked/long"))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 3, 2), (3, 2)])
def test_pieces_that_become_ready_during_the_tracking_are_used(
    order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = moving_clip(Path("long.mp4"), 64, rate=2).resolve()  # pieces of 20 frames
    pieces = [each for each in split_task(Task(str(path), RESULTS / "long", ""), Config(), 10, 3) if each.piece]
    left, on_frame = list(order), _TaskMonitor.on_frame

    def detect_meanwhile(monitor: _TaskMonitor, source: Source, frame: Frame, tracks: Tracks) -> None:
        on_frame(monitor, source, frame, tracks)
        if frame.index in (2, 12, 22, 32) and left:
            assert other.run(pieces[left.pop(0)]).status == "done"

    monkeypatch.setattr(_TaskMonitor, "on_frame", detect_meanwhile)
    with closing(BatchWorker(Config(), "worker 1")) as worker, closing(BatchWorker(Config(), "worker 2")) as other:
        assert worker.run(replace(pieces[0], piece=None, is_split=True)).status == "done"
        assert not left and other.run(pieces[3]).frames == 64  # it is done
    record = json.loads((RESULTS / "long" / "run.json").read_text())
    assert 4 <= record["frames_kept"] < 64
    track_to_files(str(path), Config())
    assert files(RESULTS / "long") == files(Path("tracked/long"))


def test_a_piece_may_come_too_late() -> None:
    path = moving_clip(Path("long.mp4"), 64, rate=2).resolve()
    piece, *_ = split_task(Task(str(path), RESULTS / "long", ""), Config(), 10, 3)
    ended: list[Outcome] = []

    def stopped() -> bool:
        if not ended:
            ended.append(worker.run(replace(piece, piece=None, is_split=True)))
        return False

    with (
        closing(BatchWorker(Config(), "worker 1")) as worker,
        closing(BatchWorker(Config(), "worker 2")) as other,
        suppress(InputError),  # the folder was removed
    ):
        detect_piece(piece, Config(), other._load, stopped)
    assert ended[0].status == "done" and not list((RESULTS / "long").glob(".*"))


def test_a_piece_that_fails_is_detected_with_the_rest() -> None:
    shutil.rmtree("videos")
    Path("videos").mkdir()
    moving_clip(Path("videos/long.mp4"), 64, rate=2)

    def before(task: Task) -> None:
        if task.piece and task.piece[0] == 0:
            raise WorkerDied("its worker died")

    run(InlinePool(3, before), split=10)
    assert statuses() == {"long": ("done", 1)}
    track_to_files("videos/long.mp4", Config())
    assert files(RESULTS / "source=long") == files(Path("tracked/long"))


def test_a_copy_of_a_source_is_not_tracked_again() -> None:
    run(InlinePool())
    shutil.copy("videos/tue/b.mp4", "copy.mp4")
    shutil.move("copy.mp4", "videos/tue/b.mp4")
    assert not run(InlinePool()).todo


def test_recordings_of_one_camera_are_one_source() -> None:
    shutil.rmtree("videos")
    Path("videos").mkdir()
    paths = [moving_clip(Path(f"videos/cam_2026-01-31_23-59-{second}.mp4"), 30) for second in (50, 53)]
    config = Config(output=OutputConfig(datetime=True))
    run(InlinePool(config=config), config, join_gap=60)
    assert statuses() == {"cam_2026-01-31_23-59-50": ("done", 1)}
    folder = RESULTS / "source=cam_2026-01-31_23-59-50"
    table = pq.read_table(folder / "tracks.parquet")
    last = table.to_pylist()[-1]
    assert last["frame"] == 59 and last["time_s"] == pytest.approx(5.9)
    assert last["datetime"] == datetime(2026, 1, 31, 23, 59, 55, 900_000)
    record = json.loads((folder / "run.json").read_text())
    assert record["frames"] == 60 and [Path(file).name for file in record["source"]["files"]] == [p.name for p in paths]
    assert not run(InlinePool(config=config), config, join_gap=60).todo
    moving_clip(paths[1], 20)
    with pytest.raises(InputError, match="changed since it was tracked"):
        run(InlinePool(config=config), config, join_gap=60)


def test_a_batch_that_is_stopped_goes_on() -> None:
    class Stopping(BatchMonitor):
        done = 0

        def on_done(self, task: Task, outcome: Outcome) -> None:
            self.done += 1

        def stop_requested(self) -> bool:
            return self.done > 0

    run(InlinePool(1), monitor=Stopping())
    assert sorted(status for status, _ in statuses().values()) == ["", "", "done"]
    assert len(run(InlinePool(1)).todo) == 2
    assert {status for status, _ in statuses().values()} == {"done"}


def test_what_is_no_video_file_is_refused() -> None:
    for source, message in (("nothing/*.mp4", "holds no videos"), ("gone.mp4", "is none"), ("0", "is none")):
        with pytest.raises(InputError, match=message):
            plan_batch([source], Manifest(RESULTS / NAME), Config())
    RESULTS.mkdir()
    (RESULTS / NAME).write_text("mine")
    with pytest.raises(InputError, match="is no manifest of a batch"):
        Manifest(RESULTS / NAME)
