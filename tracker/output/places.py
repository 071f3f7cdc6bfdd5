"""Where results go: the files that a run may write, checked before anything is computed."""

import os
from pathlib import Path

from tracker.config import OutputConfig
from tracker.errors import InputError

DEFAULT_ROOT = Path("tracked")
SUFFIXES = (".mp4", ".mkv", ".mov", ".csv", ".txt", ".json")  # those that `open_writer` knows


def choose_places(config: OutputConfig, source_name: str, source_file: Path | None) -> tuple[list[Path], Path | None]:
    """The files that a run shall write.

    Args:
        config: Named outputs, or none for a folder tracked/NAME/.
        source_name: NAME.
        source_file: The file that is read, which is never written to.

    Returns:
        The result files, and the path of the run's record (None with named outputs). The folder exists then.

    Raises:
        InputError: A file exists already, is the source itself, has an unknown suffix, or cannot be made there.
    """
    if config.output:
        places, record = [Path(name).expanduser() for name in config.output], None
        for path in places:
            _check_name(path)
        if len({path.resolve() for path in places}) < len(places):
            raise InputError("two outputs have the same name: give each its own")
    else:
        folder = _default_folder(source_name, config.overwrite)
        places, record = [folder / "video.mp4", folder / "tracks.csv"], folder / "run.json"
    for path in places:
        _check_file(path, source_file, config.overwrite)
    return places, record


def _check_name(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"the output {path} is a folder: name a file such as {path / 'tracks.csv'}")
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"cannot tell from {path} what to write: its name must end with .mp4, .mkv or .mov (annotated video), "
            ".csv, .txt (MOTChallenge) or .json (COCO)"
        )
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} for the output {path.name}: make it first")


def _check_file(path: Path, source_file: Path | None, overwrite: bool) -> None:
    if source_file is not None and path.exists() and path.samefile(source_file):
        raise InputError(f"the output {path} is the source itself: give it another name")
    if path.exists() and not overwrite:
        raise InputError(f"the output {path} exists: give --overwrite or another name")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"there is no permission to write {path}: choose another place")


def _default_folder(name: str, overwrite: bool) -> Path:
    folder, number = DEFAULT_ROOT / name, 1
    try:
        DEFAULT_ROOT.mkdir(exist_ok=True)
        while not _made(folder) and not (overwrite and folder.is_dir()):
            number += 1
            folder = DEFAULT_ROOT / f"{name}-{number}"
    except OSError as error:
        raise InputError(f"cannot make the folder {folder} for the results: {error.strerror}") from None
    return folder


def _made(folder: Path) -> bool:
    """Whether the folder is new: asking first whether it exists would let two runs take the same one."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True
