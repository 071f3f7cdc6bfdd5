"""Advises how to make a run faster, from its measured speed."""

from collections.abc import Mapping, Sequence

from tracker.evaluation.speed.speed import ALL_CORES, THREADS, SpeedReport, StageCost, throughput_limits

MAX_SENTENCES = 3
MAX_DETECT_EVERY = 30  # largest --detect-every that is advised
MIN_SPEEDUP = 1.1  # least speedup of a change that is advised


def advice(
    report: SpeedReport, detect_every: int, gpu_name: str, backends: Mapping[str, float], missing: Sequence[str]
) -> list[str]:
    """Returns sentences about the bottleneck of a run and about changes that help, the best first.

    Args:
        report: The measured speed.
        detect_every: The --detect-every of the measurement.
        gpu_name: Name of a CUDA device of this machine; empty for none.
        backends: See `backend_ratios`.
        missing: Backends that are not installed and that --backend auto would prefer.
    """
    sentences = [_bottleneck(report)]
    if gpu_name and report.device == "cpu":
        sentences.append(f"This machine has a GPU, {gpu_name}, and the networks ran on the CPU: --device cuda.")
    sentences += _faster_backend(report.backend, backends)
    sentences += _larger_detect_every(report, detect_every)
    sentences += _without_video(report)
    if missing and report.device == "cpu":
        extra = {"onnxruntime": "onnx"}.get(missing[0], missing[0])
        install = f"pip install 'video-tracker[{extra}]'"
        sentences.append(f"--backend auto would take {missing[0]}, which is not installed: {install}.")
    return sentences[:MAX_SENTENCES]


def _bottleneck(report: SpeedReport) -> str:
    if report.bottleneck == ALL_CORES:
        costs = {stage: cost.cpu for stage, cost in report.stages.items()}
        longest = max(costs, key=costs.__getitem__)
        return f"A run waits for the cores, of whose time {longest} takes {costs[longest] / sum(costs.values()):.0%}."
    costs = {stage: cost.wall for stage, cost in report.stages.items() if stage in THREADS[report.bottleneck]}
    return f"A run waits for one thread, which does {max(costs, key=costs.__getitem__)}."


def _faster_backend(used: str, ratios: Mapping[str, float]) -> list[str]:
    others = {name: ratio for name, ratio in ratios.items() if name != used}
    if not others:
        return []
    best = max(others, key=others.__getitem__)
    if others[best] >= MIN_SPEEDUP:
        return [f"--backend {best} detects {others[best]:.1f} times as fast here as {used}."]
    return []


def _larger_detect_every(report: SpeedReport, detect_every: int) -> list[str]:
    """Advises the least --detect-every at which a run keeps up with its clip, if it does not yet."""
    if report.throughput >= report.clip.frame_rate:
        return []
    for every in range(detect_every + 1, MAX_DETECT_EVERY + 1):
        throughput = _expected_throughput(report, dict.fromkeys(THREADS["detecting"], detect_every / every))
        if throughput >= report.clip.frame_rate:
            return [
                f"--detect-every {every} would keep up with the clip's {report.clip.frame_rate:.4g} frames/s "
                f"(about {throughput:.0f}); boxes in the frames between are predicted."
            ]
    return []


def _without_video(report: SpeedReport) -> list[str]:
    throughput = _expected_throughput(report, {"draw": 0.0, "encode": 0.0})
    if throughput < MIN_SPEEDUP * report.throughput:
        return []
    return [f"--output tracks.csv, without a video, would reach about {throughput:.0f} frames/s."]


def _expected_throughput(report: SpeedReport, factors: Mapping[str, float]) -> float:
    """Estimates the frames per second after stages took `factors` times as long, at the same efficiency."""
    stages = {
        stage: StageCost(cost.wall * factors.get(stage, 1.0), cost.cpu * factors.get(stage, 1.0))
        for stage, cost in report.stages.items()
    }
    return min(report.efficiency, 1.0) * min(throughput_limits(stages, report.cores).values(), default=0.0)
