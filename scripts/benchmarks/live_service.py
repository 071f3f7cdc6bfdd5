"""A real RTSP server, and `track live` over it: faults for as long as is asked for, and the time from glass to page."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np

from benchmarks.memory import fit_trend, resident_memory
from benchmarks.processes import COMMAND, environment, find_chromium, free_port
from tracker.errors import InputError

RATE, SIZE, OTHER_SIZE = 20, (160, 120), (200, 152)
START_SECONDS = 120.0
SAMPLE_SECONDS = 2.0
SKIPPED_PARTS = 50
WARM_UP = 0.2
"""Fraction of a soak after which its memory is looked at."""
_SIGHT = """
([bits, block]) => {
  const image = document.querySelector(".picture > :is(video, img):not([hidden])");
  const canvas = document.createElement("canvas");
  canvas.width = bits * block;
  canvas.height = block;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  window.seen = [];
  let last = -1;
  const look = () => {
    const height = image.videoHeight || image.naturalHeight;
    context.drawImage(image, 0, height - block, bits * block, block, 0, 0, bits * block, block);
    const data = context.getImageData(0, block / 2, bits * block, 1).data;
    let number = 0;
    for (let bit = 0; bit < bits; bit++) number |= (data[4 * (bit * block + block / 2)] > 70) << bit;
    if (number !== last) window.seen.push([number, performance.timeOrigin + performance.now()]);
    last = number;
    requestAnimationFrame(look);
  };
  look();
}
"""


def soak(minutes: float, faults: int, seed: int, flags: Sequence[str] = ()) -> Iterator[str]:
    """Lets a server be killed, freeze and change its size at random moments, and yields what a run over it counts.

    Raises:
        InputError: No server can be started, or the run failed.
    """
    chance = random.Random(seed)
    slot = 60 * minutes / max(faults, 1)
    moments = [slot * (number + chance.uniform(0.1, 0.4)) for number in range(faults)]
    kinds = [chance.choice(("kill", "freeze", "other size")) for _ in range(faults)]
    samples: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder, _server(*SIZE, RATE) as server:
        with _service(server.url, Path(folder), ["--timeout", "10", *flags]) as (process, _):
            start = time.monotonic()
            while time.monotonic() < start + 60 * minutes:
                passed = time.monotonic() - start
                if moments and passed >= moments[0]:
                    moments.pop(0)
                    yield f"{passed:7.1f} s  {_disturb(server, kinds[faults - len(moments) - 1], chance)}"
                if process.poll() is not None:
                    raise InputError(f"the run ended after {passed:.0f} s with exit code {process.returncode}")
                samples.append((passed, resident_memory(process.pid)))
                time.sleep(SAMPLE_SECONDS)
        live = json.loads(next(Path(folder).glob("tracked/*/run.json")).read_text())["live"]
    yield from _counts(live, len(server.sent), Counter(kinds))
    yield _growth([sample for sample in samples if sample[0] >= WARM_UP * 60 * minutes])


def glass_to_page(
    seconds: float, width: int, height: int, rate: int, viewers: int, jpeg: bool = False, flags: Sequence[str] = ()
) -> Iterator[str]:
    """Yields the time from a numbered picture, as it is drawn, until Chromium shows it on the page.

    All viewers but that one are connections that read the pictures. What they cost is told by the service's CPU time.

    Raises:
        InputError: No server can be started, or no browser is there.
    """
    chromium = find_chromium()
    from playwright.sync_api import sync_playwright

    module = _rtsp_module()
    with (
        tempfile.TemporaryDirectory() as folder,
        _server(width, height, rate) as server,
        _service(server.url, Path(folder), flags) as (process, page_url),
        sync_playwright() as playwright,
        _readers(f"{page_url}cameras/127.0.0.1/", jpeg, viewers - 1),
    ):
        drawn = _record_times(server)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(bypass_csp=True)  # to read its pictures
        if jpeg:
            page.add_init_script("delete self.MediaSource")
        page.goto(page_url)
        picture = (
            "document.querySelector('img')?.naturalHeight" if jpeg else "document.querySelector('video')?.videoHeight"
        )
        page.wait_for_function(f"{picture} > 0", timeout=1000 * START_SECONDS)
        page.wait_for_timeout(3000)
        page.evaluate(_SIGHT, [module.BITS, module.BLOCK])
        used = _cpu_seconds(process.pid)
        page.wait_for_timeout(1000 * seconds)
        used = _cpu_seconds(process.pid) - used
        seen = page.evaluate("window.seen")
        browser.close()
        size = _bytes_per_second(f"{page_url}cameras/127.0.0.1/", jpeg)
    delays = [moment / 1000 - drawn[number] for number, moment in seen if number in drawn]
    if len(delays) < 10:
        raise InputError(f"only {len(delays)} of {len(seen)} pictures that were shown could be read")
    median, most = np.percentile(delays, [50, 95])
    yield f"{width}x{height} at {rate} frames/s: {len(delays)} of {len(seen)} pictures read in {seconds:g} s"
    yield f"{'Motion JPEG' if jpeg else 'H.264'}: {size / 1000:.0f} kB/s for a viewer"
    yield f"viewers: {viewers}, {1000 * used / len(seen):.0f} ms of CPU for a picture, with tracking"
    yield f"from drawing to page: median {1000 * median:.0f} ms, 95 % within {1000 * most:.0f} ms"


@contextmanager
def _readers(url: str, jpeg: bool, count: int) -> Iterator[None]:
    """Reads the pictures in so many connections until the end of the block."""
    ended = threading.Event()

    def read() -> None:
        with closing(_parts(url, jpeg)) as parts:
            while not ended.is_set() and next(parts):
                pass

    threads = [threading.Thread(target=read) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _parts(url: str, jpeg: bool) -> Generator[str | bytes, None, None]:
    """Yields what the service sends to a viewer, as it comes."""
    if jpeg:
        with urlopen(f"{url}picture.mjpeg", timeout=10) as answer:
            while part := answer.read1():
                yield part
    else:
        from websockets.sync.client import connect

        with connect(f"{url.replace('http', 'ws', 1)}video") as socket:
            yield from socket


def _bytes_per_second(url: str, jpeg: bool, seconds: float = 10.0) -> float:
    """Returns what a viewer gets, after the pictures that are there already."""
    total, start = 0, 0.0
    with closing(_parts(url, jpeg)) as parts:
        for number, part in enumerate(parts):
            if number == SKIPPED_PARTS:
                total, start = 0, time.monotonic()
            total += len(part)
            if start and time.monotonic() - start > seconds:
                break
    return total / (time.monotonic() - start)


def _cpu_seconds(pid: int) -> float:
    """Returns the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _disturb(server: Any, kind: str, chance: random.Random) -> str:
    """Lets a fault happen, and returns what it is."""
    if kind == "freeze":
        seconds = chance.uniform(3, 8)
        server.freeze(seconds)
        return f"froze for {seconds:.1f} s"
    server.kill()
    time.sleep(seconds := chance.uniform(0.5, 5))
    if kind == "other size":
        server.width, server.height = OTHER_SIZE if (server.width, server.height) == SIZE else SIZE
    server.start()
    size = f", back with {server.width}x{server.height}" if kind == "other size" else ""
    return f"killed for {seconds:.1f} s{size}"


