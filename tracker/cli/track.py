"""What a person sees of a run: a window, the summary, the exit code; and the lists that `track` prints."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

from rich.console import Console
from rich.table import Table

from tracker.cli.progress import RunLine, RunProgress, stop_signals, watchers
from tracker.config import Config
from tracker.errors import InputError
from tracker.output import Annotator
from tracker.pipeline.file_run import Looker, RunResult, Watcher
from tracker.pipeline.summary import TrackSummary
from tracker.structures.types import Frame, Tracks
from tracker.video import Source, without_password


def run_and_show(sources: Sequence[str], config: Config, quiet: bool) -> int:
    """Tracks sources, shows how it goes, and prints a summary of each; returns the exit code.

    Ctrl-C and SIGTERM let the frame in work and all files be finished; a second one stops at once, and so does one
    that comes before there is anything to finish. In the first of two looks they end that look, and the second one
    finishes what the first has seen.

    Of several sources, one that fails is told at once, and the others go on; the exit code is then 2.

    Raises:
        InputError: As `track_to_files` or, of several sources, `track_all_to_files`; or a window is asked for where
            there is no screen.
        SystemExit: It was stopped at once.
    """
    if len(sources) > 1:
        return _run_all(sources, config, quiet)
    return _run_one(sources[0], config, quiet)


def _run_one(source: str, config: Config, quiet: bool) -> int:

    def categories() -> Sequence[str]:
        from tracker.models.detection import categories_of

        return categories_of(config.detector)

    def run(watch: Watcher, look: Looker) -> RunResult:
        from tracker.pipeline.networks import track_to_files

        return track_to_files(source, config, watch, look)

    return _show(run, categories, config, quiet)


def _run_all(sources: Sequence[str], config: Config, quiet: bool) -> int:
    if config.output.show:
        raise InputError(f"--show shows one source, and there are {len(sources)}: give one, or leave it out")
    from tracker.pipeline.multi_source import track_all_to_files

    names = [without_password(source) for source in sources]
    lines: dict[int, RunLine] = {}
    outcomes: dict[int, RunResult] = {}
    failed: set[int] = set()
    with stop_signals() as stop, RunProgress(quiet) as progress:

        def begin(number: int) -> tuple[Watcher, Looker]:
            lines[number] = RunLine(progress, names[number])
            return watchers(stop, lines[number], config.tracker.offline)

        with closing(track_all_to_files(sources, config, begin)) as results:
            for number, result in results:
                lines[number].end()
                if isinstance(result, RunResult):
                    outcomes[number] = result
                else:
                    failed.add(number)
                    _print_error(names[number], result)
    for number, name in enumerate(() if quiet else names):
        if number in outcomes:
            print(name)
            _print_summary(outcomes[number])
        elif number not in failed:
            print(f"{name} was not begun")
    return 128 + stop.signal if stop.signal else 2 if failed else 0


def _print_error(source: str, error: InputError) -> None:
    """Says what went wrong with a source, in one line."""
    text = " ".join(str(error).split())
    print(f"track: {text if source in text else f'{source}: {text}'}", file=sys.stderr)


def retrack_and_show(detections: str, video: str, config: Config, quiet: bool) -> int:
    """As `run_and_show`, for stored detections.

    Raises:
        InputError: As `retrack_to_files`; or as `run_and_show`; or a window is asked for where there are no pictures.
        SystemExit: It was stopped at once.
    """
    if config.output.show and not video:
        raise InputError("--show needs the pictures: give --video, or leave it out")
    from tracker.data.detections import read_detections
    from tracker.pipeline.stored import retrack_to_files

    stored = read_detections(detections, config.source.fps)
    return _show(
        lambda watch, look: retrack_to_files(stored, config, video, watch, look),
        lambda: stored.categories,
        config,
        quiet,
    )


def _show(
    run: Callable[[Watcher, Looker], RunResult], categories: Callable[[], Sequence[str]], config: Config, quiet: bool
) -> int:
    with ExitStack() as stack:
        stop = stack.enter_context(stop_signals())
        window = stack.enter_context(_window(categories, config)) if config.output.show else None
        progress = stack.enter_context(RunProgress(quiet))
        go_on, look = watchers(stop, RunLine(progress), config.tracker.offline)

        def watch(source: Source, frame: Frame, tracks: Tracks) -> bool:
            return go_on(source, frame, tracks) and (window is None or window.show(source, frame, tracks))

        outcome = run(watch, look)
    if not quiet:
        _print_summary(outcome)
    return 128 + stop.signal if stop.signal else 0


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


def _print_summary(outcome: RunResult) -> None:
    console = Console(highlight=False, markup=False)
    # Captured, because rich would end the program itself when nobody reads its output any more.
    with console.capture() as captured:
        _summarize(outcome, console)
    print(captured.get(), end="", flush=True)


def _summarize(outcome: RunResult, console: Console) -> None:
    rate = f" ({outcome.frames / outcome.elapsed:.1f} frames/s)" if outcome.elapsed else ""
    console.print(f"{outcome.frames} frames in {outcome.elapsed:.1f} s{rate}{', stopped' if outcome.stopped else ''}")
    if outcome.corrupt_packets:
        console.print(f"{outcome.corrupt_packets} damaged packets were skipped")
    if outcome.predicted:
        console.print(f"{outcome.predicted} frames were not looked at; their boxes are predicted")
    if outcome.filtered_out:
        console.print(
            f"{outcome.filtered_out} stored detections were left out: score, class, or outside of the picture"
        )
    if outcome.truncated:
        console.print("the file ends before its stated end; it was processed as far as it goes")
    seen = ", ".join(f"{n} {name}" for name, n in outcome.summary.counts.most_common() if n)
    console.print(f"tracks: {seen or 'none'}")
    longest = outcome.summary.longest()
    if longest:
        console.print(_table(longest))
    for place in outcome.places:
        console.print(f"wrote {place}", soft_wrap=True)


def _table(longest: list[TrackSummary]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("id", "class", "from s", "to s", "seconds", "frames"):
        table.add_column(title, justify="left" if title == "class" else "right")
    for track in longest:
        times = (track.first, track.last, track.duration)
        table.add_row(str(track.track_id), track.category, *(f"{t:.2f}" for t in times), str(track.frames))
    return table


def print_models() -> None:
    """Prints what `--model`, `--embedder` and, in training, `network.architecture` and `network.backbone` take."""
    from tracker.models.detection import BUILTIN as BUILTIN_DETECTOR
    from tracker.models.detection import backbone_names, detector_names, torchvision_names
    from tracker.models.model_file import load_model
    from tracker.models.reid import BUILTIN as BUILTIN_EMBEDDER

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

    from tracker.pipeline.run_record import versions

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
