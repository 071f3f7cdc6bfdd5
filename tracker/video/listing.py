"""Files that a folder, a pattern or a numbered name stands for, in natural order."""

import re
from collections.abc import Iterable
from glob import iglob
from pathlib import Path

from tracker.data.image_files import natural_sort_key
from tracker.video.address import is_numbered, local_path, read_error

VIDEO_SUFFIXES = frozenset(
    f".{suffix}"
    for suffixes in (
        "mp4 m4v mov 3gp 3g2 f4v mkv webm avi divx ts m2t m2ts mts mpg mpeg mpe vob flv wmv asf ogv ogm rm rmvb mxf",
        "nut gif dv y4m ivf 264 h264 265 h265 hevc m1v m2v mjpg mjpeg av1 obu",
    )
    for suffix in suffixes.split()
)
"""Suffixes by which `list_videos` knows a video; a file that is named itself may have any."""


def list_videos(source: str | Path) -> list[Path]:
    """Returns the videos in a folder, without those of its subfolders, or those that a pattern stands for.

    Videos are known by their suffixes; hidden files are left out.

    Args:
        source: A folder, a quoted glob, or a name with the place of a number, such as part_%02d.mp4.

    Raises:
        InputError: The folder cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("b10.MP4", "b9.mkv", ".b.mp4", "notes.txt"):
        ...         Path(folder, name).touch()
        ...     [path.name for path in list_videos(folder)], [path.name for path in list_videos(f"{folder}/*.mkv")]
        (['b9.mkv', 'b10.MP4'], ['b9.mkv'])
    """
    path = local_path(source)
    try:
        videos = [file for file in _candidates(path) if file.suffix.lower() in VIDEO_SUFFIXES]
        visible = (file for file in videos if not (file.name.startswith(".") or file.is_dir()))
        return sorted(visible, key=natural_sort_key)
    except OSError as error:
        raise read_error(str(source), error) from error


def _candidates(path: Path) -> Iterable[Path]:
    if path.is_dir():
        return path.iterdir()
    return list_numbered_files(path) if is_numbered(str(path)) else map(Path, iglob(str(path), recursive=True))


def list_numbered_files(pattern: Path) -> list[Path]:
    """Returns the files whose names have a number in place of %d or %04d, in natural order.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a_0009.png", "a_0010.png", "a_7.png", "b_0001.png"):
        ...         Path(folder, name).touch()
        ...     [path.name for path in list_numbered_files(Path(folder, "a_%04d.png"))]
        ['a_0009.png', 'a_0010.png']
    """
    if not pattern.parent.is_dir():
        return []
    parts = re.split(r"%(0?[0-9]*)d", pattern.name)
    expression = "".join(f"[0-9]{{{int(part or 1)},}}" if i % 2 else re.escape(part) for i, part in enumerate(parts))
    matching = (path for path in pattern.parent.iterdir() if re.fullmatch(expression, path.name))
    return sorted(matching, key=natural_sort_key)
