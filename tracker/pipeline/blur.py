"""A video in which the tracks of a run are hidden."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np

from tracker.config import BlurConfig, Config, OutputConfig, SourceConfig
from tracker.data.files import remove_file
from tracker.data.run_tracks import RunTracks
from tracker.data.store import PartReader, has_parts
from tracker.errors import InputError
from tracker.output import AnnotatedVideoWriter
from tracker.output.blurring import Blurrer, TrackCover
from tracker.pipeline.file_run import video_info
from tracker.structures.boxes import iou
from tracker.structures.types import Frame, Tracks
from tracker.video import Source
from tracker.video.run_source import open_run_source

_SAME_OBJECT = 0.5
"""Least IoU of a track's box and the detection whose mask is its own."""


@dataclass(frozen=True)
class BlurResult:
    """What was hidden.

    Attributes:
        path: The video.
        frames: Its frames.
        tracks: Tracks that were hidden.
        boxes: Their boxes in all frames.
        filled: Those in frames without a row of the track: gaps, and before and after it.
    """

    path: Path
    frames: int
    tracks: int
    boxes: int
    filled: int


def blur_run(
    tracks: RunTracks,
    path: Path,
    config: BlurConfig,
    video: str = "",
    overwrite: bool = False,
    on_frame: Callable[[int, int], None] = lambda done, total: None,
) -> BlurResult:
    """Writes the video of a run with its tracks hidden, and checks that each was hidden in all of its frames.

    Args:
        tracks: The tracks to hide.
        path: The video to write.
        config: How to hide.
        video: The video of the run, where it is not at its place any more.
        overwrite: Replace what is at `path`.
        on_frame: Called with the number of frames so far, and that of all.

    Raises:
        InputError: The run did not come to the end of its source, the video cannot be read or written, or the check
            failed. No video is left then.
    """
    if tracks.record.get("status") != "finished":
        raise InputError(f"the run in {tracks.folder} did not come to its end, so that objects behind it are unknown")
    with closing(open_run_source(tracks, video)) as source:
        if path.exists() and any(path.samefile(file) for file in source.files):
            raise InputError(f"the output {path} is the source itself: give it another name")
        info = video_info(source, source_settings(tracks))
        if not config.sound:
            info = replace(info, audio=None)
        writer = AnnotatedVideoWriter(path, info, tracks.categories, OutputConfig(), overwrite, Blurrer(config))
        try:
            with writer:
                result = _write(writer, source, tracks, config, on_frame)
            _check_frames(result)
        except BaseException:
            remove_file(path)
            raise
        return result


def _write(
    writer: AnnotatedVideoWriter,
    source: Source,
    tracks: RunTracks,
    config: BlurConfig,
    on_frame: Callable[[int, int], None],
) -> BlurResult:
    cover = TrackCover(tracks, config)
    masks = _Masks(tracks) if config.shape == "mask" else None
    check = _Check(tracks)
    frames = boxes = filled = 0
    for frame in source:
        found = cover.at(frame)
        writer.write(frame, masks.add(frame, found) if masks else found)
        check.add(frame.index, found)
        frames += 1
        boxes += len(found)
        filled += int((~found.observed).sum())
        on_frame(frames, source.expected_frames)
    writer.last_duration = source.last_duration
    check.finish(source)
    return BlurResult(writer.path, frames, len(np.unique(tracks.ids)), boxes, filled)


class _Check:
    """Checks that each track is hidden in all frames from its first to its last one."""

    def __init__(self, tracks: RunTracks) -> None:
        order = np.argsort(tracks.ids, kind="stable")
        self._ids, starts = np.unique(tracks.ids[order], return_index=True)
        frames = tracks.frames[order]
        self._first = np.minimum.reduceat(frames, starts) if len(starts) else frames
        self._last = np.maximum.reduceat(frames, starts) if len(starts) else frames
        self._left = set(np.unique(tracks.frames).tolist())

    def add(self, index: int, hidden: Tracks) -> None:
        """Takes the tracks that were hidden in a frame."""
        expected = self._ids[(self._first <= index) & (index <= self._last)]
        missed = np.setdiff1d(expected, hidden.ids)
        if len(missed):
            raise RuntimeError(f"frame {index}: the tracks {missed.tolist()} are not hidden")
        self._left.discard(index)

    def finish(self, source: Source) -> None:
        """Raises an InputError if there are tracks in frames that the video does not have."""
        if self._left:
            raise InputError(
                f"{source.uri} has no frame {min(self._left)}, in which there are tracks: give the video of the run"
            )


def _check_frames(result: BlurResult) -> None:
    """Checks that the video has all frames that were written."""
    with av.open(str(result.path)) as container:
        packets = sum(packet.size > 0 for packet in container.demux(video=0))
    if packets != result.frames:
        raise RuntimeError(f"{result.path} has {packets} frames of {result.frames}")


class _Masks:
    """The masks of the detections of a run, for the tracks to which they belong."""

    def __init__(self, tracks: RunTracks) -> None:
        reader = PartReader(tracks.folder) if has_parts(tracks.folder) else None
        if reader is None or not reader.info.mask_size:
            raise InputError(f"{tracks.folder} has stored no masks: hide boxes, by --shape box")
        self._reader = reader
        self._size = reader.info.mask_size

    def add(self, frame: Frame, tracks: Tracks) -> Tracks:
        """Returns the tracks with the masks of the detections that are at the same place, where there are any."""
        masks = np.zeros((len(tracks), self._size, self._size), np.uint8)
        boxes = np.zeros((len(tracks), 4), np.float32)
        stored = self._reader.find(frame.index)
        if stored is not None and len(stored.detections) and len(tracks):
            overlaps = iou(tracks.boxes.astype(np.float64), stored.detections.boxes.astype(np.float64))
            best = overlaps.argmax(axis=1)
            own = (overlaps.max(axis=1) >= _SAME_OBJECT) & tracks.observed
            masks[own] = stored.detections.data["masks"][best[own]]
            boxes[own] = stored.detections.boxes[best[own]]
        return tracks.with_data(masks=masks, mask_boxes=boxes)


def source_settings(tracks: RunTracks) -> Config:
    """Returns the settings with the part of the source that a run processed."""
    known = (tracks.record.get("config") or {}).get("source") or {}
    return Config(source=SourceConfig.model_validate({key: known[key] for key in ("start", "end") if key in known}))
