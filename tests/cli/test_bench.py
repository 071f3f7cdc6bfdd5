"""Speed: `track bench`, its advice, and the benchmarks of whole runs and of memory."""

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
from benchmarks import end_to_end, memory, startup
from benchmarks.loop_video import write_loop
from benchmarks.memory import fit_trend, summarize
from benchmarks.processes import environment
from paths import STUB
from stub_networks import install, moving_clip
from tracker import Config, InputError
from tracker.cli.app import main
from tracker.cli.demo import draw_clip
from tracker.evaluation.speed.advice import advice
from tracker.evaluation.speed.backend_ratios import backend_ratios, missing_backends
from tracker.evaluation.speed.gpu import GpuUsage, monitor_gpu
from tracker.evaluation.speed.speed import Clip, SpeedReport, StageCost
from tracker.evaluation.speed.stages import measure_stages, read_first_frames
from tracker.pipeline.prefetch import QueueStats
from video_clips import write_clip

REPORT = SpeedReport(
    clip=Clip("film.mp4", 640, 480, frame_rate=25.0, frames=100, end=4.0),
    device="cpu",
    backend="torch",
    cores=2,
    stages={
        "decode": StageCost(0.002, 0.002),
        "detect": StageCost(0.090, 0.170),
        "embed": StageCost(0.010, 0.018),
        "associate": StageCost(0.001, 0.001),
        "draw": StageCost(0.001, 0.001),
        "encode": StageCost(0.004, 0.008),
    },
    throughput=9.0,
    cores_used=1.8,
    queues={"read": QueueStats(4, 4, 100, 390)},
    gpu=GpuUsage(),
)
"""A frame takes 200 ms of CPU time, so that two cores allow 10 frames per second, as the detecting thread does."""


