"""Results of live sources in segments: whole, in order, and as many as are kept."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import tracker.pipeline.segments as segments
from doc_commands import fenced_blocks
from full_disks import small_disk
from paths import REPOSITORY
from stub_networks import CATEGORIES, moving_rectangles
from tracker.config import Config, TrackerConfig
from tracker.errors import InputError
from tracker.output import VideoInfo
from tracker.output.paths import DEFAULT_NAMES, make_results_folder
from tracker.pipeline.networks import NetworkAnalyzer
from tracker.pipeline.run_record import RunRecord
from tracker.pipeline.segment_repair import repair_segments
from tracker.structures.types import Frame, Tracks
from tracker.tracking import DeepSort
from video_clips import write_clip

pytestmark = pytest.mark.usefixtures("working_folder", "stubbed")

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
RATE = 10


def frame_at(seconds: float, index: int) -> Frame:
    image = moving_rectangles(index, 160, 120)
    return Frame(index, index / RATE, index, image, unix_time=NOON + seconds)


def one_track(frame: Frame) -> Tracks:
    one = np.ones(1, np.float32)
    box = np.array([[10 + 2 * frame.index, 15, 26 + 2 * frame.index, 55]], np.float32)
    labels = np.zeros(1, np.int64)
    return Tracks(labels + 7, box, one, labels, np.zeros((1, 2), np.float32), one, labels == 0, labels, {}, CATEGORIES)


class Run:
    """Writes frames as a run over a live source does."""

    def __init__(self, outputs: segments.SegmentedOutputs, analyzer: NetworkAnalyzer) -> None:
        self.outputs, self._analyzer, self._index = outputs, analyzer, 0

    def write(self, *seconds: float) -> None:
        for second in seconds:
            frame = frame_at(second, self._index)
            self._index += 1
            self.outputs.store(self._analyzer.analyze([frame])[0])
            self.outputs.write(frame, one_track(frame))


@contextmanager
def running(root: Path, *names: str, **output: object) -> Iterator[Run]:
    """Yields a run into a folder, which ends whole."""
    root.mkdir(exist_ok=True)
    config = Config.model_validate({"output": {"segment": "1h", "output": names, **output}})
    info = VideoInfo("camera", 160, 120, Fraction(1, RATE), Fraction(RATE), has_dates=True)
    record = {"source": {"name": "rtsp://camera", "frame_rate": "10", "width": 160, "height": 120}}
    content = {**record, "config": config.model_dump(mode="json")}
    paths = [root / Path(name).name for name in names or DEFAULT_NAMES]
    with NetworkAnalyzer(config) as analyzer:
        outer = None if names else RunRecord(root / "run.json", content)
        with segments.SegmentedOutputs(paths, config, info, analyzer, outer) as outputs:
            yield Run(outputs, analyzer)


def names_in(root: Path) -> list[str]:
    return [folder.name for folder in segments.segment_folders(root)]


def test_each_hour_has_whole_files_of_its_own(tmp_path: Path) -> None:
    root = tmp_path / "camera"
    with running(root) as run:
        run.write(3000.5, 3001, 3599.9, 3600, 3601, 7205)
    assert names_in(root) == ["20260301T125000Z", "20260301T130000Z", "20260301T140005Z"]
    for folder, frames in zip(segments.segment_folders(root), (3, 2, 1), strict=True):
        files = {"video.mp4", "tracks.csv", "tracks.parquet", "tracks_summary.parquet", "summary.csv", "run.json"}
        assert {path.name for path in folder.iterdir()} == files | {"detections"}
        with av.open(str(folder / "video.mp4")) as video:
            assert sum(1 for _ in video.decode(video=0)) == frames
        rows = (folder / "tracks.csv").read_text().splitlines()
        assert len(rows) == frames + 1 == pq.read_metadata(folder / "tracks.parquet").num_rows + 1
        record = json.loads((folder / "run.json").read_text())
        assert (record["status"], record["frames"]) == ("finished", frames)
        assert pq.read_table(folder / "detections", columns=["frame"])["frame"].to_pylist()
    together = ds.dataset([str(path) for path in sorted(root.glob("*/tracks.parquet"))]).to_table()
    assert together["frame"].to_pylist() == list(range(6)) and set(together["track_id"].to_pylist()) == {7}
    known = json.loads((root / "run.json").read_text())["segments"]
    assert known == {
        "first": "20260301T125000Z", "latest": "20260301T140005Z", "count": 3, "written": 3, "removed": 0,
    }  # fmt: skip


def test_the_query_of_the_guide_reads_all_segments(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    (tmp_path / "tracked").mkdir()
    with running(tmp_path / "tracked/camera.local") as run:
        run.write(0, 1, 3600, 3601)
    (query,) = fenced_blocks((REPOSITORY / "docs" / "live-sources.md").read_text(encoding="utf-8"), "sql")
    rows = duckdb.sql(query).fetchall()
    assert [(hour.timestamp(), *more) for hour, *more in rows] == [(NOON, "person", 1), (NOON + 3600, "person", 1)]


def test_a_clock_that_is_corrected_begins_no_segment(tmp_path: Path) -> None:
    """By less than a second back over the hour; one that is set back by hours does."""
    with running(tmp_path / "camera") as run:
        run.write(3599.9, 3600.02, 3599.95, 3600.1)
        assert names_in(tmp_path / "camera") == ["20260301T125959Z", "20260301T130000Z"]
        run.write(-7200)
    assert names_in(tmp_path / "camera")[0] == "20260301T100000Z"


def test_another_run_adds_segments(tmp_path: Path) -> None:
    for _ in range(2):
        with running(tmp_path / "camera") as run:
            run.write(5, 5.1)
    assert names_in(tmp_path / "camera") == ["20260301T120005Z", "20260301T120005Z-2"]


def test_the_oldest_segments_go_by_age(tmp_path: Path) -> None:
    with running(tmp_path / "camera", keep="3h") as run:
        run.write(*(3600.0 * hour for hour in range(6)))
    # At 17:00, what ended at 14:00 is three hours old.
    assert names_in(tmp_path / "camera") == [f"20260301T{hour}0000Z" for hour in (14, 15, 16, 17)]


def test_the_oldest_segments_go_by_size(tmp_path: Path) -> None:
    with running(tmp_path / "camera") as run:
        run.write(0)
    size = segments._size(tmp_path / "camera/20260301T120000Z")
    with running(tmp_path / "camera", keep=f"{3.5 * size / 1000:.3f}kB") as run:
        run.write(*(3600.0 * hour for hour in range(1, 6)))
    assert names_in(tmp_path / "camera") == ["20260301T150000Z", "20260301T160000Z", "20260301T170000Z"]
    record = json.loads((tmp_path / "camera/run.json").read_text())
    assert record["segments"]["removed"] == 3


@pytest.mark.parametrize("policy", ["stop", "remove"])
def test_a_disk_that_is_nearly_full(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "camera"

    def usage(path: Path) -> SimpleNamespace:
        return SimpleNamespace(total=1000, free=1000 - 240 * len(names_in(root)))

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with caplog.at_level(logging.WARNING), running(root, disk_full=policy) as run:
        run.write(*(3600.0 * hour for hour in range(4)))
    assert len(names_in(root)) == (4 if policy == "stop" else 3)
    assert ("removed the segment" in caplog.text and "20260301T120000Z: the disk" in caplog.text) == (
        policy == "remove"
    )


def test_a_small_disk_never_gets_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_RESERVE_SHARE", 0.5)
    with small_disk(tmp_path / "disk", 160) as disk:
        with running(disk, "disk/a.csv", disk_full="remove") as run:
            run.write(*(3600.0 * hour for hour in range(100)))  # a page of 4 kB each
        left = names_in(disk)
        assert 5 < len(left) < 35 and left[-1] == "20260305T150000Z"


def test_a_full_disk_without_older_segments_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=1000, free=0))
    with caplog.at_level(logging.WARNING), running(tmp_path / "camera", disk_full="remove") as run:
        run.write(0)
    assert len(names_in(tmp_path / "camera")) == 1 and caplog.text.count("no older segment") == 1


def test_named_outputs_lose_only_their_own_files(tmp_path: Path) -> None:
    root = tmp_path / "out"
    with running(root, "out/a.csv", "out/a.mp4") as run:
        run.write(0, 3600)
    assert {path.name for path in root.glob("*/*")} == {"a.csv", "a.mp4"}
    (root / "20260301T120000Z/mine.txt").touch()
    (root / "notes").mkdir()
    with running(root, "out/a.csv", "out/a.mp4", keep="1kB") as run:
        run.write(7200)
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == [
        "20260301T120000Z", "20260301T120000Z/mine.txt", "20260301T140000Z", "20260301T140000Z/a.csv",
        "20260301T140000Z/a.mp4", "notes",
    ]  # fmt: skip


def test_what_a_killed_process_left_is_completed(tmp_path: Path) -> None:
    root = tmp_path / "camera"
    with running(root) as run:
        run.write(0, 0.1, 0.2)
    folder = root / "20260301T120000Z"
    names = ("tracks.parquet", "tracks_summary.parquet", "summary.csv")
    whole = {name: pq.read_table(folder / name).to_pylist() for name in names[:2]}
    summary = (folder / "summary.csv").read_text()
    for name in names[:2]:
        (folder / name).rename(folder / f".{name}.0123.part")
    (folder / "summary.csv").write_text(summary.splitlines()[0] + "\n")
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "status": "running", "end": None}))
    earlier = repair_segments(root)
    assert earlier == [{"started": None, "status": "running", "end": None, "reason": "", "frames": 0}]
    assert {name: pq.read_table(folder / name).to_pylist() for name in names[:2]} == whole
    assert (folder / "summary.csv").read_text() == summary and not list(folder.glob(".*"))
    assert json.loads((folder / "run.json").read_text())["reason"] == "it was killed"


def kill_at(folder: Path, rows: str | None) -> None:
    """Leaves of a segment what a process leaves that is killed when its table has these rows."""
    for path in folder.glob("*.*"):
        if path.suffix in (".parquet", ".csv"):
            path.unlink()
    if rows is not None:
        (folder / "tracks.csv").write_text(rows)
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "status": "running", "end": None}))


@pytest.mark.parametrize(("rows", "stays"), [(None, False), ("", False), ("header", True), ("nonsense\n1,2\n", True)])
def test_what_a_process_left_that_was_killed_at_any_time(rows: str | None, stays: bool, tmp_path: Path) -> None:
    """Also before the first row, or by a power cut; the next run begins in any case."""
    root = tmp_path / "camera"
    with running(root) as run:
        run.write(0, 3600)
    (root / "20260301T140000Z").mkdir()
    (root / "20260301T140000Z" / ".run.json.0123.part").touch()
    folder = root / "20260301T130000Z"
    header = (folder / "tracks.csv").read_text().splitlines()[0] + "\n"
    kill_at(folder, header if rows == "header" else rows)
    repair_segments(root)
    assert names_in(root) == ["20260301T120000Z", *["20260301T130000Z"] * stays]
    if rows == "header":
        assert pq.read_metadata(folder / "tracks.parquet").num_rows == 0 and (folder / "summary.csv").is_file()


@pytest.mark.parametrize("cut", [1, 9, 40])
def test_a_row_that_was_not_written_to_its_end_is_cut_off(cut: int, tmp_path: Path) -> None:
    root = tmp_path / "camera"
    with running(root) as run:
        run.write(0, 0.1, 0.2)
    folder = root / "20260301T120000Z"
    text = (folder / "tracks.csv").read_text()
    rows = pq.read_table(folder / "tracks.parquet").to_pylist()
    kill_at(folder, text[:-cut])
    repair_segments(root)
    assert pq.read_table(folder / "tracks.parquet").to_pylist() == rows[:-1]
    assert (folder / "tracks.csv").read_text() == "".join(text.splitlines(keepends=True)[:-1])


def test_a_run_over_the_same_source_uses_the_same_folder() -> None:
    plain, segmented = (Config.model_validate({"output": {"segment": text}}).output for text in ("", "1h"))
    folder = make_results_folder(segmented, "camera", uri="rtsp://camera/1")
    assert folder
    record = {"source": {"name": "rtsp://camera/1"}, "config": {"output": {"segment": "1h"}}}
    (folder / "run.json").write_text(json.dumps(record))
    assert make_results_folder(segmented, "camera", uri="rtsp://camera/1") == folder
    assert make_results_folder(segmented, "camera", uri="rtsp://camera/2") == Path("tracked/camera-2")
    assert make_results_folder(plain, "camera") == Path("tracked/camera-3")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--keep", "3d"], "give --segment too"),
        (["--disk-full", "remove"], "give --segment too"),
        (["--segment", "1h", "--overwrite"], "leave out --overwrite"),
        (["--segment", "1h", "--all-tracks", "all.csv"], "grows without end"),
        (["--segment", "1h", "--output", "a.csv", "--output", "tracked/b.csv"], "in one folder"),
        (["--segment", "1h"], "is not live"),
        (["--segment", "1"], "give a number with a unit"),
        (["--segment", "1h", "--keep", "20"], "a size such as 200GB"),
    ],
)
def test_settings_that_do_not_go_together(
    flags: list[str], message: str, track: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    write_clip(tmp_path / "clip.mp4", 2, 10)
    (tmp_path / "tracked").mkdir()
    code, _, errors = track("clip.mp4", *flags)
    assert code == 2 and message in errors and not list((tmp_path / "tracked").iterdir())


def test_a_file_that_cannot_be_written_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a segment whose time is over reaches the run, and what is written is completed."""

    close = segments._Segment.close

    def fail(segment: segments._Segment) -> None:
        close(segment)
        if segment.path.name == "20260301T120000Z":
            raise InputError("the disk is full")

    with pytest.raises(InputError, match="the disk is full"), running(tmp_path / "camera") as run:
        monkeypatch.setattr(segments._Segment, "close", fail)
        run.write(0, 1, 3600)
    assert (tmp_path / "camera/20260301T130000Z/tracks.parquet").is_file()


def test_ids_that_a_killed_run_may_have_given_are_left_out(tmp_path: Path) -> None:
    from tracker.pipeline.state_keeper import StateKeeper
    from tracker.tracking.state import TrackerState

    path = tmp_path / "a.state"
    sort = DeepSort(TrackerConfig())
    keeper = StateKeeper(path, sort, CATEGORIES)
    for seconds in (0, 6):
        keeper.on_frame(Frame(0, seconds, 0, np.zeros((1, 1, 3), np.uint8), unix_time=NOON + seconds))
    assert TrackerState.load(path, CATEGORIES).confirmed == 1000  # as a process that is killed now leaves it
    keeper.close()
    assert TrackerState.load(path, CATEGORIES).confirmed == 0
