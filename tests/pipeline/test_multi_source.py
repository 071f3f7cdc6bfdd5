"""Several sources in one process: of each the same results as alone, whatever happens to the others."""

import csv
import json
import os
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

from live_streams import streamed
from paths import STUB
from stub_networks import StubDetector, moving, moving_clip
from tracker import Config, Frame, Tracks, track_all_to_files, track_to_files
from tracker.cli.app import main
from tracker.cli.demo import draw_clip
from tracker.pipeline.analyzer import Stages
from tracker.pipeline.batcher import BatcherClient, DynamicBatcher
from tracker.pipeline.file_run import Looker, RunResult, Watcher
from tracker.pipeline.frame_sampler import Perceived
from tracker.video import Source
from video_clips import write_clip, write_image

pytestmark = [
    pytest.mark.usefixtures("in_time"),
    pytest.mark.skipif(sys.platform == "win32", reason="there are no alarms, and no interrupts to send"),
]
VARIABLE = [0, 1, 5, 6, 7, 12, 13, 14, 22, 23, 25, 30, 31, 32, 33, 40, 41, 42, 43, 59]
Result = tuple[int, str, list[str]]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def track(stubbed: None, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs the command in this process: exit code, stdout, lines of stderr."""

    def run(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        output, errors = capsys.readouterr()
        # What the stub says while another source's run fails may come before or after what is said of that.
        return int(end.value.code or 0), output, sorted(errors.splitlines(), key=lambda line: line == "loading")

    return run


def config(**sections: dict[str, Any]) -> Config:
    return Config.model_validate(sections)


def clips() -> list[Path]:
    """Three clips of different sizes, lengths and rates."""
    return [
        moving_clip(Path("first.mp4"), 37),
        write_clip(Path("second.mp4"), 20, 10, size=(200, 150), draw=moving, pts=VARIABLE, options={"bf": "0"}),
        write_clip(Path("third.mkv"), 60, 25, size=(128, 110), draw=moving),
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "run.json"}


def record_of(folder: str) -> dict[str, Any]:
    record = json.loads(Path("tracked", folder, "run.json").read_text())
    assert record.pop("elapsed_s") > 0
    assert all(queue["highest"] <= queue["room"] for queue in record.pop("queues").values())
    assert all(seconds >= 0 for seconds in record.pop("stage_s").values())
    return record  # type: ignore[no-any-return]


def played(path: str) -> int:
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0))


def rows_of(path: str) -> list[dict[str, str]]:
    assert Path(path).read_bytes().endswith(b"\n")
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# The same results as alone


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"detector": {"batch_size": 1}, "source": {"max_parallel": 3}},
        {"detector": {"batch_size": 3, "detect_every": 2}, "source": {"max_parallel": 3, "start": 0.3, "end": 2.0}},
        {"tracker": {"offline": True}, "source": {"max_parallel": 1}},
        {"appearance": {"embedder": "none"}, "tracker": {"camera_motion": "flow"}},
    ],
    ids=["default", "three at once", "some frames of a part", "offline, one by one", "camera"],
)
def test_the_same_files_and_records_as_alone(stubbed: None, how: dict[str, Any]) -> None:
    sources = clips()
    for source in sources:
        track_to_files(source, config(**how))
    alone = {source.stem: (files_of(Path("tracked", source.stem)), record_of(source.stem)) for source in sources}
    Path("tracked").rename("alone")
    outcomes = dict(track_all_to_files(sources, config(**how)))
    for number, source in enumerate(sources):
        outcome = outcomes[number]
        assert isinstance(outcome, RunResult) and outcome.places[0].parent == Path("tracked", source.stem)
        assert (files_of(Path("tracked", source.stem)), record_of(source.stem)) == alone[source.stem]
        assert alone[source.stem][0]["tracks.csv"].count(b"\n") > 8


@pytest.mark.slow
def test_the_same_bytes_from_real_networks() -> None:
    draw_clip(Path("demo.mp4"))
    with av.open("demo.mp4") as film:
        images = [frame.to_ndarray(format="rgb24") for _, frame in zip(range(40), film.decode(video=0), strict=False)]
    write_clip(Path("large.mp4"), 40, 25, size=(640, 360), draw=lambda n, *_: images[n])
    write_clip(Path("small.mp4"), 40, 25, size=(400, 330), draw=lambda n, *_: images[n][:330, 100:500].copy())
    how = {
        "detector": {"device": "cpu", "backend": "torch"},
        "source": {"every": 4},
        "output": {"output": ["{name}.csv"]},
    }
    sources = ["large.mp4", "small.mp4"]
    for source in sources:
        track_to_files(source, config(**how))
    alone = [Path(name).read_bytes() for name in ("large.csv", "small.csv")]
    assert all(table.count(b"\n") > 10 for table in alone)
    again = {"output": how["output"] | {"overwrite": True}}
    assert all(isinstance(outcome, RunResult) for _, outcome in track_all_to_files(sources, config(**how | again)))
    assert [Path(name).read_bytes() for name in ("large.csv", "small.csv")] == alone


class Slow(Stages):
    """Sees the numbers of frames, and only when it is let."""

    def __init__(self) -> None:
        super().__init__(Config())
        self.seen: list[list[int]] = []
        self.begun, self.go_on = threading.Semaphore(0), threading.Semaphore(0)

    @property
    def categories(self) -> tuple[str, ...]:
        return ("person",)

    def perceive(self, frames: Any) -> Perceived:
        self.begun.release()
        self.go_on.acquire()
        self.seen.append(frames)
        self.seconds["detect"] += len(frames)
        if 13 in frames:
            raise ZeroDivisionError("a bug")
        return (list(frames), list(frames), list(frames), list(frames))

    def describe(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        pass


def ask(guest: BatcherClient, frames: list[Any], heard: dict[int, Any]) -> threading.Thread:
    def work() -> None:
        try:
            heard[frames[0]] = guest.perceive(frames)[0]
        except ZeroDivisionError as error:
            heard[frames[0]] = str(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_what_waits_is_looked_at_together() -> None:
    heard: dict[int, Any] = {}
    slow = Slow()
    with DynamicBatcher(slow) as host:
        guests = [BatcherClient(host, Config().output) for _ in range(4)]
        threads = [ask(guests[0], [1], heard)]
        slow.begun.acquire()
        for guest, frames in zip(guests[1:], ([2, 3], [4], [5, 6, 7]), strict=True):
            threads.append(ask(guest, frames, heard))
        while len(host._waiting) < 3:
            time.sleep(0.001)
        slow.go_on.release(2)
        for thread in threads:
            thread.join()
        assert heard == {1: [1], 2: [2, 3], 4: [4], 5: [5, 6, 7]}
        assert slow.seen[0] == [1] and sorted(slow.seen[1]) == [2, 3, 4, 5, 6, 7]
        assert [guest.seconds["detect"] for guest in guests] == [1, 2, 1, 3]


def test_an_error_while_looking_reaches_all_that_it_was_for_and_no_other() -> None:
    heard: dict[int, Any] = {}
    slow = Slow()
    with DynamicBatcher(slow) as host:
        guests = [BatcherClient(host, Config().output) for _ in range(3)]
        first = ask(guests[0], [1], heard)
        slow.begun.acquire()
        others = [ask(guest, [number], heard) for guest, number in zip(guests[1:], (12, 13), strict=True)]
        while len(host._waiting) < 2:
            time.sleep(0.001)
        slow.go_on.release(3)
        for thread in (first, *others):
            thread.join()
        ask(guests[0], [2], heard).join()
    assert heard == {1: [1], 12: "a bug", 13: "a bug", 2: [2]}


def test_frames_in_memory_are_bounded(stubbed: None, pictures_alive: Callable[[], int]) -> None:
    """As for a run alone, times the number of runs, however slow they are to write."""
    alive: list[int] = []

    def watch(*_: object) -> bool:
        alive.append(pictures_alive())
        time.sleep(0.005)
        return True

    sources = [moving_clip(Path(f"film{number}.mp4"), 40) for number in range(3)]
    how = config(source={"max_parallel": 3}, detector={"batch_size": 2, "detect_every": 2})
    assert len(list(track_all_to_files(sources, how, lambda _: (watch, lambda *_: True)))) == 3
    assert 3 < max(alive) <= 3 * (2 * 2 * (2 + 1) + 1)


def test_no_more_files_than_asked_for_at_a_time(stubbed: None) -> None:
    sources = [moving_clip(Path(f"film{number}.mp4"), 12) for number in range(5)]
    going: set[int] = set()
    most: list[int] = []

    def begin(number: int) -> tuple[Watcher, Looker]:
        going.add(number)
        most.append(len(going))
        return lambda *_: True, lambda *_: True

    for number, outcome in track_all_to_files(sources, config(source={"max_parallel": 2}), begin):
        assert isinstance(outcome, RunResult)
        going.remove(number)
    assert most == [1, 2, 2, 2, 2]


# Where results go


def test_sources_of_one_name(track: Callable[..., Result]) -> None:
    for folder, frames in (("a", 6), ("b", 8)):
        Path(folder).mkdir()
        moving_clip(Path(folder, "film.mp4"), frames)
    for names in (["film", "film-2", "film-3"], ["film-4", "film-5", "film-6"]):
        assert track("a/film.mp4", "b/film.mp4", "a/film.mp4")[0] == 0
        assert [record_of(name)["frames"] for name in names] == [6, 8, 6]
    assert track("b/film.mp4", "a/film.mp4", "--overwrite")[0] == 0
    assert [record_of(name)["frames"] for name in ("film", "film-2", "film-3")] == [8, 6, 6]


def test_outputs_named_after_the_sources(track: Callable[..., Result]) -> None:
    Path("a").mkdir()
    moving_clip(Path("a", "film.mp4"), 6)
    moving_clip(Path("film.mp4"), 8)
    flags = "--output", "{name}_tracks.csv", "--detections", "{name}.csv"
    code, output, _ = track("a/film.mp4", "film.mp4", *flags)
    assert code == 0 and "wrote film-2_tracks.csv" in output
    assert [rows_of(f"{name}.csv")[-1]["frame"] for name in ("film", "film-2")] == ["5", "7"]
    assert not Path("tracked").exists()
    alone = Path("film-2_tracks.csv").read_bytes()
    assert track("film.mp4", *flags, "--overwrite")[0] == 0
    assert Path("film_tracks.csv").read_bytes() == alone


def test_no_source_is_written_to(track: Callable[..., Result]) -> None:
    """Not by what comes of another one either."""
    film = moving_clip(Path("film.mp4"), 6)
    Path("tracked/film").mkdir(parents=True)
    results = moving_clip(Path("tracked/film/video.mp4"), 8)
    before = results.read_bytes()
    code, _, errors = track(film, results, "--overwrite")
    assert code == 2 and sorted(errors) == [
        "loading",
        "track: film.mp4: the output tracked/film/video.mp4 is the source itself: give it another name",
    ]
    assert results.read_bytes() == before and record_of("video")["frames"] == 8


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("film.mp4 other.mp4 --output t.csv", "t.csv: give '{name}.csv'"),
        ("film.mp4 other.mp4 --output out/t.csv", "give 'out/{name}.csv'"),
        ("film.mp4 other.mp4 --detections d.csv", "2 sources cannot all be written to d.csv"),
        ("film.mp4 other.mp4 --show", "--show shows one source, and there are 2"),
        ("1.png 2.png 3.png", "1.png and 2 more are single pictures"),
        ("film.mp4 1.png 2.png", "a pattern in quotes, such as '*.png'"),
        ("film.mp4 other.mp4 --start 2 --end 1", "is not after the start"),
        ("film.mp4 other.mp4 --offline --realtime", "leave out --realtime"),
        ("film.mp4 http://[::1/x", "is not an address"),
    ],
)
def test_what_can_be_had_of_none_is_said_once(capsys: pytest.CaptureFixture[str], arguments: str, said: str) -> None:
    for name in ("film.mp4", "other.mp4"):
        moving_clip(Path(name), 4)
    for number in (1, 2, 3):
        write_image(Path(f"{number}.png"), moving(number, 64, 48))
    before = set(Path().rglob("*"))
    with pytest.raises(SystemExit) as end:
        main(arguments.split())
    output, errors = capsys.readouterr()
    assert (end.value.code, output) == (2, "") and errors.count("\n") == 1
    assert errors.startswith("track: ") and said in errors
    assert set(Path().rglob("*")) == before


def test_quoted_patterns_and_folders_of_pictures_are_sources(track: Callable[..., Result]) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        for number in range(5):
            write_image(Path(folder, f"{number}.png"), moving(number, 160, 120))
    assert track("a/*.png", "b")[0] == 0
    assert [record_of(name)["frames"] for name in ("a", "b")] == [5, 5]


# One of them fails


def test_what_fails_does_not_stop_the_others(track: Callable[..., Result]) -> None:
    moving_clip(Path("film.mp4"), 30)
    Path("text.mp4").write_text("This is no video.\n" * 100)
    Path("pictures").mkdir()
    for number in range(12):
        side = 160 if number < 9 else 200
        write_image(Path("pictures", f"{number}.png"), moving(number, side, 120))
    sources = "gone.mp4", "film.mp4", "text.mp4", "pictures"
    code, output, errors = track(*sources, "--max-parallel", 4)
    assert code == 2 and errors.count("loading") == 1 and len(errors) == 4
    told = "\n".join(error for error in errors if error.startswith("track: "))
    assert "there is no file or folder gone.mp4" in told and "text.mp4 is not a video" in told
    assert "track: pictures/9.png is 200x120" in told
    assert output.startswith("film.mp4\n30 frames in ") and output.count("wrote") == 3
    assert record_of("film")["frames"] == played("tracked/film/video.mp4") == 30
    assert played("tracked/pictures/video.mp4") == 9 and rows_of("tracked/pictures/tracks.csv")[-1]["frame"] == "8"
    assert {path.name for path in Path("tracked").iterdir()} == {"film", "pictures"}


def test_networks_are_not_loaded_where_nothing_can_be_read(track: Callable[..., Result]) -> None:
    code, output, errors = track("gone.mp4", "lost.mp4", "--quiet")
    assert (code, output) == (2, "") and len(errors) == 2 and not Path("tracked").exists()


def test_a_full_disk_for_one_of_them(track: Callable[..., Result]) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux has /dev/full")
    for name in ("film.mp4", "other.mp4"):
        moving_clip(Path(name), 30)
    Path("film.csv").symlink_to("/dev/full")
    code, _, errors = track("film.mp4", "other.mp4", "--output", "{name}.csv", "--overwrite")
    assert code == 2 and [line for line in errors if line.startswith("track: ")] == [
        line for line in errors if line.startswith("track: film.mp4: ") and "No space left on device" in line
    ]
    assert rows_of("other.csv")[-1]["frame"] == "29"


def test_a_bug_ends_all(stubbed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [moving_clip(Path("film.mp4"), 12), moving_clip(Path("other.mp4"), 400)]

    def begin(number: int) -> tuple[Watcher, Looker]:
        def watch(source: Source, frame: Frame, tracks: Tracks) -> bool:
            if number == 0 and frame.index == 9:
                raise ZeroDivisionError("a bug")
            time.sleep(0.005)
            return True

        return watch, lambda *_: True

    with pytest.raises(ZeroDivisionError, match="a bug"):
        list(track_all_to_files(sources, Config(), begin))
    assert played("tracked/film/video.mp4") == 10
    assert 0 < played("tracked/other/video.mp4") < 400
    assert not Path("tracked/other/run.json").exists()


def test_leaving_the_loop_ends_all(stubbed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [moving_clip(Path("film.mp4"), 6), moving_clip(Path("other.mp4"), 400)]
    detect = StubDetector._detect
    monkeypatch.setattr(StubDetector, "_detect", lambda *given: time.sleep(0.01) or detect(*given))
    with closing(track_all_to_files(sources, Config())) as results:
        assert next(results)[0] == 0
    assert not Path("tracked/other/run.json").exists() and played("tracked/film/video.mp4") == 6


# Live sources


@pytest.mark.slow
def test_a_stream_that_falls_silent_holds_nobody_up(stubbed: None) -> None:
    data = moving_clip(Path("clip.ts"), 60, options={"bf": "0"}).read_bytes()
    sources = [moving_clip(Path(f"film{number}.mp4"), 20) for number in range(3)]
    done: dict[int, float] = {}
    with streamed(data, True) as address:
        begin = time.monotonic()
        settings = config(source={"timeout": 3.0, "max_parallel": 1}, detector={"batch_size": 2})
        for number, outcome in track_all_to_files([address, *sources, address + "2"], settings):
            assert isinstance(outcome, RunResult) and outcome.frames > 3 and not outcome.stopped
            done[number] = time.monotonic() - begin
    assert [*done][:3] == [1, 2, 3] and {*done} == {0, 1, 2, 3, 4} and min(done[0], done[4]) > 3
    names = {
        json.loads(path.read_text())["source"]["name"]: path.parent.name for path in Path("tracked").rglob("*.json")
    }
    assert names[address] == "127.0.0.1" and names[address + "2"] == "127.0.0.1-2"


# The end


@pytest.mark.parametrize("offline", [False, True])
def test_an_interrupt_finishes_what_has_begun(
    track: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    for name in ("film.mp4", "other.mp4", "third.mp4"):
        moving_clip(Path(name), 400)
    detect, numbers = StubDetector._detect, iter(range(10**6))

    def happens(*given: Any) -> Any:
        time.sleep(0.01)
        if next(numbers) == 50:
            os.kill(os.getpid(), signal.SIGINT)
        return detect(*given)

    monkeypatch.setattr(StubDetector, "_detect", happens)
    code, output, errors = track("film.mp4", "other.mp4", "third.mp4", *(["--offline"] if offline else []))
    assert (code, errors) == (130, ["loading"])
    for name in ("film", "other"):
        record = record_of(name)
        assert record["stopped_by_user"] and 0 < record["frames"] < 100
        assert played(f"tracked/{name}/video.mp4") == record["frames"]
    assert output.count(", stopped\n") == 2 and output.endswith("\nthird.mp4 was not begun\n")
    assert not Path("tracked/third").exists()


def start(*arguments: object, loading: float = 0.0, delay: float = 0.02, **how: Any) -> subprocess.Popen[str]:
    """`track` with the stub, as a process of its own."""
    command = [sys.executable, str(STUB), str(loading), str(delay), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)


@pytest.fixture
def running() -> Iterator[subprocess.Popen[str]]:
    """A run of two videos that have come some way."""
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
    assert (running.returncode, errors) == (130, "loading\n") and output.count(", stopped\n") == 2
    for name in ("film", "other"):
        record = record_of(name)
        assert record["stopped_by_user"] and played(f"tracked/{name}/video.mp4") == record["frames"]


@pytest.mark.slow
def test_two_interrupts_stop_at_once(running: subprocess.Popen[str]) -> None:
    for _ in range(2):
        running.send_signal(signal.SIGTERM)
        time.sleep(0.003)
    _, errors = running.communicate(timeout=30)
    assert (running.returncode, errors) == (143, "loading\n")
    for name in ("film", "other"):
        assert played(f"tracked/{name}/video.mp4") > 20 and rows_of(f"tracked/{name}/tracks.csv")


@pytest.mark.slow
def test_an_interrupt_while_loading() -> None:
    for name in ("film.mp4", "other.mp4"):
        moving_clip(Path(name), 6)
    with start("film.mp4", "other.mp4", loading=60) as process:
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
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=line, env=environment)
    os.close(line)
    seen = b"".join(_chunks(screen)).decode()
    os.close(screen)
    assert process.wait(timeout=30) == 2
    assert "track: there is no file or folder gone.mp4: check the name\r\n" in seen
    for name in ("film.mp4", "a/film.mp4"):
        assert f"\n{name} " in seen or f"\r{name} " in seen or f"\x1b[2K{name} " in seen
    assert "/60 frames" in seen and seen.count("\x1b[?25l") == seen.count("\x1b[?25h")


def _chunks(screen: int) -> Generator[bytes]:
    while True:
        try:
            yield os.read(screen, 65536)
        except OSError:  # Linux: all writers are gone
            return
