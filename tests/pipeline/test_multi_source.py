"""Several sources in one process: each has the results that it has alone, whatever happens to the others."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import pytest

import tracker.pipeline.file_run
from full_disks import make_full_device, small_disk
from live_streams import serve_stream
from paths import STUB
from run_monitors import CallbackMonitor
from stub_networks import StubDetector, moving_clip, moving_rectangles
from tracker import Config, Frame, Tracks, track_all_to_files, track_to_files
from tracker.cli.app import main
from tracker.cli.demo import draw_clip
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.batcher import BatcherClient, DynamicBatcher
from tracker.pipeline.monitor import RunMonitor
from tracker.pipeline.run_result import RunResult
from tracker.video import Source
from video_clips import write_clip, write_image

pytestmark = [
    pytest.mark.usefixtures("time_limit"),
    pytest.mark.skipif(sys.platform == "win32", reason="there are no alarms, and no interrupts to send"),
]
VARIABLE = [0, 1, 5, 6, 7, 12, 13, 14, 22, 23, 25, 30, 31, 32, 33, 40, 41, 42, 43, 59]
Result = tuple[int, str, list[str]]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def track(stubbed: None, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs the command in this process; returns exit code, stdout, and the lines of stderr."""

    def run(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        output, errors = capsys.readouterr()
        # The stub prints "loading" before or after the error of another source.
        return int(end.value.code or 0), output, sorted(errors.splitlines(), key=lambda line: line == "loading")

    return run


def config(**sections: dict[str, Any]) -> Config:
    return Config.model_validate(sections)


def write_clips() -> list[Path]:
    """Writes three clips of different sizes, lengths and rates."""
    return [
        moving_clip(Path("first.mp4"), 37),
        write_clip(
            Path("second.mp4"), 20, 10, size=(200, 150), draw=moving_rectangles, pts=VARIABLE, options={"bf": "0"}
        ),
        write_clip(Path("third.mkv"), 60, 25, size=(128, 110), draw=moving_rectangles),
    ]


def read_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.*") if path.name != "run.json"}


def read_record(folder: str) -> dict[str, Any]:
    record = json.loads(Path("tracked", folder, "run.json").read_text())
    assert record.pop("elapsed_s") > 0
    assert all(queue["highest"] <= queue["size"] for queue in record.pop("queues").values())
    assert all(seconds >= 0 for seconds in record.pop("stage_s").values())
    return record  # type: ignore[no-any-return]


def line_starts(output: str) -> list[str]:
    """Returns the starts of the lines of a log, without the table at its end."""
    return sorted(line.partition(" in ")[0] for line in output.partition("source ")[0].splitlines())


def table_rows(output: str) -> dict[str, list[str]]:
    """Returns the cells of the table at the end of a log, without the empty ones, by source."""
    lines = [re.split(r" {2,}", line.rstrip()) for line in output[output.index("source ") :].splitlines()]
    assert lines[0] == ["source", "end", "frames", "seconds", "tracks", "results"]
    return {cells[0]: cells[1:] for cells in lines[1:]}


def count_frames(path: str) -> int:
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0))


def read_rows(path: str) -> list[dict[str, str]]:
    assert Path(path).read_bytes().endswith(b"\n")
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# Results are those of separate runs


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"detector": {"batch_size": 1}, "source": {"max_parallel": 3}},
        {"detector": {"batch_size": 3, "detect_every": 2}, "source": {"max_parallel": 3, "start": 0.3, "end": 2.0}},
        {"tracker": {"offline": True}, "source": {"max_parallel": 1}},
        {"appearance": {"embedder": "none"}, "tracker": {"camera_motion": "flow"}},
    ],
    ids=["default", "three in parallel", "some frames of a part", "offline, one by one", "camera"],
)
@pytest.mark.smoke
def test_files_and_records_are_those_of_separate_runs(stubbed: None, sections: dict[str, Any]) -> None:
    sources = write_clips()
    for source in sources:
        track_to_files(source, config(**sections))
    separate = {source.stem: (read_files(Path("tracked", source.stem)), read_record(source.stem)) for source in sources}
    Path("tracked").rename("separate")
    results = dict(track_all_to_files(sources, config(**sections)))
    for number, source in enumerate(sources):
        result = results[number]
        assert isinstance(result, RunResult) and result.output_paths[0].parent == Path("tracked", source.stem)
        assert (read_files(Path("tracked", source.stem)), read_record(source.stem)) == separate[source.stem]
        assert separate[source.stem][0]["tracks.csv"].count(b"\n") > 8


