"""The driver of a batch with stand-in workers: its rate, its memory, and the size of its manifest."""

import os
import tempfile
import time
from pathlib import Path

import psutil

from tracker.config import Config
from tracker.pipeline.batch.manifest import NAME, Manifest
from tracker.pipeline.batch.plan import plan_batch
from tracker.pipeline.batch.ray_pool import RayPool, RayWorker
from tracker.pipeline.batch.runner import BatchRunner
from tracker.pipeline.batch.task import Outcome, Task


class StandIn(RayWorker):
    """A worker that waits instead of tracking; the seconds are in STAND_IN_SECONDS."""

    def run(self, task: Task) -> Outcome:
        time.sleep(float(os.environ.get("STAND_IN_SECONDS", "0")))
        return Outcome("done", frames=1000, seconds=40.0, worker=self._name, fingerprint="0" * 64)


def simulate(tasks: int, workers: int, seconds: float) -> dict[str, float]:
    """Plans and runs a batch over empty files twice, and returns what was measured, by name."""
    os.environ["STAND_IN_SECONDS"] = str(seconds)
    memory = psutil.Process().memory_info
    with tempfile.TemporaryDirectory() as root:
        for number in range(tasks):
            folder = Path(root, "videos", f"{number // 1000:04d}")
            if number % 1000 == 0:
                folder.mkdir(parents=True)
            (folder / f"camera-{number:07d}.mp4").touch()
        results = Path(root, "results")
        results.mkdir()
        pattern = [f"{root}/videos/**/*.mp4"]
        figures: dict[str, float] = {}
        start = time.perf_counter()
        manifest = Manifest(results / NAME)
        plan = plan_batch(pattern, manifest, Config())
        manifest.write()
        figures["seconds to plan"] = time.perf_counter() - start
        with RayPool(Config(), workers, "local", StandIn) as pool:
            before = memory().rss
            start = time.perf_counter()
            BatchRunner(pool, manifest, Config()).run([task for task, _ in plan.todo])
            elapsed = time.perf_counter() - start
            figures["sources a second"] = tasks / elapsed
            figures["ideal sources a second (waiting alone)"] = workers / seconds if seconds else float("inf")
            figures["growth of the driver's memory, MiB"] = (memory().rss - before) / 2**20
        figures["driver's memory, MiB"] = memory().rss / 2**20
        figures["manifest, MiB"] = (results / NAME).stat().st_size / 2**20
        start = time.perf_counter()
        again = plan_batch(pattern, Manifest(results / NAME), Config())
        assert not again.todo
        figures["seconds for a second call to find all done"] = time.perf_counter() - start
    return figures
