"""Offline runs: two passes over a source, and the final tracks in the results."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import tracker
import tracker.models.reid
import tracker.pipeline.api
import tracker.pipeline.networks
import tracker.pipeline.online
import tracker.pipeline.tracking_run
import tracker.tracking.offline
from paths import python_path
from run_monitors import CallbackMonitor
from stub_networks import SIZE, StubDetector, StubEmbedder, install, moving_clip, moving_rectangles
from tracker import Config, DeepSort, Frame, InputError, Tracks, retrack, retrack_to_files, track, track_to_files
from tracker.video import Source, open_source
from tracker.video.file import VideoFile
from video_clips import write_clip

VARIABLE = [0, 1, 5, 6, 7, 12, 13, 14, 22, 23, 25, 30, 31, 32, 33, 40, 41, 42, 43, 59]


class StubOfflineTracker:
    """A stand-in for the offline tracker: ids are those of the online tracker, plus 100 for each frame of the source.

    Such ids show that they were assigned after the last frame, and how many frames there were.
    """

    def __init__(self, *arguments: Any) -> None:
        self._tracker = DeepSort(*arguments)
        self._frames: list[Tracks] = []

    def update(self, *arguments: Any) -> None:
        self._frames.append(self._tracker.update(*arguments))

    def finish(self) -> Iterator[Tracks]:
        if seconds := float(os.environ.get("SLOW_FINISH", 0)):
            Path("finishing").touch()
            time.sleep(seconds)
        for tracks in self._frames:
            yield replace(tracks, ids=tracks.ids + 100 * len(self._frames))


@pytest.fixture(autouse=True)
def stubbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("load_detector", "load_embedder"):
        monkeypatch.setattr(tracker.pipeline.networks, name, getattr(tracker.pipeline.networks, name))
    install(tracker.pipeline.networks)
    monkeypatch.setattr(tracker.models.reid, "load_embedder", lambda *_: StubEmbedder())
    monkeypatch.setattr(tracker.tracking.offline, "OfflineTracker", StubOfflineTracker)


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Records the indices of the frames that were converted to RGB images."""
    indices: list[int] = []
    original = Source._image

    def image(self: Source, frame: Any) -> Any:
        indices.append(frame.index)
        return original(self, frame)

    monkeypatch.setattr(Source, "_image", image)
    return indices


def config(*outputs: str, **sections: dict[str, Any]) -> Config:
    output = {"output": outputs, **sections.pop("output", {})}
    tracking = {"offline": True, **sections.pop("tracker", {})}
    return Config.model_validate({"output": output, "tracker": tracking, **sections})


def read_rows(name: str) -> list[dict[str, str]]:
    with Path(name).open(newline="") as file:
        return list(csv.DictReader(file))


def read_ids(name: str) -> set[int]:
    return {int(row["track_id"]) for row in read_rows(name)}


def frame_times(path: Path | str) -> tuple[list[Fraction], Fraction]:
    """Returns the time at which each frame is shown, and the end of the last one, in seconds."""
    with av.open(str(path)) as container:
        frames = [(f.pts * f.time_base, f.duration * f.time_base) for f in container.decode(video=0)]
    return [pts for pts, _ in frames], sum(frames[-1])


# Results


def test_results_hold_the_final_tracks(conversions: list[int]) -> None:
    moving_clip(Path("clip.mp4"), 20, pts=VARIABLE, options={"bf": "0"}, audio=2.0)
    result = track_to_files("clip.mp4", config("v.mp4", "t.csv", "t.txt", output={"detections": "d.csv"}))
    assert (result.frames, result.stopped) == (20, False)
    assert read_ids("t.csv") == {2001, 2002}
    online = config("o.mp4", "o.csv", tracker={"offline": False}, output={"detections": "e.csv"})
    track_to_files("clip.mp4", online)
    assert [{**row, "track_id": int(row["track_id"]) + 2000} for row in read_rows("o.csv")] == [
        {**row, "track_id": int(row["track_id"])} for row in read_rows("t.csv")
    ]
    assert frame_times("v.mp4") == frame_times("o.mp4") and frame_times("v.mp4")[0] == frame_times("clip.mp4")[0]
    assert Path("d.csv").read_bytes() == Path("e.csv").read_bytes()
    assert conversions == [*range(20)] * 3
    with av.open("v.mp4") as container:
        assert len(container.streams.audio) == 1


