"""The tables of a run, and files for other programs, from tracks that are known already."""

from fractions import Fraction
from pathlib import Path

from tracker.config import OutputConfig
from tracker.data.exchange.cvat_video import write_cvat
from tracker.data.exchange.dive import write_dive
from tracker.data.exchange.via_tracks import write_via_tracks
from tracker.data.files import write_json
from tracker.data.run_tracks import RunTracks
from tracker.data.store import RECORD
from tracker.errors import InputError
from tracker.output.base import VideoInfo
from tracker.output.writer import open_writer

FORMATS = {
    "csv": ".csv",
    "parquet": ".parquet",
    "mot": ".txt",
    "coco": ".json",
    "cvat": ".xml",
    "dive": ".json",
    "via": ".csv",
}
"""Suffix of each format in which tracks can be written."""
TABLES = ("tracks.csv", "tracks.parquet", "tracks_summary.parquet", "summary.csv")


def write_run(tracks: RunTracks) -> None:
    """Writes the tables and the record of a run into its folder, which exists.

    Raises:
        InputError: A file cannot be written.
    """
    write_json(tracks.folder / RECORD, tracks.record)
    for name in TABLES:
        write_tracks(tracks, tracks.folder / name)


def export_tracks(tracks: RunTracks, path: Path, format: str) -> None:
    """Writes tracks in one of `FORMATS`; a file at the path is replaced.

    Raises:
        InputError: The file cannot be written, or the format needs the size of the images, which is unknown.
    """
    if not tracks.width and format in ("coco", "cvat"):
        raise InputError(f"{tracks.folder} does not tell the size of the images, which --format {format} needs")
    match format:
        case "cvat":
            write_cvat(tracks, path, int(tracks.record.get("frames") or 0))
        case "dive":
            write_dive(tracks, path)
        case "via":
            write_via_tracks(tracks, path)
        case _:
            write_tracks(tracks, path)


def write_tracks(tracks: RunTracks, path: Path) -> None:
    """Writes tracks as a table or JSON, by the suffix of the path (see `open_writer`); a file there is replaced.

    Raises:
        InputError: The suffix is unknown, or the file cannot be written.
    """
    rate = tracks.frame_rate
    info = VideoInfo(tracks.name, tracks.width, tracks.height, Fraction(1) / rate, rate, clip=False)
    with open_writer(path, info, tracks.categories, OutputConfig()) as writer:
        for frame, found in tracks.by_frame():
            writer.write(frame, found)
