"""Stages that run in parallel: results as in sequence, bounded memory, and a clean end after errors and signals."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import tracker.pipeline.file_run
import tracker.pipeline.networks
import tracker.pipeline.tracking_run
from conftest import TIME_LIMIT
from paths import PETS, STUB
from run_monitors import CallbackMonitor
from stub_networks import StubDetector, moving_clip, moving_rectangles
from tracker import Config, InputError, retrack, track, track_to_files
from tracker.cli.app import main
from tracker.config import SourceConfig
from tracker.output import AnnotatedVideoWriter
from tracker.output.encoder import FragmentedMp4Writer
from tracker.pipeline.prefetch import BackgroundWorker, prefetch
from tracker.tracking import DeepSort
from tracker.video import Source
from tracker.video.rgb import RGBConverter
from tracker.video.source import LazyFrame
from video_clips import write_clip

PETS_VIDEO = PETS / "video.mp4"
needs_pets = pytest.mark.skipif(not PETS_VIDEO.exists(), reason="the real clip PETS09-S2L1 is not in the repository")
pytestmark = [
    pytest.mark.usefixtures("time_limit"),
    pytest.mark.skipif(sys.platform == "win32", reason="there are no alarms, and no interrupts to send"),
]


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a clip of 40 frames in the current folder."""
    monkeypatch.chdir(tmp_path)
    return moving_clip(tmp_path / "film.mp4", 40)


def config(*outputs: str, **sections: dict[str, Any]) -> Config:
    return Config.model_validate(sections | {"output": {"output": list(outputs)} | sections.get("output", {})})


def read_rows(name: str) -> list[dict[str, str]]:
    assert Path(name).read_bytes().endswith(b"\n")
    with open(name, newline="") as file:
        return list(csv.DictReader(file))


def count_frames(name: str) -> int:
    with av.open(name) as container:
        return sum(1 for _ in container.decode(video=0))


# Results of parallel and sequential runs


def disable_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        tracker.pipeline.tracking_run, "prefetch", lambda items, size, name, queue_stats: prefetch(items, 0, name)
    )
    monkeypatch.setattr(
        tracker.pipeline.file_run, "BackgroundWorker", lambda size, name, queue_stats: BackgroundWorker(0, name)
    )


OUTPUTS = ("out.mp4", "out.csv", "out.json", "out.txt")
COMBINATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "batch of one": {"detector": {"batch_size": 1}},
    "batches that do not divide the frames": {"detector": {"batch_size": 7}, "source": {"every": 2}},
    "offline": {"tracker": {"offline": True}},
    "stored": {"output": {"detections": "detections.csv"}},
    "offline, stored": {"tracker": {"offline": True}, "output": {"detections": "detections.csv"}},
    "camera": {"tracker": {"camera_motion": "flow", "max_coast": 1.0}},
    "every third": {"detector": {"detect_every": 3}, "output": {"detections": "detections.csv"}},
    "every third, offline": {"detector": {"detect_every": 3}, "tracker": {"offline": True}},
}


def output_files(source: Path, sections: dict[str, Any]) -> dict[str, bytes]:
    """Returns the contents of the files that a run writes, by name, and removes them."""
    result = track_to_files(source, config(*OUTPUTS, **sections))
    assert result.frames >= 14 and {"out.mp4", "out.csv"} <= {path.name for path in result.output_paths}
    files = {path.name: path.read_bytes() for path in result.output_paths}
    for path in result.output_paths:
        path.unlink()
    return files


@pytest.mark.parametrize("sections", COMBINATIONS.values(), ids=COMBINATIONS)
def test_files_are_those_of_a_sequential_run(
    stubbed: None, clip: Path, monkeypatch: pytest.MonkeyPatch, sections: dict[str, Any]
) -> None:
    parallel = output_files(clip, sections)
    disable_threads(monkeypatch)
    assert output_files(clip, sections) == parallel
    assert parallel["out.csv"].count(b"\n") > 20


