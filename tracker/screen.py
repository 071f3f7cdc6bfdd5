"""What a person sees of a run: progress, a window, Ctrl-C, the summary; and the lists that `track` prints."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from tracker.config import Config
from tracker.errors import InputError
from tracker.output import Annotator
from tracker.reports import PLAIN_INTERVAL
from tracker.results import Looker, Outcome, Watcher
from tracker.summary import Seen
from tracker.types import Frame, Tracks
from tracker.video import Source

SHOW_INTERVAL = 0.05  # seconds between two updates of the bar, which cost more than tracking a frame
NAME_WIDTH = 24  # characters of the source's name beside the bar, so that the rest fits into 80 columns
RATE_MEMORY = 0.05  # weight of the newest frame in the shown frame rate


def run_and_show(source: str, config: Config, quiet: bool) -> int:
    """Tracks a source, shows how it goes, and prints a summary; returns the exit code.

    Ctrl-C and SIGTERM let the frame in work and all files be finished; a second one stops at once, and so does one
    that comes before there is anything to finish. In the first of two looks they end that look, and the second one
    finishes what the first has seen.

    Raises:
        InputError: As `track_to_files`; or a window is asked for where there is no screen.
        SystemExit: It was stopped at once.
    """

    def categories() -> Sequence[str]:
        from tracker.detection import categories_of

        return categories_of(config.detector)

    def run(watch: Watcher, look: Looker) -> Outcome:
        from tracker.pipeline import track_to_files

        return track_to_files(source, config, watch, look)

    return _show(run, categories, config, quiet)


def retrack_and_show(detections: str, video: str, config: Config, quiet: bool) -> int:
    """As `run_and_show`, for stored detections.

    Raises:
        InputError: As `retrack_to_files`; or as `run_and_show`; or a window is asked for where there are no pictures.
        SystemExit: It was stopped at once.
    """
    if config.output.show and not video:
        raise InputError("--show needs the pictures: give --video, or leave it out")
    from tracker.retracking import retrack_to_files
    from tracker.stored import read_detections

    stored = read_detections(detections, config.source.fps)
    return _show(
        lambda watch, look: retrack_to_files(stored, config, video, watch, look),
        lambda: stored.categories,
        config,
        quiet,
    )


def _show(
    run: Callable[[Watcher, Looker], Outcome], categories: Callable[[], Sequence[str]], config: Config, quiet: bool
) -> int:
    with ExitStack() as stack:
        stop = stack.enter_context(stop_signals())
        window = stack.enter_context(_window(categories, config)) if config.output.show else None
        progress = stack.enter_context(RunProgress(quiet))
        go_on, look = watchers(stop, progress, config.tracker.offline)

        def watch(source: Source, frame: Frame, tracks: Tracks) -> bool:
            return go_on(source, frame, tracks) and (window is None or window.show(source, frame, tracks))

        outcome = run(watch, look)
    if not quiet:
        _print_summary(outcome)
    return 128 + stop.signal if stop.signal else 0


def watchers(stop: "Stop", progress: "RunProgress", offline: bool) -> tuple[Watcher, Looker]:
    """What shows how a run over one source goes, and ends it when a signal asks for that."""
    watched: list[bool] = []

    def look(source: Source, frame: Frame) -> bool:
        stop.gently = True
        progress.show(source, " look 1 of 2", "")
        stop.heed()
        return stop.heeded == 0

    def watch(source: Source, frame: Frame, tracks: Tracks) -> bool:
        stop.gently = True
        if offline and not watched:
            # What came since the first look ended was meant for that; its fruit is not to be lost.
            stop.heed()
            watched.append(True)
        progress.show(source, " look 2 of 2" if offline else "", f", {len(tracks)} live")
        return stop.signal == stop.heeded

    return watch, look


class Stop:
    """What to do with a signal that asks the run to end.

    Attributes:
        signal: The one that came, 0 for none.
        heeded: The one that was meant for the first of two looks; the second is to be finished.
        gently: Whether there is something to finish.
    """

    def __init__(self) -> None:
        self.signal = self.heeded = 0
        self.gently = False

    def heed(self) -> None:
        """Notes that what came so far does not end the second look."""
        self.heeded = self.signal

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.signal or not self.gently:
            sys.exit(128 + number)
        self.signal = number


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Turns SIGINT and SIGTERM into a wish to end, see `Stop`, as long as this is open."""
    stop = Stop()
    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class RunProgress:
    """A bar on a terminal; elsewhere a line now and then."""

    def __init__(self, quiet: bool) -> None:
        console = Console(stderr=True)
        self._lines = not quiet and not console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )
        self._looks: list[str] = []
        self._task = TaskID(0)
        self._total = self._frames = 0
        self._interval = 0.0  # seconds for a frame, averaged over the latest ones
        self._last_frame = self._last_shown = self._last_line = 0.0

    def __enter__(self) -> "RunProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, source: Source, look: str, more: str) -> None:
        """Counts a frame; shown with it are which look at the source it is of, and `more`."""
        now = time.monotonic()
        if look not in self._looks:
            self._begin(source, look, now)
        else:
            weight = max(RATE_MEMORY, 1 / self._frames)
            self._interval += weight * (now - self._last_frame - self._interval)
        self._last_frame = now
        self._frames += 1
        if now - self._last_shown < SHOW_INTERVAL:
            return
        self._last_shown = now
        expected = f"/{self._total}" if self._total else ""
        rate = f", {1 / self._interval:.1f}/s" if self._interval else ""
        text = f"{self._frames}{expected} frames{rate}{more}"
        self._bar.update(self._task, completed=self._frames, text=text)
        if self._lines and now - self._last_line >= PLAIN_INTERVAL:
            self._last_line = now
            print(f"{source.name}{look}: {text}", file=sys.stderr)

    def _begin(self, source: Source, look: str, now: float) -> None:
        if self._looks:
            self._bar.remove_task(self._task)
        self._total = self._frames if self._looks else source.expected_frames
        self._frames, self._interval = 0, 0.0
        self._last_line = now
        self._task = self._bar.add_task(
            source.name[: NAME_WIDTH - len(look)] + look, total=self._total or None, text=""
        )
        self._looks.append(look)


