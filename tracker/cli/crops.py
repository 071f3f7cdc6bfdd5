"""What a person sees of `track crops`, and of learning individuals from videos alone."""

import os
from collections.abc import Sequence
from pathlib import Path

from tracker.cli.progress import RunLine, RunProgress, stop_signals, watchers
from tracker.config import Config, CropsConfig, EmbedderTrainingConfig, validated
from tracker.data.tracklets import read_categories
from tracker.errors import InputError
from tracker.pipeline.crops import CropExtractionResult, CropExtractor


def collect_and_show(
    videos: Sequence[str], detections: Sequence[str], root: Path, config: Config, crops: CropsConfig, quiet: bool
) -> int:
    """Collects crops of videos, shows how it goes, and says what came of it; returns the exit code.

    Ctrl-C and SIGTERM end it after the frame in work; what was seen until then is written. A second one stops at once.

    Args:
        videos: See `CropExtractor.collect`.
        detections: One file for each video, or none at all.
        root: Where each video gets a folder.
        config: How the videos are tracked.
        crops: Which crops are kept.
        quiet: Whether only errors are printed.

    Raises:
        InputError: As `CropExtractor.collect`; or there are not as many files of detections as videos.
    """
    if detections and len(detections) != len(videos):
        raise InputError(
            f"{len(detections)} files of detections do not match {len(videos)} videos: give one --video for each"
        )
    with stop_signals() as stop, CropExtractor(root, config, crops) as collector:
        for number, video in enumerate(videos):
            with RunProgress(quiet) as progress:
                found = detections[number] if detections else ""
                result = collector.collect(video, found, *watchers(stop, RunLine(progress), config.tracker.offline))
            if not quiet:
                print(_summary(result), flush=True)
            if stop.signal:
                break
    return 128 + stop.signal if stop.signal else 0


def _summary(result: CropExtractionResult) -> str:
    tracks = ", ".join(f"{count} {name}" for name, count in sorted(result.tracks.items()))
    stopped = ", stopped" if result.stopped else ""
    return (
        f"{result.frames} frames{stopped}; tracks: {tracks or 'none'}\nwrote {result.crops} crops into {result.folder}"
    )


def training_on_videos(
    settings: EmbedderTrainingConfig, videos: Sequence[str], detections: Sequence[str], config: Config, resume: bool
) -> EmbedderTrainingConfig:
    """Settings of a training without labels, on the tracks of videos, whose crops are collected first.

    The crops go into the folder of the training. Unless the settings say otherwise, it starts from the built-in
    embedder, and is about the classes of the tracks.

    Raises:
        InputError: As `collect_and_show`; or there are crops of an earlier training, or there was no track.
        SystemExit: The collecting was stopped.
    """
    root = Path(settings.folder) / "crops"
    first_process = os.environ.get("LOCAL_RANK", "0") == "0"  # the other processes of a training start later
    if first_process and not (resume and root.is_dir()):
        _collect_into(root, videos, detections, config)
    categories = read_categories(root)
    if not categories:
        raise InputError(f"no track in {', '.join(videos)} lasted {CropsConfig().shortest:g} s: give more video")
    usual = {"start_from": "builtin", "categories": categories}
    given = settings.model_dump(exclude_unset=True)
    return validated(
        EmbedderTrainingConfig, {**usual, **given, "train": str(root), "tracklets": True}, "the command line"
    )


def _collect_into(root: Path, videos: Sequence[str], detections: Sequence[str], config: Config) -> None:
    if root.exists():
        raise InputError(f"{root} exists: train on it by --train {root} --tracklets, or give another --folder")
    code = collect_and_show(videos, detections, root, config, CropsConfig(), quiet=False)
    if code:
        raise SystemExit(code)
