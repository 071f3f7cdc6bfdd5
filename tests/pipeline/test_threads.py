"""Stages that work at the same time: the same results as one after the other, and a clean end whatever goes wrong."""

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

import tracker.pipeline.analyzer
import tracker.pipeline.file_run
import tracker.pipeline.networks
from conftest import TIME_BOX
from paths import PETS, STUB
from stub_networks import StubDetector, moving, moving_clip
from tracker import Config, InputError, retrack, track, track_to_files
from tracker.cli.app import main
from tracker.config import SourceConfig
from tracker.output import AnnotatedVideoWriter
from tracker.output.encoder import FragmentedMp4Writer
from tracker.pipeline.prefetch import BackgroundWorker, prefetch
from tracker.tracking import DeepSort
from tracker.video import Source
from tracker.video.rgb import RGBConverter
from tracker.video.source import Picture
from video_clips import write_clip

PETS_VIDEO = PETS / "video.mp4"
needs_pets = pytest.mark.skipif(not PETS_VIDEO.exists(), reason="the real clip PETS09-S2L1 lies in shared/, not here")
pytestmark = [
    pytest.mark.usefixtures("in_time"),
    pytest.mark.skipif(sys.platform == "win32", reason="there are no alarms, and no interrupts to send"),
]


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clip of 40 frames in the current folder."""
    monkeypatch.chdir(tmp_path)
    return moving_clip(tmp_path / "film.mp4", 40)


def config(*outputs: str, **sections: dict[str, Any]) -> Config:
    return Config.model_validate(sections | {"output": {"output": list(outputs)} | sections.get("output", {})})


def rows_of(name: str) -> list[dict[str, str]]:
    assert Path(name).read_bytes().endswith(b"\n")
    with open(name, newline="") as file:
        return list(csv.DictReader(file))


def played(name: str) -> int:
    with av.open(name) as container:
        return sum(1 for _ in container.decode(video=0))


# The same results


def one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        tracker.pipeline.analyzer, "prefetch", lambda items, room, name, queue_stats: prefetch(items, 0, name)
    )
    monkeypatch.setattr(
        tracker.pipeline.file_run, "BackgroundWorker", lambda room, name, queue_stats: BackgroundWorker(0, name)
    )


OUTPUTS = ("out.mp4", "out.csv", "out.json", "out.txt")
COMBINATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "one at a time": {"detector": {"batch_size": 1}},
    "batches that do not fit": {"detector": {"batch_size": 7}, "source": {"every": 2}},
    "offline": {"tracker": {"offline": True}},
    "stored": {"output": {"detections": "found.csv"}},
    "offline, stored": {"tracker": {"offline": True}, "output": {"detections": "found.csv"}},
    "camera": {"tracker": {"camera_motion": "flow", "max_coast": 1.0}},
    "every third": {"detector": {"detect_every": 3}, "output": {"detections": "found.csv"}},
    "every third, offline": {"detector": {"detect_every": 3}, "tracker": {"offline": True}},
}


def results_of(source: Path, how: dict[str, Any]) -> dict[str, bytes]:
    outcome = track_to_files(source, config(*OUTPUTS, **how))
    assert outcome.frames >= 14 and {"out.mp4", "out.csv"} <= {place.name for place in outcome.places}
    files = {place.name: place.read_bytes() for place in outcome.places}
    for place in outcome.places:
        place.unlink()
    return files


@pytest.mark.parametrize("how", COMBINATIONS.values(), ids=COMBINATIONS)
def test_the_same_bytes_as_one_after_the_other(
    stubbed: None, clip: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    overlapped = results_of(clip, how)
    one_after_the_other(monkeypatch)
    assert results_of(clip, how) == overlapped
    assert overlapped["out.csv"].count(b"\n") > 20


def test_the_same_loop_as_one_after_the_other(stubbed: None, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen() -> list[object]:
        return [(f.index, f.time, f.image.tobytes(), t.ids.tolist(), t.boxes.tolist()) for f, t in track(clip)]

    overlapped = seen()
    one_after_the_other(monkeypatch)
    assert seen() == overlapped


@pytest.mark.slow
@needs_pets
@pytest.mark.parametrize(
    "how",
    [{"tracker": {"rescore": 0.4}}, {"appearance": {"embedding_source": "roi"}, "tracker": {"camera_motion": "flow"}}],
    ids=["rescore", "roi"],
)
def test_the_same_bytes_from_real_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    how = how | {"source": {"end": 2.0}, "detector": {"device": "cpu", "score": 0.3}}
    overlapped = results_of(PETS_VIDEO, how)
    one_after_the_other(monkeypatch)
    assert results_of(PETS_VIDEO, how) == overlapped
    assert overlapped["out.csv"].count(b"\n") > 20


def test_frames_in_memory_are_bounded(
    stubbed: None, clip: Path, monkeypatch: pytest.MonkeyPatch, pictures_alive: Callable[[], int]
) -> None:
    """As `Stages.room` says, also where writing is slow; a slow reader or detector never fills a queue."""
    alive: list[int] = []

    def watch(*_: object) -> bool:
        alive.append(pictures_alive())
        return True

    slowed(monkeypatch, "write", 0.01)
    for batch_size, every in ((1, 1), (3, 1), (2, 2)):
        alive.clear()
        track_to_files(
            clip,
            config("out.mp4", detector={"batch_size": batch_size, "detect_every": every}, output={"overwrite": True}),
            watch,
        )
        assert 1 < max(alive) <= 2 * batch_size * (every + 1) + 1


class Camera(Source):
    """A live source that gives a new frame whenever it is asked for one."""

    def __init__(self) -> None:
        super().__init__("camera", "camera", SourceConfig())
        self.live = True
        self.time_base, self.frame_rate = Fraction(1, 1000), Fraction(30)
        self.height, self.width, _ = moving(0, 160, 120).shape
        self.taken = 0

    def _pictures(self) -> Generator[Picture]:
        for number in range(1000):
            self.taken += 1
            yield Picture(number, 33 * number, Fraction(0), lambda number=number: moving(number, 160, 120))


@pytest.mark.parametrize("delay", [0.0, 0.02])
def test_a_live_source_is_not_read_ahead_of_the_detector(stubbed: None, delay: float) -> None:
    """What was taken early would be old when its turn comes: while one frame is tracked, the next one is looked at."""
    with Camera() as camera, tracker.pipeline.networks.Pipeline(Config()) as pipeline:
        for (frame, _), _ in zip(pipeline.run(camera), range(30), strict=False):
            time.sleep(delay)
            assert camera.taken <= frame.index + 2


# Frames that are not looked at


def test_every_third_frame_is_looked_at(stubbed: None, clip: Path) -> None:
    """What is seen is what would be seen if there were no other frames; between, boxes go on as the objects do."""
    outcome = track_to_files(clip, config("a.csv", detector={"detect_every": 3}))
    assert outcome.frames == 40 and outcome.predicted == 26
    track_to_files(clip, config("b.csv", source={"every": 3}))
    rows = rows_of("a.csv")
    assert [row for row in rows if int(row["frame"]) % 3 == 0] == rows_of("b.csv")
    between = [row for row in rows if int(row["frame"]) % 3]
    assert len(between) == 2 * 24 and {row["observed"] for row in between} == {"0"}
    for row in between:
        if int(row["frame"]) > 12:
            number, left = int(row["frame"]), float(row["x1"])
            true = 10 + 2 * number if row["class"] == "person" else 110 - 2 * number
            assert abs(left - true) < 2.5


def test_a_second_look_fills_frames_that_nobody_looked_at(stubbed: None, clip: Path) -> None:
    how = {"tracker": {"offline": True}, "detector": {"detect_every": 4}}
    outcome = track_to_files(clip, config("a.csv", output={"detections": "found.csv"}, **how))
    assert outcome.predicted == 30
    rows = rows_of("a.csv")
    assert len(rows) == 2 * 37 and {row["frame"] for row in rows} == {str(n) for n in range(37)}
    assert {row["frame"] for row in rows if row["observed"] == "1"} == {str(n) for n in range(0, 37, 4)}
    found = list(retrack("found.csv", Config.model_validate({"tracker": {"n_init": 1}})))
    assert [frame.index for frame, _ in found] == list(range(0, 40, 4))


def test_real_time(clip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector that takes the time of several frames: the film takes its 4 s, with as many looks as fit into them."""
    monkeypatch.setattr(tracker.pipeline.networks, "load_detector", lambda _: StubDetector(0.25))
    begin = time.monotonic()
    with pytest.raises(SystemExit) as end:
        main(["film.mp4", "--realtime", "--embedder", "none"])
    assert end.value.code in (0, None) and time.monotonic() - begin > 3.9
    record = json.loads(Path("tracked/film/run.json").read_text())
    assert record["frames"] == 40 and 20 <= record["frames_predicted"] < 39
    assert f"{record['frames_predicted']} frames were not looked at" in capsys.readouterr().out
    assert {row["observed"] for row in rows_of("tracked/film/tracks.csv")} == {"0", "1"}


