"""Where results go: the files that a run may write, checked before anything is computed."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import Lock

from tracker.config import OutputConfig
from tracker.errors import InputError

DEFAULT_ROOT = Path("tracked")
DEFAULT_NAMES = ("video.mp4", "tracks.csv")
SUFFIXES = (".mp4", ".mkv", ".mov", ".csv", ".txt", ".json")  # those that `open_writer` knows
VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov")
_NOTHING: Mapping[str, str] = {}
_ONE_BY_ONE = Lock()  # else one run could take away the root from under the folder that another one makes


def resolve_outputs(
    config: OutputConfig, folder: Path | None, source_files: Sequence[Path], refused: Mapping[str, str] = _NOTHING
) -> tuple[list[Path], Path | None]:
    """The files that a run shall write, beside the detections that `config.detections` asks for.

    Args:
        config: Named outputs, or none.
        folder: Where the results go if none are named, as `results_folder` gives it.
        source_files: The files that are read, which are never written to.
        refused: By suffix, why such a file cannot be written here. The folder then goes without it.

    Returns:
        The result files, and the path of the run's record (None with named outputs).

    Raises:
        InputError: A file exists already, is the source itself, has an unknown suffix, or cannot be made there.
    """
    stored = [Path(config.detections).expanduser()] if config.detections else []
    named = [Path(name).expanduser() for name in config.output]
    for path in stored:
        _check_name(path, {suffix: "detections are stored as .csv" for suffix in SUFFIXES if suffix != ".csv"})
    for path in named:
        _check_name(path, refused)
    if len({path.resolve() for path in named + stored}) < len(named + stored):
        raise InputError("two outputs have the same name: give each its own")
    for path in named + stored:
        _check_file(path, source_files, config.overwrite)
    if folder is None:
        return named, None
    places = [folder / name for name in DEFAULT_NAMES if Path(name).suffix not in refused]
    for path in places:
        _check_file(path, source_files, config.overwrite)
    return places, folder / "run.json"


def _check_name(path: Path, refused: Mapping[str, str]) -> None:
    if path.is_dir():
        raise InputError(f"the output {path} is a folder: name a file such as {path / 'tracks.csv'}")
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"cannot tell from {path} what to write: its name must end with .mp4, .mkv or .mov (annotated video), "
            ".csv, .txt (MOTChallenge) or .json (COCO)"
        )
    if path.suffix.lower() in refused:
        raise InputError(f"cannot write {path}: {refused[path.suffix.lower()]}")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} for the output {path.name}: make it first")


def _check_file(path: Path, source_files: Sequence[Path], overwrite: bool) -> None:
    if path.exists() and any(source.exists() and path.samefile(source) for source in source_files):
        raise InputError(f"the output {path} is the source itself: give it another name")
    if path.exists() and not overwrite:
        raise InputError(f"the output {path} exists: give --overwrite or another name")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"there is no permission to write {path}: choose another place")


def results_folder(config: OutputConfig, name: str, taken: Collection[Path] = ()) -> Path | None:
    """Makes the folder tracked/NAME/ for the results of a source, or tracked/NAME-2/ and so on; none if they are named.

    Args:
        config: Whether outputs are named, and whether a folder that is there may be used.
        name: NAME.
        taken: Folders that may not be used anyway.

    Raises:
        InputError: It cannot be made.
    """
    if config.output:
        return None
    folders = map(DEFAULT_ROOT.joinpath, numbered(name))
    with _ONE_BY_ONE:
        try:
            DEFAULT_ROOT.mkdir(exist_ok=True)
            return next(folder for folder in folders if folder not in taken and _is_free(folder, config.overwrite))
        except OSError as error:
            place = DEFAULT_ROOT / name
            raise InputError(f"cannot make the folder {place} for the results: {error.strerror}") from None


def numbered(name: str) -> Iterator[str]:
    """The names NAME, NAME-2, NAME-3 and so on."""
    yield name
    yield from (f"{name}-{number}" for number in count(2))


def remove_if_empty(folder: Path | None) -> None:
    """Removes what `results_folder` made if nothing was written there."""
    if folder is not None:
        for path in (folder, folder.parent):
            with _ONE_BY_ONE, suppress(OSError):  # it holds something, or is gone
                path.rmdir()


def _is_free(folder: Path, overwrite: bool) -> bool:
    """Whether the folder is new: asking first whether it exists would let two runs take the same one."""
    try:
        folder.mkdir()
    except FileExistsError:
        return overwrite and folder.is_dir()
    return True