@pytest.fixture(name="stubbed")
def stub_networks(stubbed: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Uses stub networks in an empty folder, and compares no backends."""
    monkeypatch.setattr(tracker.cli.bench, "backend_ratios", lambda *_: {})
    monkeypatch.chdir(tmp_path)


def bench(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["bench", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


# Measurement


def test_a_measurement_leaves_no_files(stubbed: None, capsys: pytest.CaptureFixture[str]) -> None:
    moving_clip(Path("film.mp4"), 30)
    assert bench("film.mp4", "--frames", 13, "--json", "figures.json", "--preset", "ultrafast") == 0
    output = capsys.readouterr().out
    assert re.search(r"film.mp4: 160x120, 10 frames/s, 13 frames measured\nnetworks on cpu, computed by torch", output)
    assert re.search(r"a run, its stages at the same time: [\d.]+ frames/s, [\d.]+ times real time", output)
    assert output.rstrip().endswith("wrote figures.json") and "A run waits for" in output
    figures = json.loads(Path("figures.json").read_text())
    assert list(figures["stages"]) == ["decode", "detect", "embed", "associate", "draw", "encode", "write"]
    assert figures["clip"]["frames"] == 13 and figures["config"]["output"]["preset"] == "ultrafast"
    assert figures["throughput"] > 0 and figures["efficiency"] == figures["throughput"] / min(
        figures["throughput_limits"].values()
    )
    assert figures["queues"]["analyze"]["size"] == 1 and figures["advice"]
    assert {path.name for path in Path().iterdir()} == {"film.mp4", "figures.json"}
    assert bench("film.mp4", "--json", "figures.json") == 2
    assert "the output figures.json exists" in capsys.readouterr().err


def test_the_flags_of_a_run_apply_to_the_measurement(stubbed: None, capsys: pytest.CaptureFixture[str]) -> None:
    moving_clip(Path("film.mp4"), 40)
    flags = ("--start", 1, "--end", 3, "--every", 2, "--detect-every", 2, "--embedder", "none", "--offline")
    assert bench("film.mp4", *flags, "--output", "a.csv", "--detections", "b.csv", "--json", "figures.json") == 0
    figures = json.loads(Path("figures.json").read_text())
    assert (figures["clip"]["frames"], figures["clip"]["frame_rate"]) == (10, pytest.approx(5))
    assert list(figures["stages"]) == ["decode", "detect", "embed", "associate", "write"]
    assert not Path("a.csv").exists() and not Path("b.csv").exists()


@pytest.mark.parametrize("frames", [1, 3])
def test_a_clip_of_few_frames_without_objects(stubbed: None, capsys: pytest.CaptureFixture[str], frames: int) -> None:
    write_clip(Path("dark.mp4"), frames, draw=lambda _, width, height: np.zeros((height, width, 3), np.uint8))
    assert bench("dark.mp4") == 0
    assert f"10 frames/s, {frames} frames measured" in capsys.readouterr().out


def test_without_a_clip_one_is_drawn(stubbed: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("--frames", 5) == 0
    assert "demo.mp4: 640x360, 25 frames/s, 5 frames measured" in capsys.readouterr().out
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.mp4"], "there is no file or folder gone.mp4"),
        (["film.mp4", "--realtime"], "--realtime limits the speed"),
        (["film.mp4", "--output", "film.avi"], "its name must end with .mp4"),
        (["film.mp4", "--frames", "0"], "Must be >= 1"),
        (["film.mp4", "--json", "no/figures.json"], "there is no folder no"),
        (["film.mp4", "--start", "99"], "is beyond the end"),
    ],
)
def test_bad_input_gets_one_sentence(
    stubbed: None, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    moving_clip(Path("film.mp4"), 4)
    assert bench(*arguments) == 2
    output, errors = capsys.readouterr()
    assert output == "" and message in errors and len(errors.splitlines()) == 1


def test_the_costs_of_stages(stubbed: None) -> None:
    """A detector that sleeps takes wall time but no CPU time; its thread is then the bottleneck."""
    install(tracker.pipeline.networks, delay=0.2)
    moving_clip(Path("film.mp4"), 12)
    config = Config()
    report = measure_stages("film.mp4", *read_first_frames("film.mp4", config, 12), config)
    assert report.bottleneck == "detecting" and report.stages["detect"].wall > 0.2 > 2 * report.stages["detect"].cpu
    assert report.throughput_limits["detecting"] < 5 and 0.5 < report.efficiency < 1.05
    assert report.queues["read"].highest > 0


@pytest.mark.slow
def test_backend_ratios() -> None:
    config = Config().detector.model_copy(update={"device": "cpu"})
    clip = Path(tracker.__file__).parent / "cli" / "demo_images" / "cat.jpg"
    _, frames = read_first_frames(str(clip), Config(), 1)
    ratios = backend_ratios(config, "torch", frames)
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    assert ratios["torch"] == 1 and {"torch", "onnxruntime"} <= ratios.keys()
    assert all(0.2 < ratio < 20 for ratio in ratios.values())


# Advice


def advise(
    report: SpeedReport, every: int = 1, gpu: str = "", missing: tuple[str, ...] = (), **ratios: float
) -> list[str]:
    return advice(report, every, gpu, ratios, missing)


def test_a_run_that_waits_for_the_cores() -> None:
    assert REPORT.throughput_limits == pytest.approx(
        {"reading": 500, "detecting": 10, "tracking": 1000, "writing": 200, "all cores": 10}
    )
    first, second = advise(replace(REPORT, stages={**REPORT.stages, "detect": StageCost(0.080, 0.170)}))
    assert first == "A run waits for the cores, of whose time detect takes 85%."
    # Of 200 ms of CPU time, detecting takes 188: a quarter of these and the other 12 allow 33.9; 0.9 of it is reached.
    assert second.startswith("--detect-every 4 would keep up with the clip's 25 frames/s (about 31)")


def test_a_run_that_skips_frames_already() -> None:
    """Detecting takes 188 ms per frame, on average, and so twice that on each second frame, on which it runs."""
    assert "--detect-every 7 " in advise(REPORT, every=2)[1]


def test_a_clip_with_too_high_a_frame_rate() -> None:
    fast = replace(REPORT, clip=replace(REPORT.clip, frame_rate=240.0))
    assert len(advise(fast)) == 1


def test_a_run_that_is_fast_enough_needs_no_advice() -> None:
    assert advise(replace(REPORT, clip=replace(REPORT.clip, frame_rate=5.0)))[1:] == []


def test_a_faster_backend_and_an_idle_gpu() -> None:
    _, gpu, backend = advise(REPORT, gpu="NVIDIA H100", onnxruntime=1.3, openvino=2.04, torch=1.0)
    assert gpu == "This machine has a GPU, NVIDIA H100, and the networks ran on the CPU: --device cuda."
    assert backend == "--backend openvino detects 2.0 times as fast here as torch."
    on_gpu = replace(REPORT, device="cuda:0")
    assert not any("GPU" in sentence for sentence in advise(on_gpu, gpu="NVIDIA H100", missing=("openvino",)))
    assert not any("backend" in sentence for sentence in advise(REPORT, torch=1.0, onnxruntime=1.05))


def test_a_backend_that_is_not_installed() -> None:
    fast_enough = replace(REPORT, clip=replace(REPORT.clip, frame_rate=5.0))
    assert advise(fast_enough, missing=("onnxruntime",))[1:] == [
        "--backend auto would take onnxruntime, which is not installed: pip install 'video-tracker[onnx]'."
    ]


def test_missing_backends_are_those_that_auto_prefers(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = "tracker.evaluation.speed.backend_ratios.find_spec"
    monkeypatch.setattr(find_spec, lambda name: None if name == "openvino" else name)
    assert missing_backends("torch") == ["openvino"]
    assert missing_backends("onnxruntime") == []
    monkeypatch.setattr(find_spec, lambda name: None)
    assert missing_backends("openvino") == ["onnxruntime"]
    assert missing_backends("torch") == ["onnxruntime", "openvino"]


def test_an_encoder_that_takes_most_of_the_time() -> None:
    stages = {
        **REPORT.stages,
        "detect": StageCost(0.005, 0.009),
        "embed": StageCost(0, 0),
        "encode": StageCost(0.018, 0.030),
    }
    first, second = advise(replace(REPORT, stages=stages, throughput=40.0))
    # 43 ms of CPU time allow 46.5 frames per second, of which 0.86 is reached; without 31 of these ms, 166.7.
    assert first == "A run waits for the cores, of whose time encode takes 70%."
    assert second == "--output tracks.csv, without a video, would reach about 143 frames/s."
    one_core = replace(REPORT, stages={**stages, "encode": StageCost(0.018, 0.010)}, throughput=40.0)
    assert advise(one_core)[0] == "A run waits for one thread, which does encode."


# Long videos and memory


def test_a_looped_video_has_continuous_timestamps(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 7, 10, options={"bf": "2"}, audio=0.5)
    assert write_loop(str(clip), 2.0, tmp_path / "loop.mp4") == pytest.approx(2.1)
    with av.open(str(tmp_path / "loop.mp4")) as container:
        assert not container.streams.audio
        frames = list(container.decode(video=0))
    assert [float(frame.time or 0) for frame in frames] == pytest.approx([n / 10 for n in range(21)])
    images = [frame.to_ndarray(format="rgb24") for frame in frames]
    for number in range(7):
        np.testing.assert_array_equal(images[number], images[number + 14])
    with pytest.raises(InputError, match="cannot loop"):
        write_loop(str(tmp_path / "gone.mp4"), 1, tmp_path / "a.mp4")


def test_a_trend_and_its_error() -> None:
    """y = 1, 3, 2, 4 at 0..3 has the slope 0.8 and the residuals -0.3, 0.9, -0.9, 0.3."""
    slope, error = fit_trend([0, 1, 2, 3], [1, 3, 2, 4])
    assert (slope, error) == (pytest.approx(0.8), pytest.approx((1.8 / 2 / 5) ** 0.5))
    assert fit_trend([0, 1, 2, 3], [5, 5, 5, 5]) == (0, 0)


def test_correlated_noise_has_a_larger_error() -> None:
    times = np.arange(400.0)
    white = np.random.default_rng(0).normal(size=400)
    correlated = np.convolve(white, np.ones(20), "same")
    assert fit_trend(times, correlated)[1] > 2.5 * np.polyfit(times, correlated, 1, cov=True)[1][0, 0] ** 0.5
    assert fit_trend(times, white)[1] == pytest.approx(np.polyfit(times, white, 1, cov=True)[1][0, 0] ** 0.5, rel=0.15)


def test_the_summary_of_a_long_run() -> None:
    """A minute of video in each ten seconds: 1 MiB more every ten seconds is 60 MiB for an hour of video."""
    samples = [(float(t), 900 + t / 10 if 20 <= t <= 95 else 400.0) for t in range(0, 101, 5)]
    run = summarize(samples, 10, {}, GpuUsage())
    assert (run.start, run.end, run.peak) == (902, 909.5, 909.5)
    assert run.slope == pytest.approx(60) and run.slope_error == pytest.approx(0, abs=1e-6)
    with pytest.raises(InputError, match="too short"):
        summarize(samples[:3], 10, {}, GpuUsage())


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_a_long_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "INTERVAL", 0.1)
    clip = moving_clip(tmp_path / "film.mp4", 20)
    run = memory.long_run(str(clip), 0.1, ["--embedder", "none", "--backend", "torch", "--device", "cpu"])
    assert run.minutes == pytest.approx(0.1) and 100 < run.start <= run.peak
    assert set(run.queues) == {"read", "analyze", "write"}


# Separate processes


@pytest.mark.slow
def test_the_first_row_is_written_before_the_run_ends(tmp_path: Path) -> None:
    clip = moving_clip(tmp_path / "film.mp4", 40)
    stub = [sys.executable, str(STUB), "0", "0.1"]
    start_time = time.perf_counter()
    first = startup.time_to_first_row([*stub, str(clip), "--quiet"], tmp_path)
    assert 0.1 < first < time.perf_counter() - start_time - 1  # most of the frames come later
    write_clip(tmp_path / "dark.mp4", 4, draw=lambda _, width, height: np.zeros((height, width, 3), np.uint8))
    assert startup.time_to_first_row([*stub, str(tmp_path / "dark.mp4"), "--quiet"], tmp_path) > 0
    with pytest.raises(InputError, match="ended with exit code 2"):
        startup.time_to_first_row([*stub, "gone.mp4"], tmp_path)


def test_the_comparison_of_pipelines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs on two cores, of 3 s and 5 s to load, and of 10 ms and 40 ms for each of 60 frames."""
    clip = write_clip(tmp_path / "clip.mp4", 20)
    costs = {end_to_end.OURS: (3.0, 0.01), "other": (5.0, 0.04)}

    def measure(name: str, video: str) -> tuple[float, float]:
        load_time, frame_time = costs[name]
        seconds = load_time + frame_time * count_frames(video)
        return seconds, 2 * seconds

    monkeypatch.setattr(end_to_end, "measure_run", measure)
    pipelines = [end_to_end.BaselinePipeline(name, "", name) for name in costs]  # type: ignore[arg-type]
    ours, other = end_to_end.compare_pipelines(pipelines, str(clip), 3, 2)
    assert ours.rates == pytest.approx((60 / 3.6, 60 / 3.6)) and ours.ratio == pytest.approx(1)
    assert other.rates == pytest.approx((60 / 7.4, 60 / 7.4)) and other.ratio == pytest.approx(7.4 / 3.6)
    assert (ours.cpu_milliseconds, other.cpu_milliseconds) == pytest.approx((120, 7400 / 30))
    with pytest.raises(InputError, match="at least 1"):
        end_to_end.compare_pipelines(pipelines, str(clip), 0, 1)


def count_frames(video: str) -> int:
    with av.open(video) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_baseline_that_is_not_installed(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 2)
    with pytest.raises(InputError, match="there is no command yolo beside"):
        end_to_end.available_baselines("builtin", str(clip), str(tmp_path / "python"), tmp_path)
    with pytest.raises(InputError, match="did you mean 'builtin'"):
        end_to_end.available_baselines("builtn", str(clip), "", tmp_path)


@pytest.mark.slow
def test_the_baselines_track_the_same_objects(tmp_path: Path) -> None:
    for package in ("deep_sort_realtime", "pkg_resources"):
        pytest.importorskip(package, reason="the extra [benchmark] is not installed")
    draw_clip(tmp_path / "demo.mp4")
    for baseline in end_to_end.available_baselines("builtin", str(tmp_path / "demo.mp4"), "", tmp_path):
        folder = tmp_path / baseline.name
        folder.mkdir()
        baseline.run(str(tmp_path / "demo.mp4"), folder)
        assert count_frames(str(folder / "video.mp4")) == 150
        assert len((folder / "tracks.csv").read_text().splitlines()) > 200  # a person and a cat


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no interrupts to send")
def test_an_interrupt_leaves_no_files(tmp_path: Path) -> None:
    moving_clip(tmp_path / "film.mp4", 40)
    (tmp_path / "temporary").mkdir()
    stub = [sys.executable, str(STUB), "0", "0.2", "bench", "film.mp4"]
    variables = {**environment(), "TMPDIR": str(tmp_path / "temporary")}
    with subprocess.Popen(stub, cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None and process.stderr.readline() == "loading\n"
        time.sleep(1)  # into the first run
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
    assert (process.returncode, errors) == (130, "")
    assert not list((tmp_path / "temporary").iterdir())


def test_gpu_usage_is_read_from_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stub nvidia-smi is asked for the device by its UUID, is ended, and prints incomplete and unknown values."""
    tool = tmp_path / "nvidia-smi"
    lines = r"0, 500\n50, 900\n[N/A], [N/A]\nNo devices were found\n100, 700\n10"
    tool.write_text(f"#!/bin/sh\necho $$ $@ > {tmp_path}/arguments\nprintf '{lines}'\nexec sleep 60\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"a-{number}"))
    with monitor_gpu(torch.device("cuda:1")) as usage:
        while not (tmp_path / "arguments").is_file() or not (arguments := (tmp_path / "arguments").read_text().split()):
            time.sleep(0.01)
        time.sleep(0.2)
    assert "GPU-a-1" in arguments
    assert not Path("/proc", arguments[0]).exists()
    assert usage.utilization == [0.0, 0.5, 1.0]
    assert usage.memory == [500, 900, 700]
    assert usage.lines == ["the GPU was busy for 50% of the time; memory: 500 MiB at first, 900 at most"]


def test_without_a_gpu_there_is_no_usage() -> None:
    with monitor_gpu(torch.device("cpu")) as usage:
        pass
    assert (usage.utilization, usage.lines) == ([], [])