def test_tracks_are_those_of_a_sequential_run(stubbed: None, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def frames_and_tracks() -> list[object]:
        return [(f.index, f.time, f.image.tobytes(), t.ids.tolist(), t.boxes.tolist()) for f, t in track(clip)]

    parallel = frames_and_tracks()
    disable_threads(monkeypatch)
    assert frames_and_tracks() == parallel


@pytest.mark.slow
@needs_pets
@pytest.mark.parametrize(
    "sections",
    [{"tracker": {"rescore": 0.4}}, {"appearance": {"embedding_source": "roi"}, "tracker": {"camera_motion": "flow"}}],
    ids=["rescore", "roi"],
)
def test_files_of_real_networks_are_those_of_a_sequential_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sections: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    sections = sections | {"source": {"end": 2.0}, "detector": {"device": "cpu", "score": 0.3}}
    parallel = output_files(PETS_VIDEO, sections)
    disable_threads(monkeypatch)
    assert output_files(PETS_VIDEO, sections) == parallel
    assert parallel["out.csv"].count(b"\n") > 20


def test_frames_in_memory_are_bounded(
    stubbed: None, clip: Path, monkeypatch: pytest.MonkeyPatch, images_alive: Callable[[], int]
) -> None:
    """Checks the bound of `TrackingRun.queue_size` with a slow writer; a slow reader or detector fills no queue."""
    alive: list[int] = []

    def on_frame(*_: object) -> bool:
        alive.append(images_alive())
        return True

    slow_down(monkeypatch, "write", 0.01)
    for batch_size, every in ((1, 1), (3, 1), (2, 2)):
        alive.clear()
        track_to_files(
            clip,
            config("out.mp4", detector={"batch_size": batch_size, "detect_every": every}, output={"overwrite": True}),
            CallbackMonitor(on_frame),
        )
        assert 1 < max(alive) <= 2 * batch_size * (every + 1) + 1


class Camera(Source):
    """A live source that has a new frame whenever it is asked for one."""

    def __init__(self) -> None:
        super().__init__("camera", "camera", SourceConfig())
        self.live = True
        self.time_base, self.frame_rate = Fraction(1, 1000), Fraction(30)
        self.height, self.width, _ = moving_rectangles(0, 160, 120).shape
        self.frames_read = 0

    def _lazy_frames(self) -> Generator[LazyFrame]:
        for number in range(1000):
            self.frames_read += 1
            yield LazyFrame(number, 33 * number, Fraction(0), lambda number=number: moving_rectangles(number, 160, 120))


@pytest.mark.parametrize("delay", [0.0, 0.02])
def test_a_live_source_is_not_read_ahead_of_the_detector(stubbed: None, delay: float) -> None:
    """A frame read early would be old by its turn: while one frame is tracked, only the next one is being analyzed."""
    with Camera() as camera, tracker.pipeline.networks.NetworkAnalyzer(Config()) as analyzer:
        frames = tracker.pipeline.tracking_run.TrackingRun(camera, analyzer).tracks()
        for (frame, _), _ in zip(frames, range(30), strict=False):
            time.sleep(delay)
            assert camera.frames_read <= frame.index + 2


# Frames that the detector skips


def test_the_detector_runs_on_every_third_frame(stubbed: None, clip: Path) -> None:
    """Detected frames are tracked as if there were no others; in between, the predicted boxes follow the objects."""
    result = track_to_files(clip, config("a.csv", detector={"detect_every": 3}))
    assert result.frames == 40 and result.frames_predicted == 26
    track_to_files(clip, config("b.csv", source={"every": 3}))
    rows = read_rows("a.csv")
    assert [row for row in rows if int(row["frame"]) % 3 == 0] == read_rows("b.csv")
    skipped = [row for row in rows if int(row["frame"]) % 3]
    assert len(skipped) == 2 * 24 and {row["observed"] for row in skipped} == {"0"}
    for row in skipped:
        if int(row["frame"]) > 12:
            number, left = int(row["frame"]), float(row["x1"])
            true_left = 10 + 2 * number if row["class"] == "person" else 110 - 2 * number
            assert abs(left - true_left) < 2.5


def test_offline_tracking_interpolates_skipped_frames(stubbed: None, clip: Path) -> None:
    sections = {"tracker": {"offline": True}, "detector": {"detect_every": 4}}
    result = track_to_files(clip, config("a.csv", output={"detections": "detections.csv"}, **sections))
    assert result.frames_predicted == 30
    rows = read_rows("a.csv")
    assert len(rows) == 2 * 37 and {row["frame"] for row in rows} == {str(n) for n in range(37)}
    assert {row["frame"] for row in rows if row["observed"] == "1"} == {str(n) for n in range(0, 37, 4)}
    retracked = list(retrack("detections.csv", Config.model_validate({"tracker": {"n_init": 1}})))
    assert [frame.index for frame, _ in retracked] == list(range(0, 40, 4))


def test_realtime(clip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a detector that takes several frames' time, a video of 4 s takes 4 s, and the detector runs when it can."""
    monkeypatch.setattr(tracker.pipeline.networks, "load_detector", lambda _: StubDetector(0.25))
    begin = time.monotonic()
    with pytest.raises(SystemExit) as end:
        main(["film.mp4", "--realtime", "--embedder", "none"])
    assert end.value.code in (0, None) and time.monotonic() - begin > 3.9
    record = json.loads(Path("tracked/film/run.json").read_text())
    assert record["frames"] == 40 and 20 <= record["frames_predicted"] < 39
    assert f"the detector did not run on {record['frames_predicted']} frames" in capsys.readouterr().out
    assert {row["observed"] for row in read_rows("tracked/film/tracks.csv")} == {"0", "1"}


def test_realtime_and_offline_exclude_each_other(stubbed: None, clip: Path) -> None:
    with pytest.raises(InputError, match="--realtime"):
        list(track(clip, config(tracker={"offline": True}, detector={"realtime": True})))


# Errors and interrupts

STAGES = ("decode", "detect", "associate", "write")


def slow_down(monkeypatch: pytest.MonkeyPatch, stage: str, delay: float) -> None:
    """Delays one stage by some seconds for each frame."""
    before_each_frame(monkeypatch, stage, lambda number: time.sleep(delay))


def before_each_frame(monkeypatch: pytest.MonkeyPatch, stage: str, callback: Callable[[int], None]) -> None:
    """Calls a function in a stage before each of its frames, with the number of the call, counted from 0."""
    owner, name = {
        "decode": (RGBConverter, "__call__"),
        "detect": (StubDetector, "_detect"),
        "associate": (DeepSort, "update"),
        "write": (AnnotatedVideoWriter, "write"),
    }[stage]
    original, numbers = getattr(owner, name), iter(range(10**6))

    def patched(*arguments: Any) -> Any:
        callback(next(numbers))
        return original(*arguments)

    monkeypatch.setattr(owner, name, patched)


def fail_at(failing: int, number: int) -> None:
    if number == failing:
        raise ZeroDivisionError("a bug")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_raises(stubbed: None, clip: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    before_each_frame(monkeypatch, stage, partial(fail_at, 22))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        track_to_files(clip, config("out.mp4", "out.csv"))
    # Opening a video converts its first frame too; a batch in which the detector fails has no detections.
    frames = {"decode": 21, "detect": 20, "associate": 22, "write": 22}[stage]
    assert count_frames("out.mp4") == frames
    assert read_rows("out.csv")[-1]["frame"] == str(frames - 1)


def test_a_video_that_cannot_be_read_a_second_time(stubbed: None, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before_each_frame(monkeypatch, "decode", partial(fail_at, 41 + 1 + 22))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        track_to_files(clip, config("out.mp4", "out.csv", tracker={"offline": True}))
    assert count_frames("out.mp4") == 22 and read_rows("out.csv")[-1]["frame"] == "21"


def test_an_encoder_that_fails(stubbed: None, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_frame, numbers = FragmentedMp4Writer.write_frame, iter(range(99))

    def write_until_full(*arguments: Any) -> None:
        if next(numbers) == 7:
            raise OSError(28, "No space left on device")
        write_frame(*arguments)

    monkeypatch.setattr(FragmentedMp4Writer, "write_frame", write_until_full)
    with pytest.raises(InputError, match=r"cannot write on to out.mp4: No space left on device"):
        track_to_files(clip, config("out.mp4", "out.csv", output={"detections": "detections.csv"}))
    assert read_rows("out.csv")[-1]["frame"] == "6"
    assert read_rows("detections.csv")[-1]["frame"] == "7"


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupt_while_a_stage_is_slow(
    stubbed: None, clip: Path, monkeypatch: pytest.MonkeyPatch, stage: str, offline: bool
) -> None:

    def interrupt(number: int) -> None:
        time.sleep(0.02)
        if number == 25:
            os.kill(os.getpid(), signal.SIGINT)

    before_each_frame(monkeypatch, stage, interrupt)
    with pytest.raises(SystemExit) as end:
        main(["film.mp4", *(["--offline"] if offline else [])])
    assert end.value.code == 130
    record = json.loads(Path("tracked/film/run.json").read_text())
    assert record["status"] == "stopped" and 0 < record["frames"] < 40
    assert count_frames("tracked/film/video.mp4") == record["frames"]
    last = int(read_rows("tracked/film/tracks.csv")[-1]["frame"])
    assert last < record["frames"] if offline else last == record["frames"] - 1


@pytest.mark.parametrize("stage", STAGES)
def test_two_interrupts(stubbed: None, clip: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    def interrupt(number: int) -> None:
        if number == 25:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.2)

    before_each_frame(monkeypatch, stage, interrupt)
    with pytest.raises(SystemExit) as end:
        main(["film.mp4"])
    assert end.value.code == 130
    assert count_frames("tracked/film/video.mp4") > 2 and len(read_rows("tracked/film/tracks.csv")) > 2


@pytest.mark.parametrize("offline", [False, True])
def test_a_loop_that_is_left(stubbed: None, clip: Path, offline: bool) -> None:
    """Leaves a loop by `break`, by an error, or before it starts: no thread remains, which a fixture checks."""
    settings = config(tracker={"offline": offline})
    for frame, _ in track(clip, settings):
        if frame.index == 5:
            break
    with contextlib.suppress(KeyError):
        for _ in track(clip, settings):
            raise KeyError
    track(clip, settings)
    next(track(clip, settings))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems limit the size of files differently")
def test_a_full_disk(clip: Path) -> None:
    import resource

    noise = np.random.default_rng(0).integers(0, 255, (40, 120, 160, 3), np.uint8)
    write_clip(clip, 40, 10, size=(160, 120), draw=lambda number, *_: noise[number])
    command = [sys.executable, str(STUB), "0", "0", "film.mp4", "--output", "out.mp4", "--output", "out.csv"]
    limit_file_size = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (250_000, 250_000))
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, preexec_fn=limit_file_size)
    assert done.returncode == 2
    assert done.stderr.splitlines()[1:] == [
        "track: cannot write on to out.mp4: File too large; what was written so far is kept - free some space or write "
        "to another disk, and run again"
    ]
    assert count_frames("out.mp4") >= 10
