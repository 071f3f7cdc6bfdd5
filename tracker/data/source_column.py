"""The column of a CSV table that names the source of each row, where the table is of several sources."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tracker.data.text_cells import from_cell
from tracker.errors import InputError, did_you_mean

SOURCE_COLUMN = "source"
_OF_THE_FOLDER = ("video", "img1")  # names of a video or of images that stand in the folder of their sequence


def source_of(row: Sequence[str], header: Sequence[str]) -> str:
    """Returns the source of a row; empty if there is no such column, or the row is too short."""
    column = header.index(SOURCE_COLUMN) if SOURCE_COLUMN in header else len(row)
    return from_cell(row[column]) if column < len(row) else ""


def sequence_of(source: str) -> str:
    """Returns the name of the sequence that a source is.

    Example:
        >>> sequence_of("monday/street.mp4"), sequence_of("MOT15/PETS09-S2L1/video.mp4")
        ('street', 'PETS09-S2L1')
    """
    path = PurePosixPath(source.replace("\\", "/"))
    return path.parent.name if path.stem in _OF_THE_FOLDER and path.parent.name else path.stem


def choose_source(sources: Sequence[str], wanted: str, path: Path) -> str:
    """Returns the source whose rows are to be read.

    Args:
        sources: Those of the table.
        wanted: The one that the user named; empty for the only one.
        path: The table.

    Raises:
        InputError: It is not in the table, or there are several and none was named.

    Example:
        >>> choose_source(["a.mp4", "b.mp4"], "b.mp4", Path("all.csv"))
        'b.mp4'
    """
    if wanted and wanted not in sources:
        raise InputError(f"{path} has no source {wanted!r}{did_you_mean(wanted, list(sources))}")
    if not wanted and len(sources) > 1:
        raise InputError(f"{path} holds {len(sources)} sources: give --source with one of {', '.join(sources)}")
    return wanted or sources[0]
