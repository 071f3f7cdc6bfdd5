"""Whole runs through the library: correct timestamps, deterministic results, resources released."""

import csv
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import tracker
import tracker.pipeline.networks
from live_streams import serve_stream
from paths import PETS
from run_monitors import CallbackMonitor
from stub_networks import SIZE, StubDetector, moving_clip, moving_rectangles
from tracker import Config, Frame, InputError, Tracks, track, track_to_files
from video_clips import NTSC, write_image

PETS_VIDEO = PETS / "video.mp4"
needs_pets = pytest.mark.skipif(not PETS_VIDEO.exists(), reason="the real clip PETS09-S2L1 is not in the repository")

VARIABLE = [0, 1, 5, 6, 7, 12, 13, 14, 22, 23, 25, 30, 31, 32, 33, 40, 41, 42, 43, 59]


def config(*outputs: Path, **sections: dict[str, Any]) -> Config:
    return Config.model_validate({"output": {"output": [str(path) for path in outputs]}, **sections})


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# Timestamps


def frame_times(path: Path) -> tuple[list[Fraction], Fraction]:
    """Returns the time at which each frame is shown, and the end of the last one, in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [(frame.pts * frame.time_base, frame.duration * frame.time_base) for frame in container.decode(stream)]
    return [pts for pts, _ in frames], sum(frames[-1])


def audio_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in packets]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="constant"),
        pytest.param({"rate": NTSC}, id="29.97"),
        pytest.param({"pts": VARIABLE, "options": {"bf": "0"}}, id="variable"),
        pytest.param({"rotation": 90}, id="rotated"),
        pytest.param({"audio": 2.0}, id="audio"),
        pytest.param(
            {
                "pts": [1001 * n for n in VARIABLE],
                "time_base": Fraction(1, 30000),
                "rate": NTSC,
                "rotation": -90,
                "audio": 2.0,
                "options": {"bf": "0"},
            },
            id="all",
        ),
    ],
)
@pytest.mark.smoke
def test_the_output_video_keeps_the_timestamps_of_its_source(
    stubbed: None, tmp_path: Path, options: dict[str, Any]
) -> None:
    clip = moving_clip(tmp_path / "clip.mp4", 20, **options)
    video = tmp_path / "result.mp4"
    result = track_to_files(clip, config(video, tmp_path / "tracks.csv"))
    assert result.frames == 20 and result.output_paths == [video, tmp_path / "tracks.csv"]
    times, end = frame_times(video)
    true_times, true_end = frame_times(clip)
    assert times == true_times
    assert abs(end - true_end) < Fraction(1, 1000)  # the clip's own edit list counts milliseconds
    with av.open(str(clip)) as before, av.open(str(video)) as after:
        assert after.duration == before.duration
        first_frame = next(after.decode(video=0))
        assert (first_frame.width, first_frame.height) == (SIZE[::-1] if "rotation" in options else SIZE)
        assert first_frame.rotation == 0
        assert (first_frame.format.name, after.streams.video[0].codec_context.name) == ("yuv420p", "h264")
        assert len(after.streams.audio) == ("audio" in options)
    if "audio" in options:
        assert audio_packets(video) == audio_packets(clip)
    rows = read_rows(tmp_path / "tracks.csv")
    assert len(rows) > 10
    for row in rows:
        assert float(row["time_s"]) == round(float(true_times[int(row["frame"])] - true_times[0]), 6)


def test_a_part_of_a_video(stubbed: None, tmp_path: Path) -> None:
    clip = moving_clip(tmp_path / "clip.mp4", 40, audio=4.0)
    video = tmp_path / "result.mp4"
    part = {"start": 1.0, "end": 3.0, "every": 3}
    result = track_to_files(clip, config(video, tmp_path / "tracks.csv", source=part))
    assert result.frames == 7
    times, end = frame_times(video)
    assert times == [Fraction(n, 10) for n in range(0, 20, 3)] and end == 2
    assert {row["frame"] for row in read_rows(tmp_path / "tracks.csv")} <= {str(n) for n in range(10, 30, 3)}
    packets = audio_packets(video)
    assert len(packets) == pytest.approx(2 * 44100 / 1024, abs=3)


def test_a_stop_in_the_middle_of_a_batch(stubbed: None, tmp_path: Path) -> None:
    """The source has read ahead by then: the duration of its latest frame is not that of the last frame written."""
    clip = moving_clip(tmp_path / "clip.mp4", 12, pts=[*range(11), 90], options={"bf": "0"})
    video = tmp_path / "result.mp4"

    def on_frame(source: object, frame: Frame, tracks: Tracks) -> bool:
        return frame.index < 5

    result = track_to_files(clip, config(video, detector={"batch_size": 11}), CallbackMonitor(on_frame))
    assert result.stopped and result.frames == 6
    assert frame_times(video) == ([Fraction(n, 10) for n in range(6)], Fraction(6, 10))


# Deterministic results


def tracks_csv(clip: Path, folder: Path, name: str, **sections: dict[str, Any]) -> bytes:
    path = folder / f"{name}.csv"
    track_to_files(clip, config(path, **sections))
    return path.read_bytes()


def test_results_do_not_depend_on_the_batch_size(stubbed: None, tmp_path: Path) -> None:
    clip = moving_clip(tmp_path / "clip.mp4", 50)
    tables = [tracks_csv(clip, tmp_path, str(size), detector={"batch_size": size}) for size in (1, 4, 7, 64)]
    assert tables[0].count(b"\n") > 80 and len(set(tables)) == 1


@pytest.mark.slow
@needs_pets
def test_results_of_real_networks_do_not_depend_on_batch_size_and_threads(tmp_path: Path) -> None:
    part = {"end": 1.5}
    tables = {
        (batch, threads): tracks_csv(
            PETS_VIDEO,
            tmp_path,
            f"{batch} {threads}",
            source=part,
            detector={"batch_size": batch, "threads": threads, "score": 0.3, "device": "cpu"},
        )
        for batch, threads in ((1, 1), (8, 2), (8, 1), (3, 0))
    }
    default = tracks_csv(PETS_VIDEO, tmp_path, "default", source=part, detector={"score": 0.3, "device": "cpu"})
    assert set(tables.values()) == {default}
    assert default.count(b"\n") > 20, "the clip shows people, but hardly any were tracked"


def track_lists(clip: Path) -> Iterator[tuple[int, list[int], list[list[float]]]]:
    for frame, tracks in track(clip):
        yield frame.index, tracks.ids.tolist(), tracks.boxes.tolist()


def test_concurrent_runs_are_independent(stubbed: None, tmp_path: Path) -> None:
    first = moving_clip(tmp_path / "a.mp4", 40)
    second = moving_clip(tmp_path / "b.mp4", 40, pts=[2 * n + n % 2 for n in range(40)], options={"bf": "0"})
    separate = list(track_lists(first)), list(track_lists(second))
    interleaved = zip(*zip(track_lists(first), track_lists(second), strict=True), strict=True)
    assert tuple(map(list, interleaved)) == separate
    assert all(rows[-1][1] for rows in separate), "nothing was tracked"


@pytest.mark.slow
@needs_pets
def test_concurrent_runs_of_real_networks() -> None:
    settings = Config.model_validate({"source": {"end": 0.9}, "detector": {"score": 0.3, "device": "cpu"}})
    separate = [tracks.ids.tolist() for _, tracks in track(PETS_VIDEO, settings)]
    pairs = zip(track(PETS_VIDEO, settings), track(PETS_VIDEO, settings), strict=True)
    interleaved = [(a.ids.tolist(), b.ids.tolist()) for (_, a), (_, b) in pairs]
    assert interleaved == [(ids, ids) for ids in separate]
    assert separate[-1][0] == 1


# Resources


@pytest.mark.smoke
def test_leaving_the_loop_releases_everything(monkeypatch: pytest.MonkeyPatch, stubbed: None, tmp_path: Path) -> None:
    clip = moving_clip(tmp_path / "clip.mp4", 30)
    detector = StubDetector()
    monkeypatch.setattr(tracker.pipeline.networks, "load_detector", lambda _: detector)
    threads = set(threading.enumerate())
    for frame, _ in track(clip):
        if frame.index == 5:
            break
    assert detector.closed and set(threading.enumerate()) <= threads
    assert str(clip) not in open_files()


@pytest.mark.slow
def test_leaving_the_loop_ends_the_networks_threads(tmp_path: Path) -> None:
    clip = moving_clip(tmp_path / "clip.mp4", 8)
    threads = set(threading.enumerate())
    for _ in track(clip, Config.model_validate({"detector": {"device": "cpu", "threads": 2}})):
        assert set(threading.enumerate()) - threads
        break
    assert set(threading.enumerate()) <= threads


def open_files() -> set[str]:
    folder = Path("/proc/self/fd")
    links = folder.iterdir() if folder.is_dir() else ()
    return {str(link.readlink()) for link in links if link.is_symlink()}


def test_an_error_in_the_callback_releases_everything(stubbed: None, tmp_path: Path) -> None:
    clip = moving_clip(tmp_path / "clip.mp4", 30)
    paths = [tmp_path / "result.mp4", tmp_path / "tracks.csv"]
    threads = set(threading.enumerate())

    def on_frame(source: object, frame: Frame, tracks: Tracks) -> bool:
        if frame.index == 9:
            raise RuntimeError("raised by the caller")
        return True

    with pytest.raises(RuntimeError, match="raised by the caller"):
        track_to_files(clip, config(*paths), CallbackMonitor(on_frame))
    assert set(threading.enumerate()) <= threads
    assert not {str(path) for path in (clip, *paths)} & open_files()
    assert len(frame_times(paths[0])[0]) == 10


@pytest.mark.parametrize(
    "settings", [{"detector": {"model": "none"}}, {"appearance": {"embedder": "none.safetensors"}}]
)
def test_a_network_that_cannot_be_loaded_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    clip = moving_clip(tmp_path / "clip.mp4", 8)
    threads = set(threading.enumerate())
    with pytest.raises(InputError):
        track_to_files(clip, Config.model_validate(settings))
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    assert set(threading.enumerate()) <= threads and str(clip) not in open_files()


# Live sources


@pytest.mark.parametrize("stall", [False, True])
def test_a_stream_that_ends(stubbed: None, tmp_path: Path, stall: bool) -> None:
    data = moving_clip(tmp_path / "clip.ts", 60, options={"bf": "0"}).read_bytes()
    paths = [tmp_path / "result.mp4", tmp_path / "tracks.csv"]
    threads = set(threading.enumerate())
    with serve_stream(data, stall) as address:
        result = track_to_files(address, config(*paths, source={"timeout": 1.0, "reconnect": 0}))
    assert result.frames > 3 and not result.stopped
    times, end = frame_times(paths[0])
    assert len(times) == result.frames and times[0] == 0 and all(np.diff(times) > 0) and end > times[-1]
    assert all(row["class"] in ("person", "car") for row in read_rows(paths[1]))
    assert set(threading.enumerate()) <= threads


def test_an_image_sequence(stubbed: None, tmp_path: Path) -> None:
    for n in range(12):
        write_image(tmp_path / f"img{n}.png", moving_rectangles(n, *SIZE))
    paths = [tmp_path / "result.mkv", tmp_path / "tracks.txt", tmp_path / "tracks.json"]
    result = track_to_files(str(tmp_path / "*.png"), config(*paths, source={"fps": 12.5}))
    assert result.frames == 12 and result.summary.counts == {"person": 1, "car": 1}
    assert frame_times(paths[0])[0] == [Fraction(8 * n, 100) for n in range(12)]
    assert len(paths[1].read_text().splitlines()) == 22
