"""`track bench`: what it measures, what it says of it, and long videos made of short ones."""

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch

import tracker.cli.bench
import tracker.pipeline.networks
from benchmarks.loop_video import write_loop
from benchmarks.memory import summarised, trend
from benchmarks.processes import environment
from paths import STUB
from stub_networks import install, moving_clip
from tracker import Config, InputError
from tracker.cli.app import main
from tracker.cli.demo import draw_clip
from tracker.evaluation.speed import alternatives, memory, runs, startup
from tracker.evaluation.speed.advice import advice
from tracker.evaluation.speed.backend_ratios import backend_ratios
from tracker.evaluation.speed.gpu import GpuUse, gpu_use
from tracker.evaluation.speed.speed import Clip, Cost, Speeds
from tracker.evaluation.speed.stages import first_frames, stage_speeds
from tracker.pipeline.prefetch import QueueStats
from video_clips import write_clip

SLOW = Speeds(
    clip=Clip("film.mp4", 640, 480, rate=25.0, frames=100, end=4.0),
    device="cpu",
    backend="torch",
    cores=2,
    stages={
        "decode": Cost(0.002, 0.002),
        "detect": Cost(0.090, 0.170),
        "embed": Cost(0.010, 0.018),
        "associate": Cost(0.001, 0.001),
        "draw": Cost(0.001, 0.001),
        "encode": Cost(0.004, 0.008),
    },
    whole=9.0,
    cores_used=1.8,
    queues={"read": QueueStats(4, 4, 100, 390)},
    gpu=GpuUse(),
)
"""200 ms of the cores' time for a frame: two cores allow 10 frames per second, the thread that looks too."""


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("load_detector", "load_embedder"):
        monkeypatch.setattr(tracker.pipeline.networks, name, getattr(tracker.pipeline.networks, name))
    install(tracker.pipeline.networks)
    monkeypatch.setattr(tracker.cli.bench, "backend_ratios", lambda *_: {})
    monkeypatch.chdir(tmp_path)


