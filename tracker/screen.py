"""What a person sees of a run: progress, a window, Ctrl-C, the summary; and the lists that `track` prints."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tracker.config import Config
from tracker.errors import InputError
from tracker.pipeline import Outcome, Watcher
from tracker.types import Frame, Tracks
from tracker.video import Source

PLAIN_INTERVAL = 10.0  # seconds between two lines of progress where there is no terminal
RATE_MEMORY = 0.05  # weight of the newest frame in the shown frame rate


@contextmanager
def follow(config: Config, quiet: bool) -> Iterator[tuple[Watcher, Callable[[Outcome], int]]]:
    """Shows a run.

    The first Ctrl-C asks the run to stop after the frame in work, so that all files are finished; a second one
    stops at once.

    Yields:
        What to call after each frame, and what to call with the outcome, which gives the exit code.
    """
    screen = _Screen(config, quiet)
    previous = signal.signal(signal.SIGINT, screen.interrupt)
    try:
        with screen.progress:
            yield screen.watch, screen.finish
    finally:
        signal.signal(signal.SIGINT, previous)
        screen.close()


class _Screen:
    def __init__(self, config: Config, quiet: bool) -> None:
        self.config = config
        self.quiet = quiet
        self.console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn(
                "{task.completed:.0f}{task.fields[of]} frames  {task.fields[rate]:.1f}/s  {task.fields[live]} live"
            ),
            TimeRemainingColumn(),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
        )
        self.interrupted = False
        self.window = _Window() if config.output.show else None
        self.started = self.last_frame = self.last_line = time.monotonic()
        self.interval = 0.0
        self.frames = 0
        self.task: Any = None

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def watch(self, source: Source, frame: Frame, tracks: Tracks) -> bool:
        now = time.monotonic()
        if self.frames == 0:
            self.started = self.last_line = now
            self.task = self.progress.add_task(
                source.name, total=source.expected_frames or None, rate=0.0, live=0, of=_of(source.expected_frames)
            )
        else:
            weight = max(RATE_MEMORY, 1 / self.frames)
            self.interval += weight * (now - self.last_frame - self.interval)
        self.last_frame = now
        self.frames += 1
        rate = 1 / self.interval if self.interval else 0.0
        self.progress.update(self.task, completed=self.frames, rate=rate, live=len(tracks))
        if self.progress.disable and not self.quiet and now - self.last_line >= PLAIN_INTERVAL:
            self.last_line = now
            print(
                f"{source.name}: {self.frames}{_of(source.expected_frames)} frames, {rate:.1f}/s, {len(tracks)} live",
                file=sys.stderr,
            )
        shown = self.window.show(source, frame, tracks, self.config) if self.window else True
        return shown and not self.interrupted

    def finish(self, outcome: Outcome) -> int:
        self.progress.stop()
        if not self.quiet:
            _print_summary(outcome)
        return 130 if self.interrupted else 0

    def close(self) -> None:
        if self.window:
            self.window.close()


def _of(expected: int) -> str:
    return f"/{expected}" if expected else ""


class _Window:
    """An OpenCV window with the annotated picture; q or Escape in it, or closing it, ends the run."""

    NAME = "tracker"

    def __init__(self) -> None:
        import cv2

        try:
            cv2.namedWindow(self.NAME, cv2.WINDOW_NORMAL)
        except cv2.error:
            raise InputError("--show needs a screen, and there is none here; leave it out") from None
        self.annotator: Any = None

    def show(self, source: Source, frame: Frame, tracks: Tracks, config: Config) -> bool:
        import cv2

        from tracker.detection import categories_of
        from tracker.output import Annotator

        if self.annotator is None:
            cv2.resizeWindow(self.NAME, source.width, source.height)
            self.annotator = Annotator(categories_of(config.detector), source.width, source.height, config.output.trail)
        cv2.imshow(self.NAME, self.annotator.draw(frame, tracks)[:, :, ::-1])
        pressed = cv2.waitKey(1) & 0xFF
        return pressed not in (ord("q"), 27) and cv2.getWindowProperty(self.NAME, cv2.WND_PROP_VISIBLE) > 0

    def close(self) -> None:
        import cv2

        cv2.destroyWindow(self.NAME)


def _print_summary(outcome: Outcome) -> None:
    console = Console()
    rate = outcome.frames / outcome.elapsed if outcome.elapsed else 0.0
    console.print(f"{outcome.frames} frames in {outcome.elapsed:.1f} s ({rate:.1f} frames/s)", highlight=False)
    if outcome.damaged:
        console.print(f"{outcome.damaged} damaged packets were skipped", highlight=False)
    if outcome.ended_early:
        console.print("the file ends before its stated end; it was processed as far as it goes", highlight=False)
    counts = sorted((n, name) for name, n in outcome.summary.counts.items() if n)
    seen = ", ".join(f"{n} {name}" for n, name in reversed(counts)) or "nobody"
    console.print(f"tracks: {seen}", highlight=False)
    longest = outcome.summary.longest()
    if longest:
        table = Table("id", "class", "from", "to", "seconds", "frames", box=None)
        for track in longest:
            times = (track.first, track.last, track.duration)
            table.add_row(str(track.track_id), track.category, *(f"{t:.2f}" for t in times), str(track.frames))
        console.print(table)
    for place in outcome.places:
        console.print(f"wrote {place}", highlight=False, soft_wrap=True)


def print_models() -> None:
    """Prints what `--model` and `--embedder` take."""
    from tracker.appearance import BUILTIN as BUILTIN_EMBEDDER
    from tracker.detection import BUILTIN as BUILTIN_DETECTOR
    from tracker.detection import torchvision_names
    from tracker.weights import load_model

    table = Table("for", "name", "size", "licence", "classes", box=None)
    for flag, path in (("--model", BUILTIN_DETECTOR), ("--embedder", BUILTIN_EMBEDDER)):
        _, info = load_model(path)
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        table.add_row(flag, "builtin", size, info.license, ", ".join(info.categories))
    table.add_row("--embedder", "none", "", "", "motion alone")
    for name in torchvision_names():
        table.add_row("--model", name, "download", "BSD-3-Clause", "COCO's, with --weights coco")
    Console().print(table)
    print("--weights and --embedder also take the model.safetensors that `track train` writes.")


def print_info() -> None:
    """Prints versions, devices and codecs."""
    import av
    import torch

    from tracker.record import versions

    for name, version in versions().items():
        print(f"{name}: {version}")
    devices = [f"cuda:{n} {torch.cuda.get_device_name(n)}" for n in range(torch.cuda.device_count())]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    print(f"devices: {', '.join(['cpu', *devices])}; {torch.get_num_threads()} CPU threads")
    libraries = [f"{name} {'.'.join(map(str, number))}" for name, number in sorted(av.library_versions.items())]
    print(f"FFmpeg libraries: {', '.join(libraries)}")
    wanted = ("h264", "hevc", "av1", "vp9", "mpeg4", "mjpeg", "gif", "prores")
    print(f"decoders: {', '.join(name for name in wanted if name in av.codecs_available)}")
    print(f"encoder libx264: {'yes' if 'libx264' in av.codecs_available else 'no'}")