def test_tables_alone_need_no_second_pass(conversions: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    moving_clip(Path("clip.mp4"), 20, pts=VARIABLE, options={"bf": "0"})
    monkeypatch.setattr(Source, "reopen", lambda _: pytest.fail("the source was opened again"))
    track_to_files("clip.mp4", config("t.csv", "t.txt", "t.json"))
    assert conversions == [*range(20)]
    times = {int(row["frame"]): row["time_s"] for row in read_rows("t.csv")}
    assert len(times) > 15 and times == {n: f"{VARIABLE[n] / 10:.6f}" for n in times}
    assert [image["time_s"] for image in json.loads(Path("t.json").read_text())["images"]] == [t / 10 for t in VARIABLE]


@pytest.mark.parametrize("part", [{"every": 3}, {"start": 0.5, "end": 1.5}], ids=str)
def test_a_part_of_a_video(part: dict[str, Any]) -> None:
    moving_clip(Path("clip.mp4"), 30)
    track_to_files("clip.mp4", config("v.mp4", "t.csv", source=part))
    track_to_files("clip.mp4", config("o.mp4", "o.csv", source=part, tracker={"offline": False}))
    assert frame_times("v.mp4") == frame_times("o.mp4")
    assert [row["frame"] for row in read_rows("t.csv")] == [row["frame"] for row in read_rows("o.csv")] != []


def test_the_library_yields_frames_with_their_images() -> None:
    moving_clip(Path("clip.mp4"), 12)
    with open_source("clip.mp4", Config().source) as source:
        expected = list(source)
    tracked = list(track("clip.mp4", config()))
    assert [(f.index, f.time, f.pts) for f, _ in tracked] == [(f.index, f.time, f.pts) for f in expected]
    assert all(np.array_equal(a.image, b.image) for (a, _), b in zip(tracked, expected, strict=True))
    assert tracked[-1][1].ids.tolist() == [1201, 1202]


def test_stored_detections_are_tracked_in_two_passes_too() -> None:
    moving_clip(Path("clip.mp4"), 20, pts=VARIABLE, options={"bf": "0"})
    track_to_files("clip.mp4", config("t.csv", output={"detections": "d.csv"}))
    retrack_to_files("d.csv", config("v.mp4", "r.csv"), "clip.mp4")
    assert Path("r.csv").read_bytes() == Path("t.csv").read_bytes()
    assert frame_times("v.mp4")[0] == frame_times("clip.mp4")[0]
    tracked = list(retrack("d.csv", config()))
    assert [frame.time for frame, _ in tracked] == [t / 10 for t in VARIABLE]
    assert len(tracked[-1][1]) > 0 and tracked[-1][1].ids.min() > 2000 and tracked[0][0].image.shape == (120, 160, 3)


@pytest.mark.parametrize("offline", [False, True])
def test_the_tracker_gets_the_camera_motion_and_the_image_size(monkeypatch: pytest.MonkeyPatch, offline: bool) -> None:
    arguments_of_init: list[Any] = []
    motions: list[Any] = []

    class StubCameraMotion:
        """Moves in x by the number of boxes so far, pixels."""

        def __init__(self, method: str) -> None:
            arguments_of_init.append(method)
            self._count = 0

        def update(self, image: Any, boxes: Any) -> Any:
            assert image.shape == (*SIZE[::-1], 3)
            self._count += len(boxes)
            return np.array([[1, 0, self._count], [0, 1, 0]], float)

    class RecordingTracker(DeepSort):
        def __init__(self, *arguments: Any) -> None:
            arguments_of_init.append(arguments[2])
            super().__init__(*arguments)

        def update(self, detections: Any, embeddings: Any, time: float, camera: Any, *more: Any) -> Tracks:
            motions.append((time, camera[0, 2]))
            return super().update(detections, embeddings, time, camera, *more)

    for module in (tracker.pipeline.online, tracker.pipeline.tracking_run):
        monkeypatch.setattr(module, "CameraMotion", StubCameraMotion)
    monkeypatch.setattr(tracker.pipeline.online, "DeepSort", RecordingTracker)
    monkeypatch.setattr(sys.modules[__name__], "DeepSort", RecordingTracker)
    moving_clip(Path("clip.mp4"), 5)
    track_to_files("clip.mp4", config("t.csv", tracker={"offline": offline, "camera_motion": "ecc"}))
    assert sorted(arguments_of_init, key=str) == [SIZE, "ecc"]
    assert motions == [(n / 10, 2 * n + 2) for n in range(5)]


# Errors and stops


def test_live_sources_are_refused_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    moving_clip(Path("clip.mp4"), 5)
    opened = open_source("clip.mp4", Config().source)
    opened.live = True
    monkeypatch.setattr(tracker.pipeline.api, "open_source", lambda *_: opened)
    monkeypatch.setattr(tracker.pipeline.networks, "load_detector", lambda *_: pytest.fail("the detector was loaded"))
    with pytest.raises(InputError, match=r"clip.mp4 is live, and --offline needs all of a video"):
        track_to_files("clip.mp4", config())
    assert not Path("tracked").exists()


def test_a_stop_in_the_first_pass_finishes_the_frames_up_to_there() -> None:
    moving_clip(Path("clip.mp4"), 30, audio=3.0)

    def on_first_pass(source: Source, frame: Frame) -> bool:
        return frame.index < 12

    result = track_to_files(
        "clip.mp4", config("v.mp4", "t.csv", detector={"batch_size": 8}), CallbackMonitor(on_first_pass=on_first_pass)
    )
    assert (result.frames, result.stopped) == (13, True)
    assert frame_times("v.mp4") == ([Fraction(n, 10) for n in range(13)], Fraction(13, 10))
    assert read_ids("t.csv") == {1301, 1302} and read_rows("t.csv")[-1]["frame"] == "12"


def test_a_stop_in_the_second_pass() -> None:
    moving_clip(Path("clip.mp4"), 30)

    def on_frame(source: Source, frame: Frame, tracks: Tracks) -> bool:
        return frame.index < 5

    result = track_to_files("clip.mp4", config("v.mp4", "t.csv"), CallbackMonitor(on_frame))
    assert (result.frames, result.stopped) == (6, True)
    assert len(frame_times("v.mp4")[0]) == 6 and read_ids("t.csv") == {3001, 3002}


@pytest.mark.parametrize("frames", [8, 40])
def test_a_file_that_changes_between_the_passes(frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    moving_clip(Path("clip.mp4"), 20)

    def reopen_another_clip(self: Source) -> Source:
        write_clip(Path("clip.mp4"), frames, 10 if frames < 20 else 11, size=SIZE, draw=moving_rectangles)
        return open_source("clip.mp4", Config().source)

    monkeypatch.setattr(VideoFile, "reopen", reopen_another_clip)
    with pytest.raises(InputError, match=r"clip.mp4 changed while it was read"):
        track_to_files("clip.mp4", config("v.mp4"))
    assert len(frame_times("v.mp4")[0]) == (8 if frames == 8 else 1)


def test_leaving_the_loop_releases_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    moving_clip(Path("clip.mp4"), 20)
    detector = StubDetector()
    monkeypatch.setattr(tracker.pipeline.networks, "load_detector", lambda _: detector)
    for frame, _ in track("clip.mp4", config()):
        if frame.index == 5:
            break
    links = (link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()) if os.name == "posix" else ()
    assert detector.closed
    assert not any(str(link.readlink()).endswith("clip.mp4") for link in links if link.is_symlink())


# Real processes


def start(*arguments: object, delay: float = 0.02, slow_finish: str = "0") -> subprocess.Popen[str]:
    command: Sequence[str] = [sys.executable, __file__, "0", str(delay), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": python_path(), "SLOW_FINISH": slow_finish}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for_rows(path: Path, number: int, process: subprocess.Popen[str]) -> None:
    while not (path.exists() and path.read_bytes().count(b"\n") > number):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.slow
def test_a_signal_in_the_first_pass() -> None:
    moving_clip(Path("film.mp4"), 300)
    with start("film.mp4", "--offline", "--detections", "d.csv") as process:
        wait_for_rows(Path("d.csv"), 60, process)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "loading\n") and ", stopped\n" in output
    record = json.loads(Path("tracked/film/run.json").read_text())
    assert record["status"] == "stopped" and 20 <= record["frames"] < 300
    assert len(frame_times("tracked/film/video.mp4")[0]) == record["frames"]
    assert int(read_rows("tracked/film/tracks.csv")[-1]["frame"]) == record["frames"] - 1
    assert read_ids("tracked/film/tracks.csv") == {100 * record["frames"] + 1, 100 * record["frames"] + 2}


@pytest.mark.slow
def test_two_signals_stop_at_once() -> None:
    moving_clip(Path("film.mp4"), 30)
    with start("film.mp4", "--offline", "--detections", "d.csv", "--batch-size", 1, delay=4) as process:
        wait_for_rows(Path("d.csv"), 2, process)
        process.send_signal(signal.SIGINT)
        time.sleep(1)  # signals that follow each other at once count as one
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (130, "", "loading\n")
    kept = {path.name for path in Path("tracked/film").iterdir()}
    assert kept == {"run.json", "detections"} and len(read_rows("d.csv")) >= 2  # enough to resume the run


@pytest.mark.slow
def test_a_signal_between_the_passes_loses_nothing() -> None:
    moving_clip(Path("film.mp4"), 12)
    with start("film.mp4", "--offline", "--detections", "d.csv", slow_finish="3") as process:
        while not Path("finishing").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and output.startswith("12 frames in ")
    assert read_ids("tracked/film/tracks.csv") == {1201, 1202}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo terminals")
def test_a_terminal_shows_both_passes() -> None:
    import pty

    moving_clip(Path("film.mp4"), 60)
    screen, line = pty.openpty()
    command = [sys.executable, __file__, "0", "0.01", "film.mp4", "--offline"]
    environment = {**os.environ, "PYTHONPATH": python_path(), "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=line, env=environment)
    os.close(line)
    output = b""
    while chunk := _read(screen):
        output += chunk
    os.close(screen)
    assert process.wait(timeout=30) == 0
    text = output.decode()
    assert re.search(r"film pass 1 of 2 .*━+.* \d+/60 frames, \d+\.\d/s", text)
    assert re.search(r"film pass 2 of 2 .*━+.* \d+/60 frames, \d+\.\d/s, 2 live", text)


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 65536)
    except OSError:  # Linux: all writers are gone
        return b""


if __name__ == "__main__":
    import tracker.cli.app
    import tracker.tracking.offline

    install(tracker.pipeline.networks, float(sys.argv[1]), float(sys.argv[2]))
    tracker.tracking.offline.OfflineTracker = StubOfflineTracker
    tracker.cli.app.main(sys.argv[3:])