@pytest.mark.slow
def test_files_of_real_networks_are_those_of_separate_runs() -> None:
    draw_clip(Path("demo.mp4"))
    with av.open("demo.mp4") as container:
        images = [
            frame.to_ndarray(format="rgb24") for _, frame in zip(range(40), container.decode(video=0), strict=False)
        ]
    write_clip(Path("large.mp4"), 40, 25, size=(640, 360), draw=lambda n, *_: images[n])
    write_clip(Path("small.mp4"), 40, 25, size=(400, 330), draw=lambda n, *_: images[n][:330, 100:500].copy())
    sections = {
        "detector": {"device": "cpu", "backend": "torch"},
        "source": {"every": 2},
        "output": {"output": ["{name}.csv"]},
    }
    sources = ["large.mp4", "small.mp4"]
    for source in sources:
        track_to_files(source, config(**sections))
    separate = [Path(name).read_bytes() for name in ("large.csv", "small.csv")]
    assert all(table.count(b"\n") > 10 for table in separate)
    sections["output"] = sections["output"] | {"overwrite": True}
    assert all(isinstance(result, RunResult) for _, result in track_all_to_files(sources, config(**sections)))
    assert [Path(name).read_bytes() for name in ("large.csv", "small.csv")] == separate


class SlowAnalyzer(FrameAnalyzer):
    """An analyzer that returns the frames themselves, each batch only once the test releases it."""

    def __init__(self) -> None:
        super().__init__(Config())
        self.batches: list[list[int]] = []
        self.started, self.released = threading.Semaphore(0), threading.Semaphore(0)

    @property
    def categories(self) -> tuple[str, ...]:
        return ("person",)

    def analyze(self, frames: Any) -> Any:
        self.started.release()
        self.released.acquire()
        self.batches.append(frames)
        self.timer.seconds["detect"] += len(frames)
        if 13 in frames:
            raise ZeroDivisionError("a bug")
        return list(frames)

    def describe(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        pass


def analyze_in_thread(client: BatcherClient, frames: list[Any], results: dict[int, Any]) -> threading.Thread:
    def work() -> None:
        try:
            results[frames[0]] = client.analyze(frames)
        except ZeroDivisionError as error:
            results[frames[0]] = str(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_waiting_frames_are_analyzed_in_one_batch() -> None:
    results: dict[int, Any] = {}
    slow = SlowAnalyzer()
    with DynamicBatcher(slow) as batcher:
        clients = [BatcherClient(batcher) for _ in range(4)]
        threads = [analyze_in_thread(clients[0], [1], results)]
        slow.started.acquire()
        for client, frames in zip(clients[1:], ([2, 3], [4], [5, 6, 7]), strict=True):
            threads.append(analyze_in_thread(client, frames, results))
        while len(batcher._waiting) < 3:
            time.sleep(0.001)
        slow.released.release(2)
        for thread in threads:
            thread.join()
        assert results == {1: [1], 2: [2, 3], 4: [4], 5: [5, 6, 7]}
        assert slow.batches[0] == [1] and sorted(slow.batches[1]) == [2, 3, 4, 5, 6, 7]
        assert [client.timer.seconds["detect"] for client in clients] == [1, 2, 1, 3]


def test_an_error_of_a_batch_reaches_the_runs_in_it_and_no_other() -> None:
    results: dict[int, Any] = {}
    slow = SlowAnalyzer()
    with DynamicBatcher(slow) as batcher:
        clients = [BatcherClient(batcher) for _ in range(3)]
        first = analyze_in_thread(clients[0], [1], results)
        slow.started.acquire()
        others = [
            analyze_in_thread(client, [number], results) for client, number in zip(clients[1:], (12, 13), strict=True)
        ]
        while len(batcher._waiting) < 2:
            time.sleep(0.001)
        slow.released.release(3)
        for thread in (first, *others):
            thread.join()
        analyze_in_thread(clients[0], [2], results).join()
    assert results == {1: [1], 12: "a bug", 13: "a bug", 2: [2]}


def test_frames_in_memory_are_bounded(stubbed: None, images_alive: Callable[[], int]) -> None:
    """The bound is that of one run times the number of runs, also if writing is slow."""
    alive: list[int] = []

    def on_frame(*_: object) -> bool:
        alive.append(images_alive())
        time.sleep(0.005)
        return True

    sources = [moving_clip(Path(f"film{number}.mp4"), 40) for number in range(3)]
    settings = config(source={"max_parallel": 3}, detector={"batch_size": 2, "detect_every": 2})
    assert len(list(track_all_to_files(sources, settings, lambda _: CallbackMonitor(on_frame)))) == 3
    assert 3 < max(alive) <= 3 * (2 * 2 * (2 + 1) + 1)


def test_max_parallel_limits_the_runs_at_a_time(stubbed: None) -> None:
    sources = [moving_clip(Path(f"film{number}.mp4"), 12) for number in range(5)]
    running: set[int] = set()
    counts: list[int] = []

    def start_monitor(number: int) -> RunMonitor:
        running.add(number)
        counts.append(len(running))
        return RunMonitor()

    for number, result in track_all_to_files(sources, config(source={"max_parallel": 2}), start_monitor):
        assert isinstance(result, RunResult)
        running.remove(number)
    assert counts == [1, 2, 2, 2, 2]


# Output paths


def test_sources_of_one_name(track: Callable[..., Result]) -> None:
    for folder, frames in (("a", 6), ("b", 8)):
        Path(folder).mkdir()
        moving_clip(Path(folder, "film.mp4"), frames)
    for names in (["film", "film-2", "film-3"], ["film-4", "film-5", "film-6"]):
        assert track("a/film.mp4", "b/film.mp4", "a/film.mp4")[0] == 0
        assert [read_record(name)["frames"] for name in names] == [6, 8, 6]
    assert track("b/film.mp4", "a/film.mp4", "--overwrite")[0] == 0
    assert [read_record(name)["frames"] for name in ("film", "film-2", "film-3")] == [8, 6, 6]


def test_outputs_named_after_the_sources(track: Callable[..., Result]) -> None:
    Path("a").mkdir()
    moving_clip(Path("a", "film.mp4"), 6)
    moving_clip(Path("film.mp4"), 8)
    flags = "--output", "{name}_tracks.csv", "--detections", "{name}.csv"
    code, output, _ = track("a/film.mp4", "film.mp4", *flags)
    assert code == 0 and table_rows(output)["film.mp4"][-1] == "film-2_tracks.csv, film-2.csv"
    assert [read_rows(f"{name}.csv")[-1]["frame"] for name in ("film", "film-2")] == ["5", "7"]
    assert not Path("tracked").exists()
    expected = Path("film-2_tracks.csv").read_bytes()
    assert track("film.mp4", *flags, "--overwrite")[0] == 0
    assert Path("film_tracks.csv").read_bytes() == expected


def test_no_source_is_written_to(track: Callable[..., Result]) -> None:
    """A source is not overwritten by the results of another one either."""
    film = moving_clip(Path("film.mp4"), 6)
    Path("tracked/film").mkdir(parents=True)
    results = moving_clip(Path("tracked/film/video.mp4"), 8)
    before = results.read_bytes()
    code, _, errors = track(film, results, "--overwrite")
    assert code == 2 and sorted(errors) == [
        "loading",
        "track: 1 of 2 sources failed: film.mp4",
        "track: film.mp4: the output tracked/film/video.mp4 is the source itself: give it another name",
    ]
    assert results.read_bytes() == before and read_record("video")["frames"] == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("film.mp4 other.mp4 --output t.csv", "t.csv: give '{name}.csv'"),
        ("film.mp4 other.mp4 --output out/t.csv", "give 'out/{name}.csv'"),
        ("film.mp4 other.mp4 --detections d.csv", "2 sources cannot all be written to d.csv"),
        ("film.mp4 other.mp4 --show", "--show shows one source, and there are 2"),
        ("1.png 2.png 3.png", "1.png and 2 more are single images"),
        ("film.mp4 1.png 2.png", "a pattern in quotes, such as '*.png'"),
        ("film.mp4 other.mp4 --start 2 --end 1", "is not after the start"),
        ("film.mp4 other.mp4 --offline --realtime", "leave out --realtime"),
    ],
)
def test_an_error_of_all_sources_is_printed_once(
    capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    for name in ("film.mp4", "other.mp4"):
        moving_clip(Path(name), 4)
    for number in (1, 2, 3):
        write_image(Path(f"{number}.png"), moving_rectangles(number, 64, 48))
    before = set(Path().rglob("*"))
    with pytest.raises(SystemExit) as end:
        main(arguments.split())
    output, errors = capsys.readouterr()
    assert (end.value.code, output) == (2, "") and errors.count("\n") == 1
    assert errors.startswith("track: ") and message in errors
    assert set(Path().rglob("*")) == before


def test_quoted_patterns_and_folders_of_images_are_sources(track: Callable[..., Result]) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        for number in range(5):
            write_image(Path(folder, f"{number}.png"), moving_rectangles(number, 160, 120))
    assert track("a/*.png", "b")[0] == 0
    assert [read_record(name)["frames"] for name in ("a", "b")] == [5, 5]


# Errors of one source


def test_a_failed_source_does_not_stop_the_others(track: Callable[..., Result]) -> None:
    moving_clip(Path("film.mp4"), 30)
    Path("text.mp4").write_text("This is no video.\n" * 100)
    Path("images").mkdir()
    for number in range(12):
        write_image(Path("images", f"{number}.png"), moving_rectangles(number, 160, 120))
    sources = "gone.mp4", "film.mp4", "text.mp4", "images"
    code, output, errors = track(*sources, "--max-parallel", 4)
    assert code == 2 and errors.count("loading") == 1 and len(errors) == 4
    assert errors[-2:] == ["track: 2 of 4 sources failed: gone.mp4, text.mp4", "loading"]
    messages = "\n".join(error for error in errors if error.startswith("track: "))
    assert "there is no file or folder gone.mp4" in messages and "text.mp4 is not a video" in messages
    assert line_starts(output) == ["film.mp4: 30 frames", "images: 12 frames"]
    rows = table_rows(output)
    assert list(rows) == [*sources] and rows["gone.mp4"] == rows["text.mp4"] == ["failed"]
    for name, frames in (("film", "30"), ("images", "12")):
        end, count, _, tracks, folder = rows[f"{name}.mp4" if name == "film" else name]
        assert (end, count, folder) == ("complete", frames, f"tracked/{name}/")
        assert re.fullmatch(r"(\d+ \w+(, )?)+", tracks)
    assert read_record("film")["frames"] == count_frames("tracked/film/video.mp4") == 30
    assert count_frames("tracked/images/video.mp4") == 12
    assert {path.name for path in Path("tracked").iterdir()} == {"film", "images"}


def test_networks_are_not_loaded_without_a_readable_source(track: Callable[..., Result]) -> None:
    code, output, errors = track("gone.mp4", "lost.mp4", "--quiet")
    assert (code, output) == (2, "") and len(errors) == 3 and not Path("tracked").exists()


def test_a_full_disk_for_one_source(track: Callable[..., Result]) -> None:
    make_full_device(Path("film.csv"))
    for name in ("film.mp4", "other.mp4"):
        moving_clip(Path(name), 30)
    code, _, errors = track("film.mp4", "other.mp4", "--output", "{name}.csv", "--overwrite")
    assert code == 2 and [line for line in errors if line.startswith("track: ")] == [
        next(line for line in errors if line.startswith("track: film.mp4: ") and "No space left on device" in line),
        "track: 1 of 2 sources failed: film.mp4",
    ]
    assert read_rows("other.csv")[-1]["frame"] == "29"


def test_a_bug_in_one_run_does_not_end_the_others(stubbed: None, caplog: pytest.LogCaptureFixture) -> None:
    sources = [moving_clip(Path("film.mp4"), 12), moving_clip(Path("other.mp4"), 60)]
    done: list[int] = []

    def start_monitor(number: int) -> RunMonitor:
        def on_frame(source: Source, frame: Frame, tracks: Tracks) -> bool:
            if number == 0 and frame.index == 9:
                raise ZeroDivisionError("a bug")
            return True

        return CallbackMonitor(on_frame)

    with pytest.raises(ZeroDivisionError, match="a bug"):
        for number, result in track_all_to_files(sources, Config(), start_monitor):
            assert isinstance(result, RunResult) and result.frames == 60 and result.source == "other.mp4"
            done.append(number)
    assert done == [1]
    assert count_frames("tracked/film/video.mp4") == 10 and count_frames("tracked/other/video.mp4") == 60
    assert read_record("other")["status"] == "finished" and read_record("film")["status"] == "failed"
    assert read_record("film")["reason"] == "ZeroDivisionError: a bug"
    assert [record.message for record in caplog.records] == [
        "a bug ended film.mp4 (ZeroDivisionError: a bug); the others go on"
    ]


def test_a_bug_in_one_run_on_the_command_line(
    track: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The results of the others are printed, and the traceback stays."""
    for name in ("film.mp4", "other.mp4"):
        moving_clip(Path(name), 20)
    write = tracker.pipeline.file_run._write

    def fail(writers: Any, run: Any, *arguments: Any) -> None:
        if run.source.uri == "film.mp4":
            raise ZeroDivisionError("a bug")
        write(writers, run, *arguments)

    monkeypatch.setattr(tracker.pipeline.file_run, "_write", fail)
    with pytest.raises(ZeroDivisionError):
        main(["film.mp4", "other.mp4"])
    output, errors = capsys.readouterr()
    assert line_starts(output) == ["other.mp4: 20 frames"] and "error: a bug ended film.mp4" in errors
    rows = table_rows(output)
    assert rows["film.mp4"] == ["unfinished"] and rows["other.mp4"][:2] == ["complete", "20"]


def test_a_source_that_is_no_address_is_the_error_of_that_one(track: Callable[..., Result]) -> None:
    moving_clip(Path("film.mp4"), 6)
    code, output, errors = track("http://[::1/x", "film.mp4")
    assert code == 2 and table_rows(output)["film.mp4"][:2] == ["complete", "6"]
    assert "track: http://[::1/x is not a URL" in errors[0]


def test_a_folder_of_videos(track: Callable[..., Result]) -> None:
    Path("day").mkdir()
    for name in ("a.mp4", "b.mkv"):
        moving_clip(Path("day", name), 6)
    Path("day", "notes.txt").touch()
    code, output, errors = track("day")
    assert (code, errors) == (0, ["loading"]) and [*table_rows(output)] == ["day/a.mp4", "day/b.mkv"]
    assert [read_record(name)["source"]["name"] for name in ("a", "b")] == ["day/a.mp4", "day/b.mkv"]
    Path("day", "a.mp4").unlink()
    assert track("day", "--output", "b.csv")[0] == 0 and read_rows("b.csv")[-1]["frame"] == "5"


def test_a_folder_of_videos_and_images_is_one_sentence(track: Callable[..., Result]) -> None:
    Path("mixed").mkdir()
    moving_clip(Path("mixed", "a.mp4"), 4)
    write_image(Path("mixed", "1.png"), moving_rectangles(1, 64, 48))
    code, output, errors = track("mixed")
    assert (code, output, len(errors)) == (2, "", 1) and "holds both images and videos" in errors[0]


# One table of all tracks


@pytest.mark.parametrize("parallel", [1, 3])
def test_one_table_of_all_tracks(track: Callable[..., Result], parallel: int) -> None:
    for folder, frames in (("a", 30), ("b", 8), ("c", 12)):
        Path(folder).mkdir()
        moving_clip(Path(folder, "film.mp4"), frames)
    sources = ["a/film.mp4", "b/film.mp4", "c/film.mp4"]
    flags = "--all-tracks", "all.csv", "--max-parallel", parallel
    code, output, errors = track(*sources, "gone.mp4", *flags)
    assert code == 2 and output.endswith("wrote all.csv\n") and "gone.mp4" in errors[-2]
    rows = read_rows("all.csv")
    assert list(dict.fromkeys(row["source"] for row in rows)) == sources
    for source, name in zip(sources, ("film", "film-2", "film-3"), strict=True):
        expected = read_rows(f"tracked/{name}/tracks.csv")
        assert [row for row in rows if row["source"] == source] == [{"source": source, **row} for row in expected]
        assert len(expected) > 8
    before = Path("all.csv").read_bytes()
    assert track(*sources, *flags)[0] == 2 and Path("all.csv").read_bytes() == before
    assert track(*sources, *flags, "--overwrite")[0] == 0
    assert track("retrack", "all.csv", "--source", "b/film.mp4", "--output", "again.csv")[0] == 0
    assert read_rows("again.csv")[-1]["frame"] == "7"
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == []


def test_the_table_of_one_source(track: Callable[..., Result]) -> None:
    moving_clip(Path("film.mp4"), 8)
    code, output, _ = track("film.mp4", "--output", "{name}.csv", "--all-tracks", "all.csv")
    assert code == 0 and output.endswith("wrote film.csv\nwrote all.csv\n")
    rows = read_rows("all.csv")
    assert {row.pop("source") for row in rows} == {"film.mp4"} and rows == read_rows("film.csv")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--all-tracks all.txt", "the table of all tracks is a .csv"),
        ("--all-tracks gone/all.csv", "there is no folder gone"),
        ("--all-tracks old.csv", "old.csv exists: give --overwrite"),
        ("--output all.csv --all-tracks all.csv", "two outputs have the same name"),
    ],
)
def test_a_table_that_cannot_be_written(track: Callable[..., Result], flags: str, message: str) -> None:
    moving_clip(Path("film.mp4"), 4)
    Path("old.csv").write_text("mine")
    code, output, errors = track("film.mp4", *flags.split())
    assert (code, output) == (2, "") and message in errors[-1]
    assert Path("old.csv").read_text() == "mine" and not Path("tracked").exists()


def test_a_full_disk_for_the_table_of_all(track: Callable[..., Result]) -> None:
    for name in ("film.mp4", "other.mp4"):
        moving_clip(Path(name), 30)
    with small_disk(Path("disk"), 4) as disk:
        code, _, errors = track("film.mp4", "other.mp4", "--all-tracks", disk / "all.csv", "--max-parallel", 1)
        assert code == 2 and "No space left on device" in errors[0]
        assert [path.name for path in disk.iterdir()] == ["all.csv"]
        assert (disk / "all.csv").read_bytes().endswith(b"\n")


def test_leaving_the_loop_ends_all_runs(stubbed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [moving_clip(Path("film.mp4"), 6), moving_clip(Path("other.mp4"), 400)]
    detect = StubDetector._detect
    monkeypatch.setattr(StubDetector, "_detect", lambda *arguments: time.sleep(0.01) or detect(*arguments))
    with closing(track_all_to_files(sources, Config())) as results:
        assert next(results)[0] == 0
    assert read_record("other")["status"] == "failed" and count_frames("tracked/film/video.mp4") == 6


# Live sources


@pytest.mark.slow
def test_a_stream_that_stalls_does_not_delay_other_sources(stubbed: None) -> None:
    data = moving_clip(Path("clip.ts"), 300, options={"bf": "0"}).read_bytes()
    sources = [moving_clip(Path(f"film{number}.mp4"), 20) for number in range(3)]
    done: dict[int, float] = {}
    with serve_stream(data, True) as address:
        begin = time.monotonic()
        settings = config(source={"timeout": 3.0, "reconnect": 0, "max_parallel": 1}, detector={"batch_size": 2})
        for number, result in track_all_to_files([address, *sources, address + "2"], settings):
            assert isinstance(result, RunResult) and result.frames > 3 and not result.stopped
            done[number] = time.monotonic() - begin
    assert [*done][:3] == [1, 2, 3] and {*done} == {0, 1, 2, 3, 4} and min(done[0], done[4]) > 3
    names = {
        json.loads(path.read_text())["source"]["name"]: path.parent.name for path in Path("tracked").rglob("*.json")
    }
    assert names[address] == "127.0.0.1" and names[address + "2"] == "127.0.0.1-2"


# Signals


@pytest.mark.parametrize("offline", [False, True])
def test_after_an_interrupt_the_running_sources_are_finished(
    track: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    for name in ("film.mp4", "other.mp4", "third.mp4"):
        moving_clip(Path(name), 400)
    detect, numbers = StubDetector._detect, iter(range(10**6))

    def interrupt(*arguments: Any) -> Any:
        time.sleep(0.01)
        if next(numbers) == 50:
            os.kill(os.getpid(), signal.SIGINT)
        return detect(*arguments)

    monkeypatch.setattr(StubDetector, "_detect", interrupt)
    code, output, errors = track("film.mp4", "other.mp4", "third.mp4", *(["--offline"] if offline else []))
    assert (code, errors) == (130, ["loading"])
    for name in ("film", "other"):
        record = read_record(name)
        assert record["status"] == "stopped" and 0 < record["frames"] < 100
        assert count_frames(f"tracked/{name}/video.mp4") == record["frames"]
    rows = table_rows(output)
    assert rows["film.mp4"][0] == rows["other.mp4"][0] == "stopped" and rows["third.mp4"] == ["not started"]
    assert output.count(", stopped; tracks: ") == 2
    assert not Path("tracked/third").exists()


def start(*arguments: object, load_time: float = 0.0, delay: float = 0.02) -> subprocess.Popen[str]:
    """Starts `track` with the stub networks, as a process of its own."""
    command = [sys.executable, str(STUB), str(load_time), str(delay), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def running() -> Iterator[subprocess.Popen[str]]:
    """Yields a run of two videos after 60 rows of each."""
    for name in ("film.mp4", "other.mp4"):
        moving_clip(Path(name), 600)
    process = start("film.mp4", "other.mp4")
    tables = [Path(f"tracked/{name}/tracks.csv") for name in ("film", "other")]
    try:
        while not all(table.exists() and table.read_bytes().count(b"\n") > 60 for table in tables):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_an_interrupt_of_a_process(running: subprocess.Popen[str]) -> None:
    running.send_signal(signal.SIGINT)
    output, errors = running.communicate(timeout=30)
    assert (running.returncode, errors) == (130, "loading\n")
    assert [row[0] for row in table_rows(output).values()] == ["stopped", "stopped"]
    for name in ("film", "other"):
        record = read_record(name)
        assert record["status"] == "stopped" and count_frames(f"tracked/{name}/video.mp4") == record["frames"]


@pytest.mark.slow
def test_two_interrupts_stop_at_once(running: subprocess.Popen[str]) -> None:
    for _ in range(2):
        running.send_signal(signal.SIGTERM)
        time.sleep(0.003)
    _, errors = running.communicate(timeout=30)
    assert (running.returncode, errors) == (143, "loading\n")
    for name in ("film", "other"):
        assert count_frames(f"tracked/{name}/video.mp4") > 20 and read_rows(f"tracked/{name}/tracks.csv")


@pytest.mark.slow
def test_an_interrupt_while_loading() -> None:
    for name in ("film.mp4", "other.mp4"):
        moving_clip(Path(name), 6)
    with start("film.mp4", "other.mp4", load_time=60) as process:
        assert process.stderr is not None and process.stderr.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 130
    assert {str(path) for path in Path().rglob("*")} == {"film.mp4", "other.mp4"}


@pytest.mark.slow
def test_a_terminal_shows_a_bar_for_each() -> None:
    import pty

    Path("a").mkdir()
    for name in ("film.mp4", "a/film.mp4"):
        moving_clip(Path(name), 60)
    screen, line = pty.openpty()
    command = [sys.executable, str(STUB), "0", "0.02", "film.mp4", "gone.mp4", "a/film.mp4"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(command, stdout=line, stderr=line, env=environment)
    os.close(line)
    text = b"".join(_chunks(screen)).decode()
    os.close(screen)
    assert process.wait(timeout=30) == 2
    assert "track: there is no file or folder gone.mp4: check the name\r\n" in text
    for name in ("film.mp4", "a/film.mp4"):
        assert f"\n{name} " in text or f"\r{name} " in text or f"\x1b[2K{name} " in text
    assert "/60 frames" in text and text.count("\x1b[?25l") == text.count("\x1b[?25h")
    rows = [line.split() for line in text[text.index("source ") :].splitlines()]
    assert [row[:2] for row in rows if row[0] in ("film.mp4", "gone.mp4", "a/film.mp4")] == [
        ["film.mp4", "complete"],
        ["gone.mp4", "failed"],
        ["a/film.mp4", "complete"],
    ]
    assert "60 frames in " not in text  # the table says it


def _chunks(screen: int) -> Generator[bytes]:
    while True:
        try:
            yield os.read(screen, 65536)
        except OSError:  # Linux: all writers are gone
            return
