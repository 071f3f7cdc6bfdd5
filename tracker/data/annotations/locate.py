"""Finds the images that annotations name, wherever they are now."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from tracker.data.image_files import IMAGE_SUFFIXES

MOST_ENTRIES = 1_000_000
"""Files and folders after which a search by name ends: more are not those of one set of images."""
UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""Prefix that Label Studio gives the name of an uploaded file."""
_DRIVE = re.compile(r"^[A-Za-z]:(?=[\\/])")


class Located(NamedTuple):
    """A file, which may not exist, and why it cannot be used if that is known."""

    path: Path
    problem: str = ""


class ImageLocator:
    r"""Finds images by the paths that annotations state: as stated, and else by name in some folders.

    A stated path may be one of Windows or of another computer, percent-encoded, or an address of Label Studio. An image
    that is not where it is said to be is looked for in the folders: by its name in any case, then by its name with
    another suffix. Of several, the one counts whose folders agree best with the stated ones.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "images").mkdir()
        ...     Path(folder, "images", "1.JPG").touch()
        ...     locator = ImageLocator([Path(folder)])
        ...     locator.find(["C:\\pets\\1.jpg"], []).path.relative_to(folder).as_posix()
        'images/1.JPG'
    """

    def __init__(self, roots: Sequence[Path], preferred: Path | None = None) -> None:
        """Takes the folders in which to search by name, and one that counts before all others."""
        self._roots = [preferred] if preferred else list(roots)
        self._preferred = preferred
        self._index: _NameIndex | None = None
        self._found_by_name: list[tuple[str, Path]] = []

    def find(self, names: Sequence[str], folders: Sequence[Path]) -> Located:
        """Returns the file of an image.

        Args:
            names: Its path as stated, and other names that it may have; the first is the one that messages name.
            folders: Folders that the path may be relative to; the first is the one that messages name.
        """
        folders = [*([self._preferred] if self._preferred else []), *folders]
        variants = [parts for name in names for parts in _variants(name)]
        for parts in variants:
            for folder in folders or [Path()]:
                path = folder.joinpath(*parts)
                if os.path.isfile(path):  # not is_file(), which raises for names that are too long
                    return Located(path)
        if self._index is None:
            self._index = _NameIndex(self._roots)
        for parts in variants:
            found = self._index.find(parts)
            if len(found) == 1:
                lacks_suffix = Path(parts[-1]).suffix.lower() not in IMAGE_SUFFIXES
                if not (lacks_suffix and found[0].parent in folders):
                    self._found_by_name.append((names[0], found[0]))
                return Located(found[0])
            if found:
                files = ", ".join(map(str, found[:3])) + (", ..." if len(found) > 3 else "")
                problem = f"{len(found)} files may be the image {names[0]} ({files}): rename them, or give --images"
                return Located(found[0], problem)
        parts = variants[0] if variants else ("",)
        return Located((folders or [Path()])[0].joinpath(*parts))

    def images(self) -> list[Path]:
        """Lists all images in the folders, by path."""
        if self._index is None:
            self._index = _NameIndex(self._roots)
        return sorted(self._index.files)

    def notes(self) -> list[str]:
        """Returns a sentence about the images that were found by name, if there are any."""
        if not self._found_by_name:
            return []
        stated, path = self._found_by_name[0]
        return [
            f"{len(self._found_by_name)} images are not where the annotations say, and were found by name: "
            f"{stated} is {path}"
        ]


def path_parts(stated: str) -> tuple[str, ...]:
    r"""Splits a stated path into names, whatever system it is from; its root and drive are left out.

    Example:
        >>> path_parts("C:\\data\\..\\a.jpg"), path_parts("../train/images")
        (('data', '..', 'a.jpg'), ('..', 'train', 'images'))
    """
    text = _DRIVE.sub("", stated)
    text = text.replace("\\", "/") if "/" not in text or _DRIVE.match(stated) else text
    return tuple(part for part in PurePosixPath(text).parts if part.strip("/"))


def _variants(stated: str) -> Iterator[tuple[str, ...]]:
    """Yields the paths that a stated one may mean, the most literal one first."""
    texts = [stated]
    if "://" in stated or "?" in stated or stated.startswith("/data/"):
        texts += _address_paths(stated)
    if "%" in stated:
        texts.append(unquote(stated))
    if "\\" in stated:
        texts += [text.replace("\\", "/") for text in texts]
    seen = set()
    for text in texts:
        literal = tuple(part for part in PurePosixPath(text).parts) if text.startswith("/") else ()
        for parts in (literal, path_parts(text)):
            if parts and parts not in seen:
                seen.add(parts)
                yield parts
                stripped = UPLOAD_PREFIX.sub("", parts[-1])
                if stripped != parts[-1]:
                    yield (*parts[:-1], stripped)


def _address_paths(address: str) -> list[str]:
    """Returns the path in an address: that of its query d=, as Label Studio writes it, or of the address itself."""
    try:
        split = urlsplit(address)
        stated = parse_qs(split.query).get("d", [])
        return [*stated, unquote(split.path)]
    except ValueError:
        return []


class _NameIndex:
    """The images in some folders, by their names in any case."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.files = list(dict.fromkeys(path for root in roots for path in _walk(root)))
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        self._by_uploaded_name: dict[str, list[Path]] = defaultdict(list)
        for path in self.files:
            self._by_name[_key(path.name)].append(path)
            self._by_stem[_key(path.stem)].append(path)
            if (name := UPLOAD_PREFIX.sub("", path.name)) != path.name:
                self._by_uploaded_name[_key(name)].append(path)

    def find(self, parts: tuple[str, ...]) -> list[Path]:
        """Returns the files that a path may mean: one, none, or several that are equally likely."""
        name = parts[-1]
        stem = name if Path(name).suffix.lower() not in IMAGE_SUFFIXES else Path(name).stem
        for table, key in (
            (self._by_name, name),
            (self._by_stem, stem),
            (self._by_uploaded_name, name),
        ):
            if candidates := table.get(_key(key), []):
                ranks = [(_common_end(path.parts[:-1], parts[:-1]), path.name == name) for path in candidates]
                return [path for path, rank in zip(candidates, ranks, strict=True) if rank == max(ranks)]
        return []


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()  # macOS writes an accent as a character of its own


def _common_end(a: Sequence[str], b: Sequence[str]) -> int:
    count = 0
    for x, y in zip(reversed(a), reversed(b), strict=False):
        if _key(x) != _key(y):
            break
        count += 1
    return count


def _walk(root: Path) -> Iterator[Path]:
    """Yields the images below a folder, also behind links, but not the hidden ones."""
    visited: set[tuple[int, int]] = set()
    entries = 0
    for folder, folders, files in os.walk(root, followlinks=True):
        try:
            status = os.stat(folder)
        except OSError:  # it was removed just now
            continue
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        entries += len(folders) + len(files)
        if entries > MOST_ENTRIES:
            return
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(folder, name)
