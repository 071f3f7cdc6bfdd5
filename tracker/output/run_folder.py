"""The tables of a run, written from tracks that are known already."""

from fractions import Fraction
from pathlib import Path

from tracker.config import OutputConfig
from tracker.data.files import write_json
from tracker.data.run_tracks import RECORD, RunTracks
from tracker.output.base import VideoInfo
from tracker.output.writer import open_writer

TABLES = ("tracks.csv", "tracks.parquet", "tracks_summary.parquet")


def write_run(tracks: RunTracks) -> None:
    """Writes the tables and the record of a run into its folder, which exists.

    Raises:
        InputError: A file cannot be written.
    """
    write_json(tracks.folder / RECORD, tracks.record)
    for name in TABLES:
        write_tracks(tracks, tracks.folder / name)


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
