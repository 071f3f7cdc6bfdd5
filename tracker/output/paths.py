"""The paths of the files that a run writes, checked before anything is computed."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import Lock

from tracker.config import OutputConfig
from tracker.data.files import is_special, sync
from tracker.errors import InputError
from tracker.parsing import read_json

DEFAULT_ROOT = Path("tracked")
DEFAULT_NAMES = ("video.mp4", "tracks.csv", "tracks.parquet", "tracks_summary.parquet", "summary.csv")
VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov")
_STREAMED = (".csv", ".txt")  # written row by row, once
SUFFIXES = (*VIDEO_SUFFIXES, *_STREAMED, ".json", ".parquet")  # those that `open_writer` knows
_ALL_SUPPORTED: Mapping[str, str] = {}
_FOLDER_LOCK = Lock()  # one run could otherwise remove the root while another one creates a folder in it


def resolve_outputs(
    config: OutputConfig,
    folder: Path | None,
    source_files: Sequence[Path],
    unsupported: Mapping[str, str] = _ALL_SUPPORTED,
) -> tuple[list[Path], Path | None]:
    """Returns the paths of the files that a run will write, without the detections of `config.detections`.

    Args:
        config: Named outputs, or none.
        folder: Folder of the results if no outputs are named, as `make_results_folder` returns it.
        source_files: The files that are read, which are never overwritten.
        unsupported: Reason why a file cannot be written, by its suffix. The default files of that suffix are left out.

    Returns:
        The result files, and the path of the run's record (None with named outputs).

    Example:
        >>> paths, record = resolve_outputs(OutputConfig(output=("tracks.csv",), overwrite=True), None, [])
        >>> [path.name for path in paths], record
        (['tracks.csv'], None)

    Raises:
        InputError: A file exists already, is the source itself, has an unknown suffix, or cannot be created there.
    """
    detection_paths = [Path(config.detections).expanduser()] if config.detections else []
    output_paths = [Path(name).expanduser() for name in config.output]
    combined_paths = [Path(config.all_tracks).expanduser()] if config.all_tracks else []
    for path in detection_paths:
        _check_name(path, {suffix: "detections are stored as .csv" for suffix in SUFFIXES if suffix != ".csv"})
    for path in output_paths:
        _check_name(path, unsupported)
    named = output_paths + detection_paths + combined_paths
    if len({path.resolve() for path in named}) < len(named):
        raise InputError("two outputs have the same name: give each its own")
    defaults = [folder / name for name in DEFAULT_NAMES if Path(name).suffix not in unsupported] if folder else []
    for path in output_paths + detection_paths + defaults:
        _check_file(path, source_files, config.overwrite)
    return (defaults, folder / "run.json") if folder else (output_paths, None)


def combined_table_path(config: OutputConfig, source_files: Sequence[Path]) -> Path | None:
    """Returns the path of the table of all sources' tracks; None if none is asked for.

    Raises:
        InputError: As `resolve_outputs`.

    Example:
        >>> combined_table_path(OutputConfig(all_tracks="all.csv", overwrite=True), []).name
        'all.csv'
    """
    if not config.all_tracks:
        return None
    path = Path(config.all_tracks).expanduser()
    _check_name(path, {suffix: "the table of all tracks is a .csv" for suffix in SUFFIXES if suffix != ".csv"})
    _check_file(path, source_files, config.overwrite)
    return path


def _check_name(path: Path, unsupported: Mapping[str, str]) -> None:
    if path.is_dir():
        raise InputError(f"the output {path} is a folder: name a file such as {path / 'tracks.csv'}")
    if path.suffix.lower() not in SUFFIXES:
        raise suffix_error(path)
    if path.suffix.lower() in unsupported:
        raise InputError(f"cannot write {path}: {unsupported[path.suffix.lower()]}")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} for the output {path.name}: make it first")


def suffix_error(path: Path) -> InputError:
    """Returns the error for an output file of an unknown format."""
    return InputError(
        f"cannot tell from {path} what to write: its name must end with .mp4, .mkv or .mov (annotated video), "
        ".csv, .parquet, .txt (MOTChallenge) or .json (COCO)"
    )


def _check_file(path: Path, source_files: Sequence[Path], overwrite: bool) -> None:
    if path.exists() and any(source.exists() and path.samefile(source) for source in source_files):
        raise InputError(f"the output {path} is the source itself: give it another name")
    if is_special(path) and path.suffix.lower() not in _STREAMED:
        raise InputError(f"the output {path} is a device or a pipe, into which only .csv and .txt can be written")
    if os.path.lexists(path) and not overwrite:
        raise InputError(f"the output {path} exists: give --overwrite or another name")
    # Files are created beside the one that they replace.
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise InputError(f"there is no permission to write {path}: choose another folder")


def make_results_folder(config: OutputConfig, name: str, reserved: Collection[Path] = (), uri: str = "") -> Path | None:
    """Creates the folder tracked/NAME/, or tracked/NAME-2/ and so on, unless outputs are named (None is returned).

    With segments, the folder of an earlier run over the same source is used again.

    Args:
        config: Named outputs, and whether an existing folder may be used.
        name: NAME.
        reserved: Folders that may not be used in any case.
        uri: The source, as the record of a run names it; empty for none that is run again.

    Example:
        >>> import contextlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        ...     [make_results_folder(OutputConfig(), "clip").name for _ in range(2)]
        ['clip', 'clip-2']

    Raises:
        InputError: It cannot be created.
    """
    if config.output:
        return None
    folders = map(DEFAULT_ROOT.joinpath, numbered_names(name))
    with _FOLDER_LOCK:
        try:
            DEFAULT_ROOT.mkdir(exist_ok=True)
            chosen = next(folder for folder in folders if folder not in reserved and _claim(folder, config, uri))
            sync(DEFAULT_ROOT)
            return chosen
        except OSError as error:
            folder = DEFAULT_ROOT / name
            raise InputError(f"cannot make the folder {folder} for the results: {error.strerror}") from None


def numbered_names(name: str) -> Iterator[str]:
    """Yields NAME, NAME-2, NAME-3 and so on.

    Example:
        >>> names = numbered_names("clip")
        >>> next(names), next(names)
        ('clip', 'clip-2')
    """
    yield name
    yield from (f"{name}-{number}" for number in count(2))


def remove_empty_folder(folder: Path | None) -> None:
    """Removes a folder of `make_results_folder`, and its parent, if nothing was written there.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp(), "clip")
        >>> folder.mkdir()
        >>> remove_empty_folder(folder)
        >>> folder.parent.exists()
        False
    """
    if folder is not None:
        for path in (folder, folder.parent):
            with _FOLDER_LOCK, suppress(OSError):  # it is not empty, or gone
                path.rmdir()


def _claim(folder: Path, config: OutputConfig, uri: str) -> bool:
    """Creates a folder and returns True if it may be used. A test before it would let two runs use the same one."""
    try:
        folder.mkdir()
    except FileExistsError:
        if config.segment:
            return _has_segments_of(folder, uri)
        return config.overwrite and folder.is_dir()
    return True


def _has_segments_of(folder: Path, uri: str) -> bool:
    """Checks whether a folder is that of a run over a source, written in segments."""
    try:
        record = read_json(folder / "run.json", "the record of a run")
        return bool(record["source"]["name"] == uri and record["config"]["output"]["segment"])
    except (InputError, KeyError, TypeError):
        return False
