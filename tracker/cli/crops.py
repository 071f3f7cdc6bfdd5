"""`track crops`: extracts crops of the tracks of videos."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tracker.cli import options
from tracker.cli.console import say
from tracker.config import (
    Config,
    CropsConfig,
    EmbedderTrainingConfig,
    OutputConfig,
    RuntimeConfig,
    validate_section,
)
from tracker.data.tracklets import read_track_categories
from tracker.errors import InputError

if TYPE_CHECKING:
    from tracker.pipeline.crops import CropExtractionResult

app = options.CommandApp(name="crops")


@app.default
def crops(
    sources: Annotated[
        tuple[str, ...],
        options.help_text(
            "Video files, folders or globs of images, URLs, cameras' numbers; folders of runs, whose repaired tracks "
            "are taken as they are; with --video, files of detections, or runs whose videos were moved."
        ),
    ],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o", help="Each video gets a folder of its name in this one.")] = Path(
        "crops"
    ),
    video: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, help="The videos of the detections, one for each file.")
    ] = (),
    overwrite: Annotated[
        bool, options.help_text("Replace the folders that an earlier run wrote for these videos.")
    ] = False,
    config: options.ConfigFile = None,
    quiet: options.Quiet = False,
    source_settings: options.Source = options.DEFAULTS.source,
    detector: options.Detector = options.DEFAULTS.detector,
    appearance: options.Appearance = options.DEFAULTS.appearance,
    tracker: options.Tracker = options.DEFAULTS.tracker,
    crop_settings: Annotated[CropsConfig, options.section("Crops")] = CropsConfig(),
) -> int:
    """Runs the command; returns the exit code."""
    options.set_quiet(quiet)
    sections = source_settings, detector, appearance, tracker, OutputConfig(overwrite=overwrite)
    settings = options.load_settings(config, *sections)
    videos, detections = (video, sources) if video else (sources, ())
    check_run_settings(sources, settings)
    return extract_crops(videos, detections, output, settings, crop_settings, quiet)


def extract_crops(
    videos: Sequence[str], detections: Sequence[str], root: Path, config: Config, settings: CropsConfig, quiet: bool
) -> int:
    """Extracts crops of videos into a folder each, shows the progress, and prints the result; returns the exit code.

    Ctrl-C and SIGTERM end it after the current frame; the tracks up to there are written. A second one ends at once. An
    error of one of several videos is printed, and the others go on.
    """
    # These take seconds to import, and `--help` does without.
    from tracker.cli.progress import ProgressDisplay
    from tracker.cli.run_monitor import ConsoleMonitor, RunProgress
    from tracker.cli.run_summary import print_failure, print_failures
    from tracker.cli.signals import stop_signals
    from tracker.pipeline.crops import CropExtractor
    from tracker.pipeline.resume import is_run
    from tracker.pipeline.source_list import expand_sources
    from tracker.video import redact_password

    if detections and len(detections) != len(videos):
        raise InputError(
            f"{len(detections)} files of detections do not match {len(videos)} videos: give one --video for each"
        )
    if not detections:
        runs = [video for video in videos if is_run(video)]  # which hold videos themselves
        videos = [*runs, *map(str, expand_sources([video for video in videos if video not in runs]))]
    failed: list[str] = []
    with stop_signals() as signals, CropExtractor(root, config, settings) as extractor:
        for number, video in enumerate(videos):
            with ProgressDisplay(quiet) as display:
                file = detections[number] if detections else ""
                monitor = ConsoleMonitor(signals, RunProgress(display), config.tracker.offline)
                try:
                    result = extractor.extract(video, file, monitor)
                except InputError as error:
                    if len(videos) == 1:
                        raise
                    failed.append(redact_password(video))
                    print_failure(failed[-1], error)
                    continue
            if not quiet:
                say(_summary(result))
            if signals.signal:
                break
    print_failures(failed, len(videos))
    return signals.exit_code or (2 if failed else 0)


def check_run_settings(sources: Sequence[str], config: Config) -> None:
    """Checks that nothing is asked of a run's tracks, which are there already.

    Raises:
        InputError: A source is the folder of a run, and a setting is given that only tracking could follow.
    """
    from tracker.pipeline.resume import is_run

    tracking = config.detector.model_fields_set - RuntimeConfig.model_fields.keys() - {"classes"}
    given = sorted(tracking | config.tracker.model_fields_set | config.appearance.model_fields_set - {"embedder"})
    run = next(filter(is_run, sources), None)
    if run and given:
        flag = f"--{given[0].replace('_', '-')}"
        raise InputError(f"the tracks of {run} are taken as they are, without {flag}: leave it out, or give the video")


def _summary(result: "CropExtractionResult") -> str:
    tracks = ", ".join(f"{count} {name}" for name, count in sorted(result.tracks.items()))
    stopped = ", stopped" if result.stopped else ""
    return (
        f"{result.frames} frames{stopped}; tracks: {tracks or 'none'}\nwrote {result.crops} crops into {result.folder}"
    )


def extract_training_crops(
    settings: EmbedderTrainingConfig, videos: Sequence[str], detections: Sequence[str], config: Config, resume: bool
) -> EmbedderTrainingConfig:
    """Extracts crops of videos into the folder of a training without labels, and returns the training's settings.

    Unless the settings say otherwise, the training starts from the built-in embedder, and its classes are those of the
    tracks.

    Raises:
        InputError: See `extract_crops`; or there are crops of an earlier training, or there was no track.
        SystemExit: The extraction was stopped.
    """
    root = Path(settings.folder) / "crops"
    first_process = os.environ.get("LOCAL_RANK", "0") == "0"  # the other processes of a training start later
    if first_process and not (resume and root.is_dir()):
        if root.exists():
            raise InputError(f"{root} exists: train on it by --train {root} --tracklets, or give another --folder")
        code = extract_crops(videos, detections, root, config, CropsConfig(), quiet=False)
        if code:
            raise SystemExit(code)
    categories = read_track_categories(root)
    if not categories:
        raise InputError(f"no track in {', '.join(videos)} lasted {CropsConfig().min_duration:g} s: give more video")
    defaults = {"pretrained": "builtin", "categories": categories}
    given = settings.model_dump(exclude_unset=True)
    return validate_section(
        EmbedderTrainingConfig, {**defaults, **given, "train": str(root), "tracklets": True}, "the command line"
    )
