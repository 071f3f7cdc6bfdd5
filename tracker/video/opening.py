"""From what a user names to a source of frames."""

import re
import sys
import time
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import av
from av.container import InputContainer

from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.video.file import VideoFile
from tracker.video.images import IMAGE_SUFFIXES, ImageSequence, folder_pictures, matching_pictures
from tracker.video.live import LiveSource
from tracker.video.source import Source, check_span

SCHEMES = ("http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "udp", "tcp", "srt")

CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}
"""FFmpeg's input device and the name of camera number {}, by `sys.platform`."""


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
    source = _open_any(spec, config, threads)
    if not source.live:
        source.reopen = partial(open_source, spec, config, threads)
    return source


def _open_any(spec: str | Path | int, config: SourceConfig, threads: int) -> Source:
    text = str(spec)
    if isinstance(spec, int):
        return _camera(text, spec, config, threads)
    if match := re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text):
        return _address(text, match[1].lower(), config, threads)
    if match := re.fullmatch(r"/dev/video([0-9]+)", text):
        return _camera(text, int(match[1]), config, threads)
    try:
        return _path(text, config, threads)
    except OSError as error:
        raise InputError(f"cannot read {text}: {error.strerror or error}") from error


def _path(text: str, config: SourceConfig, threads: int) -> Source:
    path = Path(text).expanduser()
    if path.is_dir():
        return ImageSequence(folder_pictures(path), text, path.resolve().name, config)
    if path.exists():
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{text} is empty: give a video file")
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return ImageSequence([path], text, path.stem, config)
        # "file:", since FFmpeg would take what stands before a colon for a protocol.
        container = _open(f"file:{path}", text, None)
        return VideoFile(container, text, path.stem, config, path, threads)
    if re.search(r"[*?\[]", text):
        name = path.parent.name or path.stem
        return ImageSequence(matching_pictures(str(path)), text, name, config)
    if text.isdecimal():
        return _camera(text, int(text), config, threads)
    raise InputError(f"there is no file or folder {text}: check the name")


def _camera(text: str, number: int, config: SourceConfig, threads: int) -> Source:
    if number < 0 or sys.platform not in CAMERAS:
        raise InputError(f"camera {text} cannot be opened by its number here: give a file or an address")
    device, name = CAMERAS[sys.platform]
    options = {"fflags": "nobuffer"} | ({"framerate": "30"} if sys.platform == "darwin" else {})
    container = _open(name.format(number), f"camera {text}", config.timeout, device, options)
    return LiveSource(container, text, f"camera{number}", config, threads)


def _address(text: str, scheme: str, config: SourceConfig, threads: int) -> Source:
    if scheme not in SCHEMES:
        raise InputError(f"addresses of the kind {scheme}:// cannot be read; known: {', '.join(SCHEMES)}")
    try:
        address = urlsplit(text)
    except ValueError as error:
        raise InputError(f"{text} is not an address ({error}): check it") from error
    # The password is for the server only, not for logs and messages.
    shown = text.replace(f":{address.password}@", ":***@") if address.password else text
    name = address.hostname or scheme
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
