"""From what a user names to a source of frames."""

import re
import sys
import time
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

import av
from av.container import InputContainer

from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.video.file import VideoFile
from tracker.video.images import IMAGE_SUFFIXES, ImageSequence, folder_pictures, matching_pictures
from tracker.video.live import LiveSource
from tracker.video.source import Source, check_span, plain_name

SCHEMES = ("http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "udp", "tcp", "srt")

CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}
"""FFmpeg's input device and the name of camera number {}, by `sys.platform`."""


Kind = Literal["camera", "address", "folder", "picture", "video", "pattern", "nothing"]

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_DEVICE = re.compile(r"/dev/video([0-9]+)")


def kind_of(spec: str | Path | int) -> Kind:
    """What a user names. What exists on disk goes before a camera of that number.

    Raises:
        InputError: The system does not let us look.
    """
    text = str(spec)
    if isinstance(spec, int) or _DEVICE.fullmatch(text):
        return "camera"
    if _ADDRESS.match(text):
        return "address"
    path = Path(text).expanduser()
    try:
        if path.is_dir():
            return "folder"
        if path.exists():
            return "picture" if path.suffix.lower() in IMAGE_SUFFIXES else "video"
    except OSError as error:
        raise _unreadable(text, error) from error
    if re.search(r"[*?\[]", text):
        return "pattern"
    return "camera" if text.isdecimal() else "nothing"


def name_of(spec: str | Path | int) -> str:
    """The `name` of a source, known before it is opened.

    Raises:
        InputError: As `kind_of`; or an address is none.
    """
    text, kind = str(spec), kind_of(spec)
    path = Path(text).expanduser()
    if kind == "camera":
        return plain_name(f"camera{_camera_number(text)}")
    if kind == "address":
        address = _split(text)
        return plain_name(address.hostname or address.scheme)
    if kind == "folder":
        return plain_name(path.resolve().name)
    return plain_name(path.parent.name or path.stem if kind == "pattern" else path.stem)


def without_password(spec: str | Path | int) -> str:
    """What a user named, without the password, which is for the server only, not for logs and messages."""
    text = str(spec)
    password = _split(text).password if _ADDRESS.match(text) else None
    return text.replace(f":{password}@", ":***@") if password else text


def open_source(spec: str | Path | int, config: SourceConfig, threads: int = 0) -> Source:
    """Opens a video and looks at its first frame.

    Args:
        spec: A video file; a folder, glob or file of pictures; an address (http, https, rtsp, rtmp, udp ...); a
            camera by number or as /dev/videoN. What exists on disk goes before a camera of that number.
        config: What to read of it.
        threads: CPU threads for the conversion to RGB, 0 for all cores. Frames do not depend on it.

    Returns:
        A source to iterate over once and to close.

    Raises:
        InputError: It cannot be read, or there is no video in it.
    """
    check_span(config)
    source = _open_any(str(spec), kind_of(spec), config, threads)
    if not source.live:
        source.reopen = partial(open_source, spec, config, threads)
    return source


def _open_any(text: str, kind: Kind, config: SourceConfig, threads: int) -> Source:
    if kind == "address":
        return _address(text, config, threads)
    if kind == "camera":
        return _camera(text, config, threads)
    try:
        return _path(text, kind, config, threads)
    except OSError as error:
        raise _unreadable(text, error) from error


def _unreadable(text: str, error: OSError) -> InputError:
    return InputError(f"cannot read {text}: {error.strerror or error}")


def _path(text: str, kind: Kind, config: SourceConfig, threads: int) -> Source:
    path = Path(text).expanduser()
    if kind == "nothing":
        raise InputError(f"there is no file or folder {text}: check the name")
    if kind == "folder":
        return ImageSequence(folder_pictures(path), text, name_of(text), config)
    if kind == "pattern":
        return ImageSequence(matching_pictures(str(path)), text, name_of(text), config)
    with path.open("rb") as file:
        if not file.read(1):
            raise InputError(f"{text} is empty: give a video file")
    if kind == "picture":
        return ImageSequence([path], text, name_of(text), config)
    # "file:", since FFmpeg would take what stands before a colon for a protocol.
    return VideoFile(_open(f"file:{path}", text, None), text, name_of(text), config, path, threads)


def _camera_number(text: str) -> int:
    match = _DEVICE.fullmatch(text)
    return int(match[1] if match else text)


def _camera(text: str, config: SourceConfig, threads: int) -> Source:
    number = _camera_number(text)
    if number < 0 or sys.platform not in CAMERAS:
        raise InputError(f"camera {text} cannot be opened by its number here: give a file or an address")
    device, name = CAMERAS[sys.platform]
    options = {"fflags": "nobuffer"} | ({"framerate": "30"} if sys.platform == "darwin" else {})
    container = _open(name.format(number), f"camera {text}", config.timeout, device, options)
    return LiveSource(container, text, name_of(text), config, threads)


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError as error:
        raise InputError(f"{text} is not an address ({error}): check it") from error


def _address(text: str, config: SourceConfig, threads: int) -> Source:
    scheme = _split(text).scheme
    if scheme not in SCHEMES:
        raise InputError(f"addresses of the kind {scheme}:// cannot be read; known: {', '.join(SCHEMES)}")
    shown, name = without_password(text), name_of(text)
    files = scheme.startswith("http")
    options = {} if files else {"rtsp_flags": "prefer_tcp", "fflags": "nobuffer"}
    container = _open(text, shown, config.timeout, options=options)
    if files and container.duration is not None:
        return VideoFile(container, shown, name, config, None, threads)
    return LiveSource(container, shown, name, config, threads)


def _open(
    target: str,
    shown: str,
    timeout: float | None,
    device: str | None = None,
    options: dict[str, str] | None = None,
) -> InputContainer:
    begin = time.monotonic()
    try:
        return av.open(target, "r", format=device, options=options, timeout=timeout, metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        # The clock decides, since not every protocol says that it was interrupted.
        if timeout is not None and time.monotonic() - begin >= timeout:
            raise InputError(f"{shown} did not answer within {timeout:g} s: check that it can be reached") from error
        if isinstance(error, av.error.InvalidDataError | EOFError):
            raise InputError(
                f"{shown} is not a video that can be read: it is damaged, incomplete or something else"
            ) from error
        raise InputError(f"cannot open {shown}: {error.strerror or error}") from error
