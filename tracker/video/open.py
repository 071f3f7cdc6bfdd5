"""Opens the source that a path, glob, URL, pipe or camera number names."""

import os
import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from tracker.config import SourceConfig
from tracker.data.image_files import IMAGE_SUFFIXES
from tracker.errors import InputError
from tracker.video.address import (
    STANDARD_INPUT,
    SourceKind,
    camera_number,
    is_numbered,
    local_path,
    read_error,
    redact_password,
    source_kind,
    source_name,
    split_url,
)
from tracker.video.connection import PLAYLISTS
from tracker.video.credentials import insert_credentials
from tracker.video.download import download
from tracker.video.file import VideoFile
from tracker.video.given_frames import GivenFrame, GivenFrames
from tracker.video.images import ImageSequence, list_folder_images, list_matching_images
from tracker.video.listing import list_numbered_files, list_videos
from tracker.video.live import LiveSource
from tracker.video.recording import Readable, Recording, RecordingReader, open_pipe
from tracker.video.source import Source, check_time_range

URL_SCHEMES = ("http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "udp", "tcp", "srt")
CAMERA_DEVICES = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}
"""FFmpeg's input device and the name of camera number {}, by `sys.platform`."""

# PyAV refuses metadata that is not UTF-8 before version 19, which has no such option and reads it.
_METADATA: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
_PLAYLIST_PATIENCE = 3  # times the timeout, since some seconds of video come at once
_FRAGMENT = b"mvex"  # box of an MP4 whose index is not in one place. Source: ISO/IEC 14496-12, 8.8.1
_HEAD = 2**20  # bytes at the beginning of a pipe in which that box is looked for


