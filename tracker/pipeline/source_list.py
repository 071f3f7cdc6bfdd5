"""The sources of a run over several of them: folders and patterns of videos, and the name of each one's results."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracker.data.image_files import IMAGE_SUFFIXES
from tracker.errors import InputError
from tracker.output import numbered_names
from tracker.video import list_videos, local_path, redact_password, source_kind, source_name

Uri = str | Path | int


def expand_sources(sources: Sequence[Uri]) -> list[Uri]:
    """Returns the sources, with the videos of a folder or of a quoted pattern in its place.

    A folder or a pattern of images is one source and stays what it is; a folder of both cannot be opened.

    Raises:
        InputError: Several single images are given.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("b.mkv", "a.mp4"):
        ...         Path(folder, name).touch()
        ...     [Path(source).name for source in expand_sources([folder])]
        ['a.mp4', 'b.mkv']
    """
    _check_single_images(sources)
    return [expanded for source in sources for expanded in _expand(source)]


def _expand(source: Uri) -> list[Uri]:
    try:
        kind = source_kind(source)
        videos = list_videos(str(source)) if kind in ("folder", "glob") else []
        has_images = kind == "folder" and any(map(_is_image, local_path(str(source)).iterdir()))
    except (InputError, OSError):
        return [source]  # it is told when this one source is opened
    return [*videos] if videos and not has_images else [source]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _check_single_images(sources: Sequence[Uri]) -> None:
    images = [Path(str(source)) for source in sources if _kind(source) == "image"]
    if len(images) > 1:
        pattern = images[0].with_name(f"*{images[0].suffix}")
        raise InputError(
            f"{images[0]} and {len(images) - 1} more are single images, each a source of its own: give their "
            f"folder, or a pattern in quotes, such as '{pattern}'"
        )


def _kind(source: Uri) -> str:
    try:
        return source_kind(source)
    except InputError:
        return ""


@dataclass(frozen=True)
class PlannedSource:
    """A source that is to be tracked.

    Attributes:
        source: As the user named it.
        uri: The same without passwords.
        kind: See `source_kind`; empty if it cannot be known.
        name: Name of its results, which no other source has.
        folder_name: Name of the folder of its results, which may get a number.
        error: The reason why it cannot even be named; None if it can.
    """

    source: Uri
    uri: str
    kind: str
    name: str
    folder_name: str
    error: InputError | None = None

    @property
    def is_endless(self) -> bool:
        """True for cameras, addresses and pipes, which may have no end, and so do not wait for others to end."""
        return self.kind in ("camera", "url", "pipe")

    @property
    def file(self) -> Path | None:
        """The file that is read, if it is one."""
        return local_path(str(self.source)) if self.kind == "video" else None


def plan_sources(sources: Sequence[Uri]) -> list[PlannedSource]:
    """Returns the sources with names that differ, also where the system ignores the case of names.

    Example:
        >>> [planned.name for planned in plan_sources(["a/clip.mp4", "b/clip.mp4", "c/Clip.mp4"])]
        ['clip', 'clip-2', 'Clip-3']
    """
    return list(_plan(sources))


def _plan(sources: Sequence[Uri]) -> Iterator[PlannedSource]:
    taken: set[str] = set()
    for source in sources:
        uri = redact_password(source)
        try:
            name = source_name(source)
        except InputError as error:
            yield PlannedSource(source, uri, "", "", "", error)
            continue
        unique = next(candidate for candidate in numbered_names(name) if candidate.casefold() not in taken)
        taken.add(unique.casefold())
        yield PlannedSource(source, uri, source_kind(source), unique, name)
