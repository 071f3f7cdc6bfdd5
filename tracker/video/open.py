"""Opens the source that a path, glob, URL or camera number names."""

import re
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

import av
from av.container import InputContainer

from tracker.config import SourceConfig
from tracker.data.image_files import IMAGE_SUFFIXES
from tracker.errors import InputError
from tracker.video.file import VideoFile
from tracker.video.images import ImageSequence, list_folder_images, list_matching_images
from tracker.video.live import LiveSource
from tracker.video.source import Source, check_time_range, sanitize_filename

URL_SCHEMES = ("http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "udp", "tcp", "srt")
CAMERA_DEVICES = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}
"""FFmpeg's input device and the name of camera number {}, by `sys.platform`."""

SourceKind = Literal["camera", "url", "folder", "image", "video", "glob", "missing"]

# PyAV refuses metadata that is not UTF-8 before version 19, which has no such option and reads it.
_METADATA: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_CAMERA_PATH = re.compile(r"/dev/video([0-9]+)")


def source_kind(source: str | Path | int) -> SourceKind:
    """Returns the kind of a source. A file of that name goes before a camera of that number.

    Example:
        >>> source_kind(0), source_kind("rtsp://host/live"), source_kind("images/*.png")
        ('camera', 'url', 'glob')

    Raises:
        InputError: The system does not allow to look for the file.
    """
    text = str(source)
    if isinstance(source, int) or _CAMERA_PATH.fullmatch(text):
        return "camera"
    if _URL.match(text):
        return "url"
    path = Path(text).expanduser()
    try:
        if path.is_dir():
            return "folder"
        if path.exists():
            return "image" if path.suffix.lower() in IMAGE_SUFFIXES else "video"
    except OSError as error:
        raise _read_error(text, error) from error
    if re.search(r"[*?\[]", text):
        return "glob"
    return "camera" if text.isdecimal() else "missing"


def source_name(source: str | Path | int) -> str:
    """Returns the `name` of a source, without opening it.

    Example:
        >>> source_name("videos/street.mp4"), source_name("rtsp://host/live"), source_name(0)
        ('street', 'host', 'camera0')

    Raises:
        InputError: As `source_kind`; or the URL is invalid.
    """
    text, kind = str(source), source_kind(source)
    path = Path(text).expanduser()
    if kind == "camera":
        return sanitize_filename(f"camera{_camera_number(text)}")
    if kind == "url":
        url = _split_url(text)
        return sanitize_filename(url.hostname or url.scheme)
    if kind == "folder":
        return sanitize_filename(path.resolve().name)
    return sanitize_filename(path.parent.name or path.stem if kind == "glob" else path.stem)


def redact_password(source: str | Path | int) -> str:
    """Returns the source as text for logs and messages, with the password of a URL replaced.

    Example:
        >>> redact_password("rtsp://user:secret@host/live")
        'rtsp://user:***@host/live'
    """
    text = str(source)
    password = _split_url(text).password if _URL.match(text) else None
    return text.replace(f":{password}@", ":***@") if password else text


def open_source(source: str | Path | int, config: SourceConfig, threads: int = 0) -> Source:
    """Opens a video and decodes its first frame.

    Args:
        source: A video file; a folder, glob or file of images; a URL (http, https, rtsp, rtmp, udp ...); a camera by
            number or as /dev/videoN. A file of that name goes before a camera of that number.
        config: The part of it to read.
        threads: CPU threads for the conversion to RGB, 0 for all cores. Frames do not depend on it.

    Returns:
        A source to iterate over once and to close.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for number in range(3):
        ...         av.VideoFrame(64, 48, "rgb24").save(f"{folder}/{number}.png")
        ...     with open_source(folder, SourceConfig(fps=10)) as images:
        ...         [(frame.index, frame.time, frame.image.shape) for frame in images]
        [(0, 0.0, (48, 64, 3)), (1, 0.1, (48, 64, 3)), (2, 0.2, (48, 64, 3))]

    Raises:
        InputError: It cannot be read, or there is no video in it.
    """
    check_time_range(config)
    opened = _open_any(str(source), source_kind(source), config, threads)
    if not opened.live:
        opened.opener = partial(open_source, source, config, threads)
    return opened


