"""The page of a run of many hours in Chromium: how soon it is usable, how soon a seek is drawn, and what it takes."""

import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.loop_video import write_loop
from benchmarks.memory import resident_memory
from benchmarks.processes import COMMAND, environment, find_chromium, free_port
from tracker.data.files import write_json
from tracker.data.run_tracks import RunTracks
from tracker.data.store import RECORD, PartWriter, StoredFrame, StoreInfo
from tracker.errors import InputError
from tracker.output.run_folder import write_tracks
from tracker.structures.types import Detections

RATE, SIZE = 25, (640, 360)
CLIP_SECONDS = 60
"""Length of the clip that the video repeats."""
SEEKS = 20
PAUSE_MS = 500
"""Time between two seeks."""
WAIT_MS = 60_000
VIDEO, CATEGORIES = "video.mp4", ("person", "car")
_WATCH = """
const isDrawn = () => {
  const { width, height } = document.getElementById("boxes");
  const data = document.getElementById("boxes").getContext("2d").getImageData(0, 0, width, height).data;
  return data.some((value, n) => n % 4 === 3 && value > 0);
};
const number = () => {
  const text = document.getElementById("frame").textContent;
  return /^\\d+$/.test(text) ? Number(text) : NaN;
};
const look = () => {
  const video = document.getElementById("video");
  const isShown = video && video.readyState >= 2 && document.querySelector(".track") && number() >= 0;
  if (isShown && isDrawn()) window.usable = performance.now();
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);

// Sets `window.sought` to the milliseconds from the next press of the pointer until the boxes there have come from the
// server, and until they are drawn over their frame.
window.timeSeek = (index, tolerance) => {
  let start;
  window.sought = undefined;
  performance.clearResourceTimings();
  document.addEventListener("pointerdown", () => (start = performance.now()), { capture: true, once: true });
  const watcher = new MutationObserver(() => {
    if (start === undefined || !(Math.abs(number() - index) <= tolerance)) return;
    watcher.disconnect();
    const [answer] = performance.getEntriesByType("resource").filter((entry) => entry.name.includes("/window?"));
    const loaded = answer ? answer.responseEnd - start : 0; // 0 if they were there before
    window.sought = { loaded, milliseconds: performance.now() - start, frame: number(), drawn: isDrawn() };
  });
  watcher.observe(document.getElementById("frame"), { childList: true });
};
"""