def open_source(
    source: str | Path | int | Iterable[GivenFrame], config: SourceConfig, threads: int = 0, quiet: bool = False
) -> Source:
    """Opens a video and decodes its first frame.

    Args:
        source: A video file; a folder, glob or file of images; a URL (http, https, rtsp, rtmp, udp ...); a pipe, also
            as `-` for standard input; a camera by number or as /dev/videoN; an iterable of pictures or of pairs
            (seconds, picture), see `GivenFrames`. A file of that name goes before a camera of that number.
        config: The part of it to read.
        threads: CPU threads for the conversion to RGB, 0 for all cores. Frames do not depend on it.
        quiet: True for a file that was read before, about which nothing is logged again.

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
    if not isinstance(source, str | Path | int):
        return GivenFrames(source, config)
    kind = source_kind(source)
    if kind == "pipe":
        return _open_pipe(str(source), config, threads)
    return _open_again(source, kind, config, threads, quiet)


def _open_again(source: str | Path | int, kind: SourceKind, config: SourceConfig, threads: int, quiet: bool) -> Source:
    text = str(source)
    if kind == "url":
        opened = _open_url(text, config, threads, quiet)
    elif kind == "camera":
        opened = _open_camera(text, config, threads)
    else:
        try:
            opened = _open_path(text, kind, config, threads, quiet)
        except OSError as error:
            raise read_error(text, error) from error
    if not opened.live:
        opened.opener = partial(_open_again, source, kind, config, threads, quiet=True)
    return opened


def _open_path(text: str, kind: SourceKind, config: SourceConfig, threads: int, quiet: bool) -> Source:
    path = local_path(text)
    if kind == "missing":
        raise InputError(f"there is no file or folder {text}: check the name")
    if kind == "folder":
        _check_no_videos(path)
        return ImageSequence(list_folder_images(path), text, source_name(text), config, quiet)
    if kind == "glob":
        return ImageSequence(_list_images(text), text, source_name(text), config, quiet)
    with path.open("rb") as file:
        if not file.read(1):
            raise InputError(f"{text} is empty: give a video file")
    if kind == "image":
        return ImageSequence([path], text, source_name(text), config, quiet)
    # "file:", since FFmpeg would take what stands before a colon for a protocol.
    uri = redact_password(text)
    open_container = partial(_open_container, f"file:{path}", uri, None)
    opened = VideoFile(open_container(), uri, source_name(text), config, threads, path, quiet=quiet)
    opened.media_opener = open_container
    return opened


def _check_no_videos(folder: Path) -> None:
    videos = list_videos(folder)
    if not videos:
        return
    if images := [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]:
        raise InputError(
            f"the folder {folder} holds both images and videos: name the videos, or give a pattern of the images in "
            f"quotes, such as '{folder / '*'}{images[0].suffix}'"
        )
    raise InputError(f"the folder {folder} holds {len(videos)} videos, which are sources of their own: name one")


def _list_images(pattern: str) -> list[Path]:
    path = local_path(pattern)
    matching = list_numbered_files(path) if is_numbered(pattern) else []
    if videos := list_videos(pattern):
        raise InputError(f"{pattern} stands for {len(videos)} videos, which are sources of their own: name one")
    return matching or list_matching_images(str(path))


def _open_pipe(text: str, config: SourceConfig, threads: int) -> Source:
    try:
        if text in STANDARD_INPUT and os.isatty(0):
            raise InputError("standard input is the keyboard: pipe a video into it, or give a file")
        stream = open_pipe(0 if text in STANDARD_INPUT else str(local_path(text)))
    except OSError as error:
        raise read_error(text, error) from error
    return _open_stream(stream, redact_password(text), source_name(text), config, threads)


def _open_stream(stream: Readable, uri: str, name: str, config: SourceConfig, threads: int) -> Source:
    """Opens a video that can be read forward only; what has to be read again comes from a recording of it."""
    recording = Recording(stream, uri)

    def open_recording() -> InputContainer:
        return _open_container(recording.open_again(), uri, None)

    def reopen() -> Source:
        return VideoFile(open_recording(), uri, name, config, threads, quiet=True)

    try:
        container = _open_container(recording, uri, None)
        # The frames of such an MP4 are not in the order of their places, nor before its index.
        whole = container.format.name.startswith("mov") and _FRAGMENT not in recording.read_kept(0, _HEAD)
        if whole:
            container.close()
            recording.read_all()
            container = open_recording()
    except BaseException as error:
        recording.close()
        if isinstance(error, InputError) and not recording.size:
            raise InputError(f"{uri} is empty: nothing was written to it") from None
        raise
    opened = VideoFile(container, uri, name, config, threads, recording=recording)
    if whole:
        opened.keep_media(for_frames=True)
    opened.opener = reopen
    if container.streams.audio:
        opened.media_opener = open_recording
    return opened


def _open_camera(text: str, config: SourceConfig, threads: int) -> Source:
    number = camera_number(text)
    if number < 0 or sys.platform not in CAMERA_DEVICES:
        raise InputError(f"camera {text} cannot be opened by its number here: give a file or a URL")
    device, name = CAMERA_DEVICES[sys.platform]
    options = {"fflags": "nobuffer"} | ({"framerate": "30"} if sys.platform == "darwin" else {})
    connect = partial(_open_container, name.format(number), f"camera {text}", config.timeout, device, options)
    return LiveSource(connect(), connect, text, source_name(text), config, threads)


def _open_url(text: str, config: SourceConfig, threads: int, quiet: bool) -> Source:
    scheme = split_url(text).scheme
    if scheme not in URL_SCHEMES:
        raise InputError(f"URLs that begin with {scheme}:// cannot be read; known: {', '.join(URL_SCHEMES)}")
    uri, name = redact_password(text), source_name(text)
    text = insert_credentials(text)
    is_http = scheme.startswith("http")
    # FFmpeg would wait for 20 frames to guess a rate, for seconds on end, although each frame has its own time.
    options = {} if is_http else {"rtsp_flags": "prefer_tcp", "fpsprobesize": "0"}
    open_container = partial(_open_container, text, uri, config.timeout, options=options)
    container = open_container()
    if not (is_http and _is_file(container)):
        if container.format.name.startswith(PLAYLISTS):
            container.close()
            timeout = _PLAYLIST_PATIENCE * config.timeout
            open_container = partial(_open_container, text, uri, timeout, options=options)
            container = open_container()
        return LiveSource(container, open_container, uri, name, config, threads)
    is_mov = container.format.name.startswith("mov")
    try:
        opened = VideoFile(container, uri, name, config, threads, quiet=quiet)
    except InputError:
        if not is_mov:
            raise
        # The index of such a file is at its end, and not every server lets one go back from there.
        return _open_stream(download(text, uri, config.timeout), uri, name, config, threads)
    opened.media_opener = open_container
    return opened


def _is_file(container: InputContainer) -> bool:
    """Returns True if what a server sends has an end: its duration or its size is known."""
    if container.duration is not None:
        return True
    size = container.size or 0  # negative if it is unknown, or None from PyAV 19 on
    return size > 0 and not container.format.name.startswith(PLAYLISTS)


def _open_container(
    target: str | Recording | RecordingReader,
    uri: str,
    timeout: float | None,
    device: str | None = None,
    options: dict[str, str] | None = None,
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