def _open_any(text: str, kind: SourceKind, config: SourceConfig, threads: int) -> Source:
    if kind == "url":
        return _open_url(text, config, threads)
    if kind == "camera":
        return _open_camera(text, config, threads)
    try:
        return _open_path(text, kind, config, threads)
    except OSError as error:
        raise _read_error(text, error) from error


def _read_error(text: str, error: OSError) -> InputError:
    return InputError(f"cannot read {text}: {error.strerror or error}")


def _open_path(text: str, kind: SourceKind, config: SourceConfig, threads: int) -> Source:
    path = Path(text).expanduser()
    if kind == "missing":
        raise InputError(f"there is no file or folder {text}: check the name")
    if kind == "folder":
        return ImageSequence(list_folder_images(path), text, source_name(text), config)
    if kind == "glob":
        return ImageSequence(list_matching_images(str(path)), text, source_name(text), config)
    with path.open("rb") as file:
        if not file.read(1):
            raise InputError(f"{text} is empty: give a video file")
    if kind == "image":
        return ImageSequence([path], text, source_name(text), config)
    # "file:", since FFmpeg would take what stands before a colon for a protocol.
    return VideoFile(_open_container(f"file:{path}", text, None), text, source_name(text), config, path, threads)


def _camera_number(text: str) -> int:
    match = _CAMERA_PATH.fullmatch(text)
    return int(match[1] if match else text)


def _open_camera(text: str, config: SourceConfig, threads: int) -> Source:
    number = _camera_number(text)
    if number < 0 or sys.platform not in CAMERA_DEVICES:
        raise InputError(f"camera {text} cannot be opened by its number here: give a file or a URL")
    device, name = CAMERA_DEVICES[sys.platform]
    options = {"fflags": "nobuffer"} | ({"framerate": "30"} if sys.platform == "darwin" else {})
    container = _open_container(name.format(number), f"camera {text}", config.timeout, device, options)
    return LiveSource(container, text, source_name(text), config, threads)


def _split_url(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError as error:
        raise InputError(f"{text} is not a URL ({error}): check it") from error


def _open_url(text: str, config: SourceConfig, threads: int) -> Source:
    scheme = _split_url(text).scheme
    if scheme not in URL_SCHEMES:
        raise InputError(f"URLs that begin with {scheme}:// cannot be read; known: {', '.join(URL_SCHEMES)}")
    uri, name = redact_password(text), source_name(text)
    is_http = scheme.startswith("http")
    options = {} if is_http else {"rtsp_flags": "prefer_tcp", "fflags": "nobuffer"}
    container = _open_container(text, uri, config.timeout, options=options)
    if is_http and container.duration is not None:
        return VideoFile(container, uri, name, config, None, threads)
    return LiveSource(container, uri, name, config, threads)


def _open_container(
    target: str, uri: str, timeout: float | None, device: str | None = None, options: dict[str, str] | None = None
) -> InputContainer:
    start = time.monotonic()
    try:
        container: InputContainer = av.open(target, "r", format=device, options=options, timeout=timeout, **_METADATA)
        return container
    except (av.FFmpegError, OSError) as error:
        # By the clock, since not every protocol's error says that it was interrupted.
        if timeout is not None and time.monotonic() - start >= timeout:
            raise InputError(f"{uri} did not answer within {timeout:g} s: check that it can be reached") from error
        if isinstance(error, av.error.InvalidDataError | EOFError):
            reason = "it is corrupt, incomplete or something else"
            raise InputError(f"{uri} is not a video that can be read: {reason}") from error
        raise InputError(f"cannot open {uri}: {error.strerror or error}") from error
