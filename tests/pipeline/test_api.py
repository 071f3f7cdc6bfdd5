"""The promises that only all stages together can keep: true time, one answer, nothing left open."""

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
from live_streams import streamed
from paths import PETS
from stub_networks import SIZE, StubDetector, install, moving_clip
from tracker import Config, Frame, InputError, Tracks, track, track_to_files
from video_clips import NTSC

PETS_VIDEO = PETS / "video.mp4"
needs_pets = pytest.mark.skipif(not PETS_VIDEO.exists(), reason="the real clip PETS09-S2L1 lies in shared/, not here")

VARIABLE = [0, 1, 5, 6, 7, 12, 13, 14, 22, 23, 25, 30, 31, 32, 33, 40, 41, 42, 43, 59]


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("load_detector", "load_embedder"):
        monkeypatch.setattr(tracker.pipeline.networks, name, getattr(tracker.pipeline.networks, name))
    install(tracker.pipeline.networks)


def config(*outputs: Path, **sections: dict[str, Any]) -> Config:
    return Config.model_validate({"output": {"output": [str(path) for path in outputs]}, **sections})


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# Time is true


def times_of(path: Path) -> tuple[list[Fraction], Fraction]:
    """When each frame is shown, and when the last one ends, in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [(frame.pts * frame.time_base, frame.duration * frame.time_base) for frame in container.decode(stream)]
    return [pts for pts, _ in frames], sum(frames[-1])


def sound_of(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in packets]


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({}, id="constant"),
        pytest.param({"rate": NTSC}, id="29.97"),
        pytest.param({"pts": VARIABLE, "options": {"bf": "0"}}, id="variable"),
        pytest.param({"rotation": 90}, id="rotated"),
        pytest.param({"audio": 2.0}, id="sound"),
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
def test_the_video_keeps_the_times_of_its_source(stubbed: None, tmp_path: Path, how: dict[str, Any]) -> None:
    clip = moving_clip(tmp_path / "clip.mp4", 20, **how)
    result = tmp_path / "result.mp4"
    outcome = track_to_files(clip, config(result, tmp_path / "tracks.csv"))
    assert outcome.frames == 20 and outcome.places == [result, tmp_path / "tracks.csv"]
    times, end = times_of(result)
    true_times, true_end = times_of(clip)
    assert times == true_times
    assert abs(end - true_end) < Fraction(1, 1000)  # the clip's own edit list counts milliseconds
    with av.open(str(clip)) as before, av.open(str(result)) as after:
        assert after.duration == before.duration
        first = next(after.decode(video=0))
        assert (first.width, first.height) == (SIZE[::-1] if "rotation" in how else SIZE)
        assert first.rotation == 0
        assert (first.format.name, after.streams.video[0].codec_context.name) == ("yuv420p", "h264")
        assert len(after.streams.audio) == ("audio" in how)
    if "audio" in how:
        assert sound_of(result) == sound_of(clip)
    rows = rows_of(tmp_path / "tracks.csv")
    assert len(rows) > 10
    for row in rows:
        assert float(row["time_s"]) == round(float(true_times[int(row["frame"])] - true_times[0]), 6)


def test_a_part_of_a_video(stubbed: None, tmp_path: Path) -> None:
    clip = moving_clip(tmp_path / "clip.mp4", 40, audio=4.0)
    result = tmp_path / "result.mp4"
    part = {"start": 1.0, "end": 3.0, "every": 3}
    outcome = track_to_files(clip, config(result, tmp_path / "tracks.csv", source=part))
    assert outcome.frames == 7
    times, end = times_of(result)
    assert times == [Fraction(n, 10) for n in range(0, 20, 3)] and end == 2
    assert {row["frame"] for row in rows_of(tmp_path / "tracks.csv")} <= {str(n) for n in range(10, 30, 3)}
    sound = sound_of(result)
    assert len(sound) == pytest.approx(2 * 44100 / 1024, abs=3)


def test_a_stop_in_the_middle_of_a_batch(stubbed: None, tmp_path: Path) -> None:
    """The source has read ahead then; how long its latest frame lasts says nothing of the last one written."""
    clip = moving_clip(tmp_path / "clip.mp4", 12, pts=[*range(11), 90], options={"bf": "0"})
    result = tmp_path / "result.mp4"

    def watch(source: object, frame: Frame, tracks: Tracks) -> bool:
        return frame.index < 5

    outcome = track_to_files(clip, config(result, detector={"batch_size": 11}), watch)
    assert outcome.stopped and outcome.frames == 6
    assert times_of(result) == ([Fraction(n, 10) for n in range(6)], Fraction(6, 10))


# One answer


def text_of(clip: Path, folder: Path, name: str, **sections: dict[str, Any]) -> bytes:
    path = folder / f"{name}.csv"
    track_to_files(clip, config(path, **sections))
    return path.read_bytes()


def test_the_same_bytes_at_any_batch_size(stubbed: None, tmp_path: Path) -> None:
    clip = moving_clip(tmp_path / "clip.mp4", 50)
    texts = [text_of(clip, tmp_path, str(size), detector={"batch_size": size}) for size in (1, 4, 7, 64)]
    assert texts[0].count(b"\n") > 80 and len(set(texts)) == 1


@pytest.mark.slow
@needs_pets
def test_the_same_bytes_from_real_networks(tmp_path: Path) -> None:
    part = {"end": 1.5}
    texts = {
        (batch, threads): text_of(
            PETS_VIDEO,
            tmp_path,
            f"{batch} {threads}",
            source=part,
            detector={"batch_size": batch, "threads": threads, "score": 0.3, "device": "cpu"},
        )
        for batch, threads in ((1, 1), (8, 2), (8, 1), (3, 0))
    }
    again = text_of(PETS_VIDEO, tmp_path, "again", source=part, detector={"score": 0.3, "device": "cpu"})
    assert set(texts.values()) == {again}
    assert again.count(b"\n") > 20, "the clip shows people, but hardly any were tracked"


def results(clip: Path) -> Iterator[tuple[int, list[int], list[list[float]]]]:
    for frame, tracks in track(clip):
        yield frame.index, tracks.ids.tolist(), tracks.boxes.tolist()


def test_two_runs_at_once_do_not_disturb_each_other(stubbed: None, tmp_path: Path) -> None:
    first = moving_clip(tmp_path / "a.mp4", 40)
    second = moving_clip(tmp_path / "b.mp4", 40, pts=[2 * n + n % 2 for n in range(40)], options={"bf": "0"})
    alone = list(results(first)), list(results(second))
    mixed = zip(*zip(results(first), results(second), strict=True), strict=True)
    assert tuple(map(list, mixed)) == alone
    assert all(rows[-1][1] for rows in alone), "nothing was tracked"


@pytest.mark.slow
@needs_pets
def test_two_real_runs_at_once() -> None:
    settings = Config.model_validate({"source": {"end": 0.9}, "detector": {"score": 0.3, "device": "cpu"}})
    alone = [tracks.ids.tolist() for _, tracks in track(PETS_VIDEO, settings)]
    pairs = zip(track(PETS_VIDEO, settings), track(PETS_VIDEO, settings), strict=True)
    mixed = [(a.ids.tolist(), b.ids.tolist()) for (_, a), (_, b) in pairs]
    assert mixed == [(ids, ids) for ids in alone]
    assert alone[-1][0] == 1


# Nothing is left open


def test_leaving_the_loop_closes_everything(monkeypatch: pytest.MonkeyPatch, stubbed: None, tmp_path: Path) -> None:
    clip = moving_clip(tmp_path / "clip.mp4", 30)
    detector = StubDetector()
    monkeypatch.setattr(tracker.pipeline.networks, "load_detector", lambda _: detector)
    threads = set(threading.enumerate())
    for frame, _ in track(clip):
        if frame.index == 5:
            break
    assert detector.closed and set(threading.enumerate()) == threads
    assert str(clip) not in open_files()


@pytest.mark.slow
def test_leaving_the_loop_ends_the_threads_of_the_networks(tmp_path: Path) -> None:
    clip = moving_clip(tmp_path / "clip.mp4", 8)
    threads = set(threading.enumerate())
    for _ in track(clip, Config.model_validate({"detector": {"device": "cpu", "threads": 2}})):
        assert len(threading.enumerate()) > len(threads)
        break
    assert set(threading.enumerate()) == threads


def open_files() -> set[str]:
    folder = Path("/proc/self/fd")
    links = folder.iterdir() if folder.is_dir() else ()
    return {str(link.readlink()) for link in links if link.is_symlink()}


def test_an_error_in_the_callback_closes_everything(stubbed: None, tmp_path: Path) -> None:
    clip = moving_clip(tmp_path / "clip.mp4", 30)
    places = [tmp_path / "result.mp4", tmp_path / "tracks.csv"]
    threads = set(threading.enumerate())

    def watch(source: object, frame: Frame, tracks: Tracks) -> bool:
        if frame.index == 9:
            raise RuntimeError("the caller's")
        return True

    with pytest.raises(RuntimeError, match="the caller's"):
        track_to_files(clip, config(*places), watch)
    assert set(threading.enumerate()) == threads
    assert not {str(path) for path in (clip, *places)} & open_files()
    assert len(times_of(places[0])[0]) == 10


@pytest.mark.parametrize("wrong", [{"detector": {"model": "none"}}, {"appearance": {"embedder": "none.safetensors"}}])
def test_a_network_that_cannot_be_loaded_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    clip = moving_clip(tmp_path / "clip.mp4", 8)
    threads = set(threading.enumerate())
    with pytest.raises(InputError):
        track_to_files(clip, Config.model_validate(wrong))
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    assert set(threading.enumerate()) == threads and str(clip) not in open_files()


# Live sources


@pytest.mark.parametrize("silent", [False, True])
def test_a_stream_that_ends(stubbed: None, tmp_path: Path, silent: bool) -> None:
    data = moving_clip(tmp_path / "clip.ts", 60, options={"bf": "0"}).read_bytes()
    places = [tmp_path / "result.mp4", tmp_path / "tracks.csv"]
    threads = set(threading.enumerate())
    with streamed(data, silent) as address:
        outcome = track_to_files(address, config(*places, source={"timeout": 1.0}))
    assert outcome.frames > 3 and not outcome.stopped
    times, end = times_of(places[0])
    assert len(times) == outcome.frames and times[0] == 0 and all(np.diff(times) > 0) and end > times[-1]
    assert all(row["class"] in ("person", "car") for row in rows_of(places[1]))
    assert set(threading.enumerate()) == threads


def test_pictures_that_are_no_video_of_their_own(stubbed: None, tmp_path: Path) -> None:
    from media import write_image
    from stub import moving

    for n in range(12):
        write_image(tmp_path / f"img{n}.png", moving(n, *SIZE))
    places = [tmp_path / "result.mkv", tmp_path / "tracks.txt", tmp_path / "tracks.json"]
    outcome = track_to_files(str(tmp_path / "*.png"), config(*places, source={"fps": 12.5}))
    assert outcome.frames == 12 and outcome.summary.counts == {"person": 1, "car": 1}
    assert times_of(places[0])[0] == [Fraction(8 * n, 100) for n in range(12)]
    assert len(places[1].read_text().splitlines()) == 22