def test_real_time_is_not_for_a_second_look(stubbed: None, clip: Path) -> None:
    with pytest.raises(InputError, match="--realtime"):
        list(track(clip, config(tracker={"offline": True}, detector={"realtime": True})))


# Faults

STAGES = ("decode", "detect", "associate", "write")


def slowed(monkeypatch: pytest.MonkeyPatch, stage: str, delay: float) -> None:
    """Lets one stage take some time more for each frame."""
    spoiled(monkeypatch, stage, lambda number: time.sleep(delay))


def spoiled(monkeypatch: pytest.MonkeyPatch, stage: str, happens: Callable[[int], None]) -> None:
    """Lets something happen in a stage before each of its frames, counted from 0."""
    kind, name = {
        "decode": (RGBConverter, "__call__"),
        "detect": (StubDetector, "_detect"),
        "associate": (DeepSort, "update"),
        "write": (AnnotatedVideoWriter, "write"),
    }[stage]
    work, numbers = getattr(kind, name), iter(range(10**6))

    def worse(*arguments: Any) -> Any:
        happens(next(numbers))
        return work(*arguments)

    monkeypatch.setattr(kind, name, worse)


def fails_at(frame: int, number: int) -> None:
    if number == frame:
        raise ZeroDivisionError("a bug")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_raises(stubbed: None, clip: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    spoiled(monkeypatch, stage, partial(fails_at, 22))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        track_to_files(clip, config("out.mp4", "out.csv"))
    # Opening a film converts its first frame too; a batch in which the detector fails has no detections.
    frames = {"decode": 21, "detect": 20, "associate": 22, "write": 22}[stage]
    assert played("out.mp4") == frames
    assert rows_of("out.csv")[-1]["frame"] == str(frames - 1)


def test_a_film_that_cannot_be_read_again(stubbed: None, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoiled(monkeypatch, "decode", partial(fails_at, 41 + 1 + 22))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        track_to_files(clip, config("out.mp4", "out.csv", tracker={"offline": True}))
    assert played("out.mp4") == 22 and rows_of("out.csv")[-1]["frame"] == "21"


def test_an_encoder_that_fails(stubbed: None, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add, numbers = FragmentedMp4Writer.add, iter(range(99))

    def full(*arguments: Any) -> None:
        if next(numbers) == 7:
            raise OSError(28, "No space left on device")
        add(*arguments)

    monkeypatch.setattr(FragmentedMp4Writer, "add", full)
    with pytest.raises(InputError, match=r"cannot write on to out.mp4: No space left on device"):
        track_to_files(clip, config("out.mp4", "out.csv", output={"detections": "found.csv"}))
    assert rows_of("out.csv")[-1]["frame"] == "6"
    assert rows_of("found.csv")[-1]["frame"] == "7"


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupt_while_a_stage_is_slow(
    stubbed: None, clip: Path, monkeypatch: pytest.MonkeyPatch, stage: str, offline: bool
) -> None:

    def happens(number: int) -> None:
        time.sleep(0.02)
        if number == 25:
            os.kill(os.getpid(), signal.SIGINT)

    spoiled(monkeypatch, stage, happens)
    with pytest.raises(SystemExit) as end:
        main(["film.mp4", *(["--offline"] if offline else [])])
    assert end.value.code == 130
    record = json.loads(Path("tracked/film/run.json").read_text())
    assert record["stopped_by_user"] and 0 < record["frames"] < 40
    assert played("tracked/film/video.mp4") == record["frames"]
    last = int(rows_of("tracked/film/tracks.csv")[-1]["frame"])
    assert last < record["frames"] if offline else last == record["frames"] - 1


@pytest.mark.parametrize("stage", STAGES)
def test_two_interrupts(stubbed: None, clip: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    def happens(number: int) -> None:
        if number == 25:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.2)

    spoiled(monkeypatch, stage, happens)
    with pytest.raises(SystemExit) as end:
        main(["film.mp4"])
    assert end.value.code == 130
    assert played("tracked/film/video.mp4") > 2 and len(rows_of("tracked/film/tracks.csv")) > 2


@pytest.mark.parametrize("offline", [False, True])
def test_a_loop_that_is_left(stubbed: None, clip: Path, offline: bool) -> None:
    """Left by `break`, by an error, or never entered: no thread remains, which a fixture checks."""
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
@pytest.mark.skipif(sys.platform != "linux", reason="the system limits the size of files in its own way")
def test_a_full_disk(clip: Path) -> None:
    import resource

    noise = np.random.default_rng(0).integers(0, 255, (40, 120, 160, 3), np.uint8)
    write_clip(clip, 40, 10, size=(160, 120), draw=lambda number, *_: noise[number])
    command = [sys.executable, str(STUB), "0", "0", "film.mp4", "--output", "out.mp4", "--output", "out.csv"]
    allow = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (250_000, 250_000))
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_BOX, preexec_fn=allow)
    assert done.returncode == 2
    assert done.stderr.splitlines()[1:] == [
        "track: cannot write on to out.mp4: File too large; what was written so far is kept - free some space or write "
        "to another disk, and run again"
    ]
    assert played("out.mp4") >= 10