def _counts(live: dict[str, Any], sent: int, kinds: Counter[str]) -> Iterator[str]:
    dropped = {reason: count for reason, count in live["dropped"].items() if count}
    total = live["processed"] + sum(dropped.values())
    events = Counter(event["event"] for event in live["events"])
    yield f"faults: {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}"
    yield f"frames: {sent} handed to the server's encoder, {live['captured']} captured"
    yield f"captured {'=' if live['captured'] == total else 'IS NOT'} {live['processed']} processed + {dropped} dropped"
    broken = kinds["kill"] + kinds["other size"]
    yield f"lost before they were captured: {sent - live['captured']}, in {broken} broken connections and at the start"
    yield f"reconnects: {live['reconnects']} of {broken}; events: {dict(sorted(events.items()))}"


def _growth(samples: list[tuple[float, float]]) -> str:
    times, sizes = np.array(samples).reshape(-1, 2).T
    slope, error = fit_trend(list(times), list(sizes))
    return (
        f"memory: {sizes[0]:.0f} MiB after the warm-up, {sizes[-1]:.0f} at the end, {sizes.max():.0f} at most; "
        f"growth {3600 * slope:+.1f} MiB an hour, standard error {3600 * error:.1f}"
    )


@contextmanager
def _server(width: int, height: int, rate: int) -> Iterator[Any]:
    module = _rtsp_module()
    if reason := module.missing_packages():
        raise InputError(f"no RTSP server can be started: {reason}")
    with module.rtsp_server(free_port(), width=width, height=height, rate=rate) as server:
        yield server


@contextmanager
def _service(url: str, folder: Path, flags: Sequence[str]) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """Runs `track live` in a folder until the end of the block; yields the process and its address, once it tracks."""
    port = free_port()
    command = [*COMMAND, "live", url, "--port", str(port), "--quiet", *flags]
    process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + START_SECONDS
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() > end:
                raise InputError("`track live` did not start; see stderr")
            time.sleep(0.2)
        yield process, f"http://127.0.0.1:{port}/"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(json.load(answer)["ready"])
    except (URLError, OSError):
        return False


def _record_times(server: Any) -> dict[int, float]:
    """Returns the moment at which each number was drawn, which grows as the server writes on."""
    known = len(server.sent)
    drawn: dict[int, float] = {}

    class Recorder(list[int]):
        def append(self, number: int) -> None:
            drawn[number] = time.time()
            super().append(number)

    server.sent = Recorder(server.sent[:known])
    return drawn


def _rtsp_module() -> Any:
    """Returns the server of the tests."""
    folder = str(Path(__file__).parents[2] / "tests")
    if folder not in sys.path:
        sys.path.append(folder)
    return import_module("rtsp_server")