@contextmanager
def _window(categories: Callable[[], Sequence[str]], config: Config) -> Iterator["_Window"]:
    import cv2

    # OpenCV's toolkits end the process where they find no screen, so another one tries first.
    attempt = f"import cv2; cv2.namedWindow({_Window.NAME!r})"
    if subprocess.run([sys.executable, "-c", attempt], stdin=subprocess.DEVNULL, capture_output=True).returncode != 0:
        raise InputError("--show needs a screen, and there is none here: leave it out")
    cv2.namedWindow(_Window.NAME, cv2.WINDOW_NORMAL)
    try:
        yield _Window(categories, config)
    finally:
        cv2.destroyAllWindows()


class _Window:
    """An OpenCV window with the annotated picture; q or Escape in it, or closing it, ends the run."""

    NAME = "tracker"

    def __init__(self, categories: Callable[[], Sequence[str]], config: Config) -> None:
        self._categories = categories
        self._config = config
        self._annotator: Annotator | None = None

    def show(self, source: Source, frame: Frame, tracks: Tracks) -> bool:
        """Draws a frame; False when the user wants no more."""
        import cv2

        if self._annotator is None:
            cv2.resizeWindow(self.NAME, source.width, source.height)
            self._annotator = Annotator(self._categories(), source.width, source.height, self._config.output.trail)
        cv2.imshow(self.NAME, self._annotator.draw(frame, tracks)[:, :, ::-1])
        pressed = cv2.waitKey(1) & 0xFF
        return pressed not in (ord("q"), 27) and cv2.getWindowProperty(self.NAME, cv2.WND_PROP_VISIBLE) > 0


def _print_summary(outcome: Outcome) -> None:
    console = Console(highlight=False, markup=False)
    # Captured, because rich would end the program itself when nobody reads its output any more.
    with console.capture() as captured:
        _summarize(outcome, console)
    print(captured.get(), end="", flush=True)


def _summarize(outcome: Outcome, console: Console) -> None:
    rate = f" ({outcome.frames / outcome.elapsed:.1f} frames/s)" if outcome.elapsed else ""
    console.print(f"{outcome.frames} frames in {outcome.elapsed:.1f} s{rate}{', stopped' if outcome.stopped else ''}")
    if outcome.damaged:
        console.print(f"{outcome.damaged} damaged packets were skipped")
    if outcome.predicted:
        console.print(f"{outcome.predicted} frames were not looked at; their boxes are predicted")
    if outcome.left_out:
        console.print(f"{outcome.left_out} stored detections were left out: score, class, or outside of the picture")
    if outcome.ended_early:
        console.print("the file ends before its stated end; it was processed as far as it goes")
    seen = ", ".join(f"{n} {name}" for name, n in outcome.summary.counts.most_common() if n)
    console.print(f"tracks: {seen or 'none'}")
    longest = outcome.summary.longest()
    if longest:
        console.print(_table(longest))
    for place in outcome.places:
        console.print(f"wrote {place}", soft_wrap=True)


def _table(longest: list[Seen]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("id", "class", "from s", "to s", "seconds", "frames"):
        table.add_column(title, justify="left" if title == "class" else "right")
    for track in longest:
        times = (track.first, track.last, track.duration)
        table.add_row(str(track.track_id), track.category, *(f"{t:.2f}" for t in times), str(track.frames))
    return table


def print_models() -> None:
    """Prints what `--model`, `--embedder` and, in training, `network.architecture` and `network.backbone` take."""
    from tracker.appearance import BUILTIN as BUILTIN_EMBEDDER
    from tracker.detection import BUILTIN as BUILTIN_DETECTOR
    from tracker.detection import backbone_names, detector_names, torchvision_names
    from tracker.weights import load_model

    for flag, path in (("--model", BUILTIN_DETECTOR), ("--embedder", BUILTIN_EMBEDDER)):
        _, info = load_model(path)
        print(f"{flag} builtin ({path.stat().st_size / 1e6:.1f} MB): {', '.join(info.categories)}")
        print(f"    licence: {info.license}")
        print(f"    trained on: {info.provenance}")
    print("--embedder none: motion alone")
    for name in torchvision_names():
        print(f"--model {name} --weights coco: COCO's 80 classes, downloaded once by torchvision, BSD-3-Clause")
    print(
        "--weights and --embedder also take what `track train` writes: model.safetensors, or for a detector best.ckpt."
    )
    print(f"network.architecture in `track train detector`: {', '.join(detector_names())}")
    print(f"network.backbone of fasterrcnn_fpn and maskrcnn_fpn: {', '.join(backbone_names())}")


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
