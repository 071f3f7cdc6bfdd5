"""Where results go: the files that a run may write, checked before anything is computed."""

from pathlib import Path

from tracker.config import OutputConfig
from tracker.errors import InputError

DEFAULT_ROOT = Path("tracked")


def choose_places(config: OutputConfig, source_name: str, source_file: Path | None) -> tuple[list[Path], Path | None]:
    """The files that a run shall write.

    Args:
        config: Named outputs, or none for a folder tracked/NAME/.
        source_name: NAME.
        source_file: The file that is read, which is never written to.

    Returns:
        The result files, and the path of the run's record (None with named outputs). The folder exists then.

    Raises:
        InputError: A file exists already, is the source itself, or its folder cannot be made.
    """
    if not config.output:
        folder = _default_folder(source_name, config.overwrite)
        return [folder / "video.mp4", folder / "tracks.csv"], folder / "run.json"
    paths = [Path(name) for name in config.output]
    for path in paths:
        if source_file is not None and path.exists() and path.samefile(source_file):
            raise InputError(f"the output {path} is the source itself; give it another name")
        if path.is_dir():
            raise InputError(f"the output {path} is a folder; name a file such as {path / 'tracks.csv'}")
        if path.exists() and not config.overwrite:
            raise InputError(f"the output {path} exists; give --overwrite or another name")
        if not path.parent.is_dir():
            raise InputError(f"there is no folder {path.parent} for the output {path.name}")
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError("two outputs have the same name")
    return paths, None


def _default_folder(name: str, overwrite: bool) -> Path:
    folder, number = DEFAULT_ROOT / name, 1
    while not overwrite and folder.exists():
        number += 1
        folder = DEFAULT_ROOT / f"{name}-{number}"
    try:
        folder.mkdir(parents=True, exist_ok=overwrite)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder} for the results: {error.strerror}") from None
    return folder