def measure_long_view(
    hours: float, tracks: int, rows: int, keyframe_s: float, seed: int, folder: Path | None
) -> Iterator[str]:
    """Yields what the page of a synthetic run takes; see `long_view` of `benchmarks.commands`.

    Raises:
        InputError: No browser is there, or the page does not answer.
    """
    chromium = find_chromium()
    with tempfile.TemporaryDirectory() as temporary:
        run = folder or Path(temporary) / "long"
        if not (run / RECORD).is_file():
            write_long_run(run, hours, tracks, rows, keyframe_s)
        yield f"{hours:g} hours, {tracks} tracks, {rows} rows, {(run / VIDEO).stat().st_size / 1e6:.0f} MB of video"
        before = time.monotonic()
        with _served(run) as (process, url):
            yield f"`track view` serves after {time.monotonic() - before:.1f} s"
            yield from _in_browser(chromium, url, hours * 3600, seed)
            peak = _peak_memory(process.pid)
            yield f"resident memory of the server: {resident_memory(process.pid):.0f} MiB, {peak:.0f} at most"
        yield f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def write_long_run(folder: Path, hours: float, tracks: int, rows: int, keyframe_s: float) -> None:
    """Writes the folder of a run as `track` leaves it: video, record, stored detections, and tables of its tracks.

    The tracks have all the same length and start at the same distance from each other; their boxes go back and forth.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        clip = Path(temporary) / VIDEO
        _write_clip(clip, keyframe_s)
        write_loop(str(clip), hours * 3600, folder / VIDEO)
    found = _long_tracks(folder, int(hours * 3600 * RATE), tracks, rows)
    _store_detections(found)
    for name in ("tracks.parquet", "tracks_summary.parquet"):
        write_tracks(found, folder / name)
    write_json(folder / RECORD, found.record)  # the last one, so that a folder that has it is whole


def _write_clip(path: Path, keyframe_s: float) -> None:
    width, height = SIZE
    random_colors = np.random.default_rng(0).integers(60, 200, (5, 8, 3), np.uint8)
    background = cv2.resize(random_colors, SIZE, interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", RATE, options={"crf": "38", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = max(1, round(keyframe_s * RATE))
        for n in range(CLIP_SECONDS * RATE):
            image = background.copy()
            for each in range(4):
                x = int((40 + 60 * each + 3 * n * (each + 1)) % (width - 40))
                cv2.rectangle(image, (x, 60 + 70 * each), (x + 30, 120 + 70 * each), (30 * each, 200, 90), -1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image.astype(np.uint8), "rgb24")))
        container.mux(stream.encode(None))


def _long_tracks(folder: Path, frames: int, tracks: int, rows: int) -> RunTracks:
    chance = np.random.default_rng(1)
    length = max(2, rows // tracks)
    starts = np.linspace(0, frames - length, tracks).astype(np.int64)
    ids = np.repeat(np.arange(1, tracks + 1), length)
    numbers = (starts[:, None] + np.arange(length)).reshape(-1)
    place, speed = chance.uniform(0, 400, (tracks, 2)), chance.uniform(-2, 2, (tracks, 2))
    path = place[:, None] + speed[:, None] * np.arange(length)[None, :, None]
    space = np.array(SIZE) - (30, 80)
    corners = space - np.abs(np.mod(path, 2 * space) - space).reshape(-1, 2)
    order = np.lexsort((ids, numbers))
    size = dict(zip(("width", "height"), SIZE, strict=True))
    source = {"name": VIDEO, "path": str((folder / VIDEO).resolve()), "frame_rate": str(RATE), **size}
    return RunTracks(
        folder=folder,
        frames=numbers[order],
        times=numbers[order] / RATE,
        ids=ids[order],
        labels=(ids % len(CATEGORIES))[order],
        scores=chance.uniform(0.5, 1, len(ids)).astype(np.float32),
        boxes=np.hstack([corners, corners + np.array([30, 80])])[order],
        observed=chance.random(len(ids)) < 0.9,
        categories=CATEGORIES,
        width=SIZE[0],
        height=SIZE[1],
        record={"status": "finished", "frames": frames, "source": source, "config": {}},
    )


def _store_detections(tracks: RunTracks) -> None:
    """Stores the boxes as detections, and the frames without any."""
    info = StoreInfo(VIDEO, CATEGORIES, *SIZE, Fraction(RATE), Fraction(1, RATE))
    folder = tracks.folder / "detections"
    folder.mkdir(exist_ok=True)
    writer = PartWriter(folder, info)
    frames = int(tracks.record["frames"])
    ends = np.searchsorted(tracks.frames, np.arange(frames + 1))
    boxes = tracks.boxes.astype(np.float32)
    for n in range(frames):
        rows = slice(ends[n], ends[n + 1])
        detections = Detections(boxes[rows], tracks.scores[rows], tracks.labels[rows])
        none = np.zeros((len(detections), 0), np.float32)
        writer.write(StoredFrame(n, n, n / RATE, detections, none, none))
    writer.finish(complete=True)


@contextmanager
def _served(run: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Runs `track view` until the end of the block; yields the process and the address of the page."""
    command = [*COMMAND, "view", str(run), "--port", str(free_port())]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url.startswith("http"):
                raise InputError("`track view` did not start; see stderr")
            yield process, url
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _in_browser(chromium: str, url: str, seconds: float, seed: int) -> Iterator[str]:
    """Yields the time until the page is usable, and from clicks on its timeline until boxes are drawn."""
    from playwright.sync_api import sync_playwright

    chance = random.Random(seed)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800}, bypass_csp=True)
        page.add_init_script(_WATCH)
        page.goto(url, timeout=WAIT_MS)
        page.wait_for_function("window.usable !== undefined", timeout=WAIT_MS)
        yield f"usable (tracks listed, first frame and its boxes drawn) after {page.evaluate('usable') / 1000:.2f} s"
        place = page.locator("#timeline").bounding_box()
        assert place is not None
        times = []
        for _ in range(SEEKS):
            x = chance.randrange(10, int(place["width"]) - 10)
            times.append(_time_seek(page, place, x, seconds))
            page.wait_for_timeout(PAUSE_MS)
        browser.close()
    for what, column in zip(("have come", "are drawn over their frame"), zip(*times, strict=True), strict=True):
        yield f"from a seek until its boxes {what}: median {median(column):.0f} ms, at most {max(column):.0f} ms"
        yield f"  each: {', '.join(f'{one:.0f}' for one in column)} ms"


def _time_seek(page: Any, place: Any, x: int, length: float) -> tuple[float, float]:
    """Clicks on the timeline; returns the milliseconds until the boxes there have come, and until they are drawn."""
    tolerance = RATE * (2 * length / place["width"] + 2)  # two pixels, and two seconds
    page.evaluate(f"timeSeek({round(RATE * length * x / place['width'])}, {tolerance})")
    page.mouse.click(place["x"] + x, place["y"] + 15)
    page.wait_for_function("window.sought", timeout=WAIT_MS)
    found = page.evaluate("sought")
    if not found["drawn"]:
        raise InputError(f"the page draws no boxes at frame {found['frame']}")
    return float(found["loaded"]), float(found["milliseconds"])


def _peak_memory(pid: int) -> float:
    """Returns the largest resident memory that a process has had, MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
