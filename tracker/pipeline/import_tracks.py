"""The folder of a run from the tracks of another program."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tracker.config import Config, OutputConfig, SourceConfig
from tracker.data.claims import claim
from tracker.data.detections.seqinfo import read_seqinfo
from tracker.data.exchange import TrackTable, read_tracks
from tracker.data.run_tracks import RunTracks
from tracker.errors import InputError
from tracker.output import make_results_folder, remove_empty_folder
from tracker.output.run_folder import write_run
from tracker.pipeline.run_record import config_to_json, file_hash, source_record, versions
from tracker.video import open_source, source_name


def import_tracks(
    path: Path, video: str = "", folder: Path | None = None, fps: Fraction = Fraction(0), overwrite: bool = False
) -> RunTracks:
    """Makes the folder of a run from a file of tracks.

    Args:
        path: The tracks, see `read_tracks`.
        video: Their video, which gives the times of frames and the size; it is needed for all that shows images.
        folder: The folder; None for a new one in tracked/, named as the video or the file.
        fps: Frames per second, where there is neither a video nor times in the file.
        overwrite: Replace the tables of a folder that exists.

    Raises:
        InputError: The tracks or the video cannot be read, do not belong together, or the folder cannot be written.
    """
    table = read_tracks(path)
    source, times = _read_video(table, path, video) if video else _without_video(table, path, fps)
    name = source_name(video) if video else path.stem
    if folder is None:
        folder = make_results_folder(OutputConfig(overwrite=overwrite), name) or Path(name)
    elif folder.exists() and not overwrite:
        raise InputError(f"the folder {folder} exists: give --overwrite or another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from None
    columns, categories = table.columns()
    record: dict[str, Any] = {
        "status": "finished",
        "end": "complete",
        "reason": "",
        "source": source,
        "versions": versions(),
        "config": config_to_json(Config()),
        "imported": {"file": path.name, "sha256": file_hash(path)},
    }
    tracks = RunTracks(
        folder=folder,
        times=np.array([times[frame] for frame in columns["frames"].tolist()], np.float64),
        categories=categories,
        width=int(source["width"]),
        height=int(source["height"]),
        record=record,
        **columns,  # type: ignore[arg-type]
    )
    try:
        with claim(folder):
            write_run(tracks)
    finally:
        remove_empty_folder(folder)
    return tracks


def _read_video(table: TrackTable, path: Path, video: str) -> tuple[dict[str, Any], dict[int, float]]:
    """Returns the record of a video, and the times of the frames that have tracks."""
    wanted = {row.frame for row in table.rows}
    with open_source(video, SourceConfig()) as source:
        if table.width and (table.width, table.height) != (source.width, source.height):
            raise InputError(
                f"{path} is for images of {table.width}x{table.height} pixels, but {video} has "
                f"{source.width}x{source.height}: give its video"
            )
        source.select_frames(wanted.__contains__, max(wanted))
        times = {frame.index: frame.time for frame in source}
        if missing := sorted(wanted - times.keys()):
            raise InputError(f"{video} has no frame {missing[0]}, in which {path} has tracks: give its video")
        return source_record(source), times


def _without_video(table: TrackTable, path: Path, fps: Fraction) -> tuple[dict[str, Any], dict[int, float]]:
    info = read_seqinfo(path, float(fps))
    frames = {row.frame for row in table.rows}
    rate = fps or info.frame_rate
    if not rate and frames <= table.times.keys() and len(frames) > 1:
        span = table.times[max(frames)] - table.times[min(frames)]
        rate = Fraction((max(frames) - min(frames)) / span).limit_denominator(1001) if span > 0 else rate
    if not rate:
        raise InputError(f"{path} does not tell the times of its frames: give --video, or --fps")
    known = table.times if not fps and frames <= table.times.keys() else {}
    times = {frame: known.get(frame, float(frame / rate)) for frame in frames}
    width, height = (table.width, table.height) if table.width else (info.width, info.height)
    source = {"name": path.stem, "path": "", "fingerprint": {}, "width": width, "height": height}
    return {**source, "sample_aspect_ratio": "1", "frame_rate": str(rate), "time_base": str(1 / rate)}, times
