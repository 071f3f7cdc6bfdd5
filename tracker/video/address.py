"""The meaning of a source's name: its kind, its path, its short name, and what of it may be shown."""

import os
import re
import stat
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, quote, unquote, urlsplit

from tracker.data.image_files import IMAGE_SUFFIXES
from tracker.errors import InputError, mask_url, split_url_password
from tracker.video.source import sanitize_filename

STANDARD_INPUT = ("-", "pipe:", "pipe:0")
"""Names of standard input; the last two are FFmpeg's."""

SourceKind = Literal["camera", "url", "pipe", "folder", "image", "video", "glob", "missing"]

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_FILE_URL = re.compile(r"file:(?://(?:localhost)?(?=/))?", re.IGNORECASE)
_CAMERA_PATH = re.compile(r"/dev/video([0-9]+)")
_DESCRIPTOR_PATH = re.compile(r"/dev/fd/[0-9]+|/proc/self/fd/[0-9]+")
_NUMBER = re.compile(r"%(?:0?([0-9]+))?d")


def source_kind(source: str | Path | int) -> SourceKind:
    """Returns the kind of a source. A file of that name goes before a camera of that number.

    Example:
        >>> source_kind(0), source_kind("rtsp://host/live"), source_kind("images/*.png"), source_kind("-")
        ('camera', 'url', 'glob', 'pipe')

    Raises:
        InputError: The system does not allow to look for the file.
    """
    text = str(source)
    if isinstance(source, int) or _CAMERA_PATH.fullmatch(text):
        return "camera"
    if text in STANDARD_INPUT:
        return "video" if standard_input_file() else "pipe"
    if is_url(text):
        return "url"
    path = local_path(text)
    try:
        if path.exists():
            return _kind_of_path(path)
    except OSError as error:
        raise read_error(text, error) from error
    if re.search(r"[*?\[]", text) or _NUMBER.search(path.name):
        return "glob"
    return "camera" if text.isdecimal() else "missing"


def _kind_of_path(path: Path) -> SourceKind:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISFIFO(mode):
        return "pipe"
    return "image" if path.suffix.lower() in IMAGE_SUFFIXES else "video"


def is_url(text: str) -> bool:
    """Returns True for a URL, but that of a local file."""
    return _URL.match(text) is not None and not _FILE_URL.match(text)


def local_path(source: str | Path) -> Path:
    """Returns the path of a local source: of a name, a `file:` URL, or `-` for the file that is standard input.

    Example:
        >>> local_path("file:///videos/a%20b.mp4").as_posix(), local_path("file:a.mp4").as_posix()
        ('/videos/a b.mp4', 'a.mp4')
    """
    text = str(source)
    if text in STANDARD_INPUT:
        return standard_input_file() or Path(text)
    if os.path.lexists(text):
        return Path(text)
    prefix = _FILE_URL.match(text)
    if prefix is None:
        return Path(os.path.expanduser(text))  # not Path's own, which raises for ~nobody.mp4
    raw = text[prefix.end() :]
    return Path(raw if os.path.lexists(raw) else unquote(raw))


def standard_input_file() -> Path | None:
    """Returns the path of standard input if it is a file, as after `track - < video.mp4`; None if it is a pipe."""
    path = Path("/proc/self/fd/0")
    return path if path.is_file() else None


def source_name(source: str | Path | int) -> str:
    """Returns the `name` of a source, without opening it.

    Example:
        >>> source_name("videos/street.mp4"), source_name("rtsp://host/live"), source_name(0), source_name("-")
        ('street', 'host', 'camera0', 'stdin')

    Raises:
        InputError: As `source_kind`; or the URL is invalid.
    """
    text, kind = str(source), source_kind(source)
    if text in STANDARD_INPUT:
        return "stdin"
    if kind == "camera":
        return sanitize_filename(f"camera{camera_number(text)}")
    if kind == "url":
        url = split_url(text)
        return sanitize_filename(url.hostname or url.scheme)
    path = local_path(text)
    if kind == "pipe" and _DESCRIPTOR_PATH.fullmatch(text):  # bash's <(command)
        return "pipe"
    if kind == "folder":
        return sanitize_filename(path.resolve().name)
    return sanitize_filename(path.parent.name or path.stem if kind == "glob" else path.stem)


def camera_number(text: str) -> int:
    """Returns the number of a camera that is given as a number or as /dev/videoN."""
    match = _CAMERA_PATH.fullmatch(text)
    return int(match[1] if match else text)


def split_url(text: str) -> SplitResult:
    """Returns the parts of a URL.

    Raises:
        InputError: It is not valid.
    """
    before, password, after = split_url_password(text)
    try:
        return urlsplit(before + quote(password, safe="%") + after)
    except ValueError as error:
        raise InputError(f"{redact_password(text)} is not a URL ({error}): check it") from error


def redact_password(source: str | Path | int) -> str:
    """Returns the source as text for logs and messages, with passwords in a URL replaced: before the host and after ?.

    Example:
        >>> redact_password("rtsp://user:se:cr@t/1@host/live"), redact_password("http://host/?user=me&password=secret")
        ('rtsp://user:***@host/live', 'http://host/?user=me&password=***')
    """
    text = str(source)
    if text in STANDARD_INPUT:
        return "standard input"
    return mask_url(text) if _URL.match(text) else text


def is_numbered(text: str) -> bool:
    """Returns True for a name with the place of a number, as FFmpeg takes it: img_%04d.png."""
    return _NUMBER.search(Path(text).name) is not None


def read_error(text: str, error: OSError) -> InputError:
    """Returns the error for a source that the system does not let be read."""
    return InputError(f"cannot read {text}: {error.strerror or error}")
