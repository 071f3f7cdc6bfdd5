"""The source of a run that was written before."""

from pathlib import Path
from typing import Any

from tracker.config import SourceConfig
from tracker.data.run_tracks import RunTracks
from tracker.data.store import read_source_run
from tracker.errors import InputError
from tracker.video.open import open_source
from tracker.video.source import Source


def open_run_source(tracks: RunTracks, video: str = "") -> Source:
    """Opens the part of its source that a run processed, with all frames; the caller closes it.

    Args:
        tracks: The tracks of the run.
        video: The file, where it is not at its place any more.

    Raises:
        InputError: It is not found, or is another one.
    """
    record = read_source_run(tracks.folder, tracks.record)[1]
    known = record.get("source") or {}
    path = video or known.get("path") or ""
    if not path or (not video and not Path(path).exists()):
        name = known.get("name") or "the video"
        raise InputError(f"{name} of {tracks.folder} is not found: give the file by --video")
    config = (record.get("config") or {}).get("source") or {}
    settings: dict[str, Any] = {key: config[key] for key in ("fps", "stream", "start", "end") if key in config}
    source = open_source(path, SourceConfig.model_validate(settings))
    if tracks.width and (source.width, source.height) != (tracks.width, tracks.height):
        size = f"{source.width}x{source.height}"
        source.close()
        raise InputError(f"{path} has {size} pixels, but the tracks are of {tracks.width}x{tracks.height}: give theirs")
    return source