def bench(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["bench", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


# What is measured


def test_a_clip_is_measured_and_nothing_is_left(stubbed: None, capsys: pytest.CaptureFixture[str]) -> None:
    moving_clip(Path("film.mp4"), 30)
    assert bench("film.mp4", "--frames", 13, "--json", "figures.json", "--preset", "ultrafast") == 0
    said = capsys.readouterr().out
    assert re.search(r"film.mp4: 160x120, 10 frames/s, 13 frames measured\nnetworks on cpu, computed by torch", said)
    assert re.search(r"a run, its stages at the same time: [\d.]+ frames/s, [\d.]+ times real time", said)
    assert said.rstrip().endswith("wrote figures.json") and "A run waits for" in said
    figures = json.loads(Path("figures.json").read_text())
    assert list(figures["stages"]) == ["decode", "detect", "embed", "associate", "draw", "encode", "write"]
    assert figures["clip"]["frames"] == 13 and figures["config"]["output"]["preset"] == "ultrafast"
    assert figures["whole"] > 0 and figures["share"] == figures["whole"] / min(figures["limits"].values())
    assert figures["queues"]["look"]["room"] == 1 and figures["advice"]
    assert {path.name for path in Path().iterdir()} == {"film.mp4", "figures.json"}
    assert bench("film.mp4", "--json", "figures.json") == 2
    assert "the output figures.json exists" in capsys.readouterr().err


def test_the_flags_of_a_run_are_those_of_the_measurement(stubbed: None, capsys: pytest.CaptureFixture[str]) -> None:
    moving_clip(Path("film.mp4"), 40)
    flags = ("--start", 1, "--end", 3, "--every", 2, "--detect-every", 2, "--embedder", "none", "--offline")
    assert bench("film.mp4", *flags, "--output", "a.csv", "--detections", "b.csv", "--json", "figures.json") == 0
    figures = json.loads(Path("figures.json").read_text())
    assert (figures["clip"]["frames"], figures["clip"]["rate"]) == (10, pytest.approx(5))
    assert list(figures["stages"]) == ["decode", "detect", "embed", "associate", "write"]
    assert not Path("a.csv").exists() and not Path("b.csv").exists()


@pytest.mark.parametrize("frames", [1, 3])
def test_a_clip_of_few_frames_in_which_nothing_moves(
    stubbed: None, capsys: pytest.CaptureFixture[str], frames: int
) -> None:
    write_clip(Path("dark.mp4"), frames, draw=lambda _, width, height: np.zeros((height, width, 3), np.uint8))
    assert bench("dark.mp4") == 0
    assert f"10 frames/s, {frames} frames measured" in capsys.readouterr().out


def test_without_a_clip_one_is_drawn(stubbed: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("--frames", 5) == 0
    assert "demo.mp4: 640x360, 25 frames/s, 5 frames measured" in capsys.readouterr().out
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gone.mp4"], "there is no file or folder gone.mp4"),
        (["film.mp4", "--realtime"], "--realtime keeps the source's own pace"),
        (["film.mp4", "--output", "film.avi"], "its name must end with .mp4"),
        (["film.mp4", "--frames", "0"], "Must be >= 1"),
        (["film.mp4", "--json", "no/figures.json"], "there is no folder no"),
        (["film.mp4", "--start", "99"], "is beyond the end"),
    ],
)
def test_what_cannot_be_measured(
    stubbed: None, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    moving_clip(Path("film.mp4"), 4)
    assert bench(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and sentence in said.err and len(said.err.splitlines()) == 1


def test_stages_in_turn_take_what_they_take(stubbed: None) -> None:
    """A detector that sleeps uses the clock and no core; its thread is then what a run waits for."""
    install(tracker.pipeline.networks, delay=0.02)
    moving_clip(Path("film.mp4"), 12)
    config = Config()
    speeds = stage_speeds("film.mp4", *first_frames("film.mp4", config, 12), config)
    assert speeds.slowest == "looking" and speeds.stages["detect"].wall > 0.02 > 2 * speeds.stages["detect"].cpu
    assert speeds.limits["looking"] < 50 and 0.5 < speeds.share < 1.05
    assert speeds.queues["read"].highest > 0


@pytest.mark.slow
def test_backends_take_turns() -> None:
    config = Config().detector.model_copy(update={"device": "cpu"})
    clip = Path(tracker.__file__).parent / "cli" / "demo_images" / "cat.jpg"
    _, frames = first_frames(str(clip), Config(), 1)
    ratios = backend_ratios(config, "torch", frames)
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    assert ratios["torch"] == 1 and {"torch", "onnxruntime"} <= ratios.keys()
    assert all(0.2 < ratio < 20 for ratio in ratios.values())


# What is said of it


def said_of(speeds: Speeds, every: int = 1, gpu: str = "", missing: tuple[str, ...] = (), **ratios: float) -> list[str]:
    return advice(speeds, every, gpu, ratios, missing)


def test_a_run_that_waits_for_the_cores() -> None:
    assert SLOW.limits == pytest.approx(
        {"reading": 500, "looking": 10, "tracking": 1000, "writing": 200, "all cores": 10}
    )
    first, second = said_of(replace(SLOW, stages={**SLOW.stages, "detect": Cost(0.080, 0.170)}))
    assert first == "A run waits for the cores, of whose time detect takes 85%."
    # Of the cores' 200 ms, 188 are for looking: a quarter of these and the other 12 allow 33.9; 0.9 of that is reached.
    assert second.startswith("--detect-every 4 would keep up with the clip's own 25 frames/s (about 31)")


def test_a_run_that_looks_seldom_already() -> None:
    """A look at every second frame takes 188 ms for each, so that the looks themselves take twice that."""
    assert "--detect-every 7 " in said_of(SLOW, every=2)[1]


def test_a_clip_that_no_setting_keeps_up_with() -> None:
    fast = replace(SLOW, clip=replace(SLOW.clip, rate=240.0))
    assert len(said_of(fast)) == 1


def test_what_is_fast_enough_needs_no_advice() -> None:
    assert said_of(replace(SLOW, clip=replace(SLOW.clip, rate=5.0)))[1:] == []


def test_a_faster_backend_and_an_idle_gpu() -> None:
    _, gpu, backend = said_of(SLOW, gpu="NVIDIA H100", onnxruntime=1.3, openvino=2.04, torch=1.0)
    assert gpu == "This machine has a GPU, NVIDIA H100, and the networks ran on the CPU: --device cuda."
    assert backend == "--backend openvino detects 2.0 times as fast here as torch."
    on_gpu = replace(SLOW, device="cuda:0")
    assert not any("GPU" in sentence for sentence in said_of(on_gpu, gpu="NVIDIA H100", missing=("openvino",)))
    assert not any("backend" in sentence for sentence in said_of(SLOW, torch=1.0, onnxruntime=1.05))


def test_a_backend_that_is_not_installed() -> None:
    good = replace(SLOW, clip=replace(SLOW.clip, rate=5.0))
    assert said_of(good, missing=("onnxruntime",))[1:] == [
        "--backend auto would take onnxruntime, which is not installed: pip install 'tracker[onnx]'."
    ]


def test_only_what_auto_would_prefer_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alternatives, "find_spec", lambda name: None if name == "openvino" else name)
    assert alternatives.missing_backends("torch") == ["openvino"]
    assert alternatives.missing_backends("onnxruntime") == []
    monkeypatch.setattr(alternatives, "find_spec", lambda name: None)
    assert alternatives.missing_backends("openvino") == ["onnxruntime"]
    assert alternatives.missing_backends("torch") == ["onnxruntime", "openvino"]


def test_a_video_that_takes_most_of_the_time() -> None:
    stages = {**SLOW.stages, "detect": Cost(0.005, 0.009), "embed": Cost(0, 0), "encode": Cost(0.018, 0.030)}
    first, second = said_of(replace(SLOW, stages=stages, whole=40.0))
    # The cores' 43 ms allow 46.5 frames per second, of which 0.86 are reached; without 31 of these, 166.7.
    assert first == "A run waits for the cores, of whose time encode takes 70%."
    assert second == "--output tracks.csv, without a video, would reach about 143 frames/s."
    one_core = replace(SLOW, stages={**stages, "encode": Cost(0.018, 0.010)}, whole=40.0)
    assert said_of(one_core)[0] == "A run waits for one thread, which does encode."


# Long videos and memory


def test_a_loop_goes_on_where_it_ends(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 7, 10, options={"bf": "2"}, audio=0.5)
    assert write_loop(str(clip), 2.0, tmp_path / "loop.mp4") == pytest.approx(2.1)
    with av.open(str(tmp_path / "loop.mp4")) as container:
        assert not container.streams.audio
        frames = list(container.decode(video=0))
    assert [float(frame.time or 0) for frame in frames] == pytest.approx([n / 10 for n in range(21)])
    pictures = [frame.to_ndarray(format="rgb24") for frame in frames]
    for number in range(7):
        np.testing.assert_array_equal(pictures[number], pictures[number + 14])
    with pytest.raises(InputError, match="cannot loop"):
        write_loop(str(tmp_path / "gone.mp4"), 1, tmp_path / "a.mp4")


def test_a_trend_and_its_error() -> None:
    """Worked by hand: y = 1, 3, 2, 4 at 0..3 rises by 0.8, and leaves -0.3, 0.9, -0.9, 0.3 beside the line."""
    slope, error = trend([0, 1, 2, 3], [1, 3, 2, 4])
    assert (slope, error) == (pytest.approx(0.8), pytest.approx((1.8 / 2 / 5) ** 0.5))
    assert trend([0, 1, 2, 3], [5, 5, 5, 5]) == (0, 0)


def test_noise_that_remembers_tells_less() -> None:
    times = np.arange(400.0)
    fresh = np.random.default_rng(0).normal(size=400)
    slow = np.convolve(fresh, np.ones(20), "same")
    assert trend(times, slow)[1] > 2.5 * np.polyfit(times, slow, 1, cov=True)[1][0, 0] ** 0.5
    assert trend(times, fresh)[1] == pytest.approx(np.polyfit(times, fresh, 1, cov=True)[1][0, 0] ** 0.5, rel=0.15)


def test_a_long_run_in_figures() -> None:
    """A minute of video in each ten seconds: 1 MiB more every ten seconds is 60 MiB for an hour of video."""
    samples = [(float(t), 900 + t / 10 if 20 <= t <= 95 else 400.0) for t in range(0, 101, 5)]
    run = summarised(samples, 10, {}, GpuUse())
    assert (run.start, run.end, run.peak) == (902, 909.5, 909.5)
    assert run.slope == pytest.approx(60) and run.error == pytest.approx(0, abs=1e-6)
    with pytest.raises(InputError, match="too short"):
        summarised(samples[:3], 10, {}, GpuUse())


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_a_long_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "INTERVAL", 0.1)
    clip = moving_clip(tmp_path / "film.mp4", 20)
    run = memory.long_run(str(clip), 0.1, ["--embedder", "none", "--backend", "torch", "--device", "cpu"])
    assert run.minutes == pytest.approx(0.1) and 100 < run.start <= run.peak
    assert set(run.queues) == {"read", "look", "write"}


# Fresh processes


@pytest.mark.slow
def test_the_first_row_is_seen_before_the_run_ends(tmp_path: Path) -> None:
    clip = moving_clip(tmp_path / "film.mp4", 40)
    stub = [sys.executable, str(STUB), "0", "0.1"]
    began = time.perf_counter()
    first = startup.until_the_first_row([*stub, str(clip), "--quiet"], tmp_path)
    assert 0.1 < first < time.perf_counter() - began - 1  # most of the frames come later
    write_clip(tmp_path / "dark.mp4", 4, draw=lambda _, width, height: np.zeros((height, width, 3), np.uint8))
    assert startup.until_the_first_row([*stub, str(tmp_path / "dark.mp4"), "--quiet"], tmp_path) > 0
    with pytest.raises(InputError, match="ended with exit code 2"):
        startup.until_the_first_row([*stub, "gone.mp4"], tmp_path)


def test_whole_runs_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up runs: 3 s and 5 s to load, 10 ms and 40 ms for each of 60 frames, of two cores each."""
    clip = write_clip(tmp_path / "clip.mp4", 20)
    costs = {runs.OURS: (3.0, 0.01), "other": (5.0, 0.04)}

    def spent(rival: str, video: str) -> tuple[float, float]:
        start, each = costs[rival]
        return start + each * played(video), 2 * (start + each * played(video))

    monkeypatch.setattr(runs, "timed", spent)
    rivals = [runs.BaselinePipeline(name, "", name) for name in costs]  # type: ignore[arg-type]
    ours, other = runs.compare_runs(rivals, str(clip), 3, 2)
    assert ours.rates == pytest.approx((60 / 3.6, 60 / 3.6)) and ours.ratio == pytest.approx(1)
    assert other.rates == pytest.approx((60 / 7.4, 60 / 7.4)) and other.ratio == pytest.approx(7.4 / 3.6)
    assert (ours.cpu, other.cpu) == pytest.approx((120, 7400 / 30))
    with pytest.raises(InputError, match="at least 1"):
        runs.compare_runs(rivals, str(clip), 0, 1)


def played(video: str) -> int:
    with av.open(video) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_rival_that_is_not_there(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 2)
    with pytest.raises(InputError, match="there is no command yolo beside"):
        runs.rivals_of("builtin", str(clip), str(tmp_path / "python"), tmp_path)
    with pytest.raises(InputError, match="did you mean 'builtin'"):
        runs.rivals_of("builtn", str(clip), "", tmp_path)


@pytest.mark.slow
def test_the_usual_script_finds_what_we_find(tmp_path: Path) -> None:
    for package in ("deep_sort_realtime", "pkg_resources"):
        pytest.importorskip(package, reason="the extra [benchmark] is not installed")
    draw_clip(tmp_path / "demo.mp4")
    for rival in runs.rivals_of("builtin", str(tmp_path / "demo.mp4"), "", tmp_path):
        folder = tmp_path / rival.name
        folder.mkdir()
        rival.run(str(tmp_path / "demo.mp4"), folder)
        assert played(str(folder / "video.mp4")) == 150
        assert len((folder / "tracks.csv").read_text().splitlines()) > 200  # a person and a cat


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no interrupts to send")
def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    moving_clip(tmp_path / "film.mp4", 40)
    (tmp_path / "temporary").mkdir()
    stub = [sys.executable, str(STUB), "0", "0.2", "bench", "film.mp4"]
    variables = {**environment(), "TMPDIR": str(tmp_path / "temporary")}
    with subprocess.Popen(stub, cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None and process.stderr.readline() == "loading\n"
        time.sleep(1)  # into the first run
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert (process.returncode, said) == (130, "")
    assert not list((tmp_path / "temporary").iterdir())


def test_what_a_gpu_did_is_read_from_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by the device's own name, stopped at the end, and understood whatever is cut off or not known."""
    tool = tmp_path / "nvidia-smi"
    lines = r"0, 500\n50, 900\n[N/A], [N/A]\nNo devices were found\n100, 700\n10"
    tool.write_text(f"#!/bin/sh\necho $$ $@ > {tmp_path}/asked\nprintf '{lines}'\nexec sleep 60\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"a-{number}"))
    with gpu_use(torch.device("cuda:1")) as seen:
        while not (tmp_path / "asked").is_file() or not (asked := (tmp_path / "asked").read_text().split()):
            time.sleep(0.01)
        time.sleep(0.2)
    assert "GPU-a-1" in asked
    assert not Path("/proc", asked[0]).exists()
    assert seen.busy == [0.0, 0.5, 1.0]
    assert seen.memory == [500, 900, 700]
    assert seen.lines == ["the GPU was busy for 50% of the time; memory: 500 MiB at first, 900 at most"]


def test_without_a_gpu_nothing_is_seen_of_it() -> None:
    with gpu_use(torch.device("cpu")) as seen:
        pass
    assert (seen.busy, seen.lines) == ([], [])
