"""What would make a run faster here: sentences that follow from what was measured."""

from collections.abc import Mapping, Sequence

from tracker.evaluation.speed.speed import ALL_CORES, THREADS, Cost, Speeds, limits

MOST_SENTENCES = 3
SPARSEST = 30  # largest --detect-every that is advised
WORTH = 1.1  # times as fast from which a change is worth a sentence


def advice(
    speeds: Speeds, detect_every: int, gpu: str, backends: Mapping[str, float], missing: Sequence[str]
) -> list[str]:
    """What a run waits for, and what would help, the most helpful first.

    Args:
        speeds: What was measured.
        detect_every: As that was.
        gpu: Name of a CUDA device of this machine; empty for none.
        backends: As `backend_ratios` gives them.
        missing: Backends that are not installed and that --backend auto would prefer.
    """
    found = [_waits_for(speeds)]
    if gpu and speeds.device == "cpu":
        found.append(f"This machine has a GPU, {gpu}, and the networks ran on the CPU: --device cuda.")
    found += _of_backends(speeds.backend, backends)
    found += _of_looking_less(speeds, detect_every)
    found += _of_no_video(speeds)
    if missing and speeds.device == "cpu":
        extra = {"onnxruntime": "onnx"}.get(missing[0], missing[0])
        found.append(f"--backend auto would take {missing[0]}, which is not installed: pip install 'tracker[{extra}]'.")
    return found[:MOST_SENTENCES]


def _waits_for(speeds: Speeds) -> str:
    if speeds.slowest == ALL_CORES:
        costs = {stage: cost.cpu for stage, cost in speeds.stages.items()}
        most = max(costs, key=costs.__getitem__)
        return f"A run waits for the cores, of whose time {most} takes {costs[most] / sum(costs.values()):.0%}."
    costs = {stage: cost.wall for stage, cost in speeds.stages.items() if stage in THREADS[speeds.slowest]}
    return f"A run waits for one thread, which does {max(costs, key=costs.__getitem__)}."


def _of_backends(used: str, ratios: Mapping[str, float]) -> list[str]:
    others = {name: ratio for name, ratio in ratios.items() if name != used}
    if not others:
        return []
    best = max(others, key=others.__getitem__)
    if others[best] >= WORTH:
        return [f"--backend {best} detects {others[best]:.1f} times as fast here as {used}."]
    return []


def _of_looking_less(speeds: Speeds, now: int) -> list[str]:
    """The least --detect-every at which a run keeps up with its clip, where it does not yet."""
    if speeds.whole >= speeds.clip.rate:
        return []
    for every in range(now + 1, SPARSEST + 1):
        rate = _expected(speeds, dict.fromkeys(THREADS["looking"], now / every))
        if rate >= speeds.clip.rate:
            return [
                f"--detect-every {every} would keep up with the clip's own {speeds.clip.rate:.4g} frames/s "
                f"(about {rate:.0f}); boxes in the frames between are predicted."
            ]
    return []


def _of_no_video(speeds: Speeds) -> list[str]:
    rate = _expected(speeds, {"draw": 0.0, "encode": 0.0})
    if rate < WORTH * speeds.whole:
        return []
    return [f"--output tracks.csv, without a video, would reach about {rate:.0f} frames/s."]


def _expected(speeds: Speeds, factors: Mapping[str, float]) -> float:
    """Frames per second if some stages took so many times as long, and as much of what that allows were reached."""
    stages = {
        stage: Cost(cost.wall * factors.get(stage, 1.0), cost.cpu * factors.get(stage, 1.0))
        for stage, cost in speeds.stages.items()
    }
    return min(speeds.share, 1.0) * min(limits(stages, speeds.cores).values(), default=0.0)
