"""Creation of the writer for an output file, by its suffix."""

from collections.abc import Sequence
from pathlib import Path

from tracker.config import OutputConfig
from tracker.output.annotated_video import AnnotatedVideoWriter
from tracker.output.base import ResultWriter, VideoInfo
from tracker.output.coco_json import CocoWriter
from tracker.output.parquet import SummaryParquetWriter, TracksParquetWriter
from tracker.output.paths import suffix_error
from tracker.output.tables import CsvWriter, MotWriter
from tracker.output.tracks_summary import SummaryCsvWriter


def open_writer(
    path: Path, info: VideoInfo, categories: Sequence[str], config: OutputConfig, overwrite: bool = True
) -> ResultWriter:
    """Creates or replaces the file at `path`, and returns the writer for its suffix.

    A link at `path` is replaced too: the file that it leads to stays as it is.

    Args:
        path: Ends with .mp4, .mkv or .mov for the annotated video, .csv, .txt for the MOTChallenge's format,
            .json for COCO's, or .parquet. `summary.csv`, *.summary.csv and *_summary.parquet have a row for each track,
            other tables one for each box.
        info: Properties of the source.
        categories: Class names by label.
        config: Quality and trail of the video.
        overwrite: False to refuse what exists. Of two runs that write to one path, only one then gets it.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from fractions import Fraction
        >>> from tracker.structures.types import Frame, Tracks
        >>> one, ids, box = np.ones(1, np.float32), np.array([7]), np.array([[8, 8, 24, 40]], np.float32)
        >>> tracks = Tracks(ids, box, one, ids * 0, np.zeros((1, 2), np.float32), one, ids > 0, ids * 0)
        >>> info = VideoInfo("clip", 64, 48, Fraction(1, 25), Fraction(25))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with open_writer(Path(folder, "tracks.csv"), info, ["person"], OutputConfig()) as writer:
        ...         writer.write(Frame(0, 0.0, 0, np.zeros((48, 64, 3), np.uint8)), tracks)
        ...     print(writer.path.read_text(), end="")
        frame,time_s,track_id,class,score,x1,y1,x2,y2,observed
        0,0.000000,7,person,1.0000,8.00,8.00,24.00,40.00,1

    Raises:
        InputError: The suffix is unknown, or the file cannot be created or exists and may not be replaced.
    """
    match path.suffix.lower():
        case ".mp4" | ".mkv" | ".mov":
            return AnnotatedVideoWriter(path, info, categories, config, overwrite)
        case ".csv" if path.name == "summary.csv" or path.stem.endswith(".summary"):
            return SummaryCsvWriter(path, info, categories, overwrite)
        case ".csv":
            return CsvWriter(path, info, categories, overwrite)
        case ".txt":
            return MotWriter(path, info, overwrite=overwrite)
        case ".parquet" if path.stem.endswith("_summary"):
            return SummaryParquetWriter(path, info, categories, overwrite)
        case ".parquet":
            return TracksParquetWriter(path, info, categories, overwrite)
        case ".json":
            return CocoWriter(path, info, categories, overwrite)
    raise suffix_error(path)
