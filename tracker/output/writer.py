"""Which file gets which writer."""

from collections.abc import Sequence
from pathlib import Path

from tracker.config import OutputConfig
from tracker.errors import InputError
from tracker.output.annotated_video import AnnotatedVideoWriter
from tracker.output.base import ResultWriter, VideoInfo
from tracker.output.coco_json import CocoWriter
from tracker.output.tables import CsvWriter, MotWriter


def open_writer(path: Path, info: VideoInfo, categories: Sequence[str], config: OutputConfig) -> ResultWriter:
    """Creates the file at `path`, replacing what is there, and the writer that its suffix asks for.

    Args:
        path: Ends with .mp4, .mkv or .mov for the annotated video, .csv, .txt for the MOTChallenge's format, or
            .json for COCO's.
        info: Of the source.
        categories: Class names by label.
        config: Quality and trail of the video.

    Raises:
        InputError: The suffix is unknown or the file cannot be created.
    """
    match path.suffix.lower():
        case ".mp4" | ".mkv" | ".mov":
            return AnnotatedVideoWriter(path, info, categories, config)
        case ".csv":
            return CsvWriter(path, info, categories)
        case ".txt":
            return MotWriter(path, info)
        case ".json":
            return CocoWriter(path, info, categories)
    raise InputError(
        f"cannot tell from {path} what to write: its name must end with .mp4, .mkv or .mov (annotated video), "
        ".csv, .txt (MOTChallenge) or .json (COCO)"
    )
