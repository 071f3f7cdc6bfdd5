"""The quality of the tracks in the folder of a run, by its stored detections."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from tracker.config import DetectionFilterConfig
from tracker.data.detections import StoredDetections, read_detections
from tracker.data.detections.run_folder import ROW
from tracker.data.run_tracks import RunTracks
from tracker.data.store import PartReader, StoredFrame, find_stored_run
from tracker.errors import InputError
from tracker.evaluation.quality.quality import Quality, measure_quality
from tracker.pipeline.regions import Regions
from tracker.pipeline.resume import StartedRun
from tracker.structures.types import Frame
from tracker.video import blank_image


def measure_run(tracks: RunTracks, detections: str = "") -> Quality:
    """Measures the tracks of a run, as they were repaired, by the detections that the run stored.

    Args:
        tracks: The tracks.
        detections: Its detections, as `read_detections` takes them; without it those in its folder or, of a run of
            `track retrack`, in the folder of the run that it tracked again.

    Raises:
        InputError: There are no such detections, or they cannot be read.
    """
    config = StartedRun(tracks.folder, {"config": {}, **tracks.record}).config
    path = Path(detections) if detections else find_stored_run(tracks.folder, tracks.record)
    if path is None:
        raise InputError(f"{tracks.folder} has no stored detections: name them by --detections FILE_OR_FOLDER")
    stored = read_detections(path, float(tracks.frame_rate))
    wanted = config.detector
    stored = stored.filter(wanted.score, wanted.classes, tracks.width, tracks.height, wanted.class_scores)
    info = stored.run_info
    settings = config.tracker.with_neutral_distance(info.neutral_distance if info else 0.0)
    frames = _in_regions(_frames_backward(stored), wanted, tracks)
    return measure_quality(tracks, frames, settings, info.reid_class_ids if info else (), stored.categories)


def _frames_backward(stored: StoredDetections) -> Iterator[StoredFrame]:
    """Yields the frames from the last to the first."""
    none = np.zeros((0, 0), np.float32)
    if stored.run_info is None:
        for index, time in reversed(list(stored.frame_times())):
            detections = stored.at(index)
            yield StoredFrame(index, index, time, detections, np.zeros((len(detections), 0), np.float32), none)
        return
    for frame in PartReader(stored.path).frames_backward():
        detections = stored.at(frame.index)
        yield replace(frame, detections=detections, embeddings=frame.embeddings[detections.data[ROW]], class_probs=none)


def _in_regions(
    frames: Iterator[StoredFrame], wanted: DetectionFilterConfig, tracks: RunTracks
) -> Iterator[StoredFrame]:
    """Yields frames with the detections in the regions of interest alone."""
    if not wanted.roi:
        yield from frames
        return
    regions, image = Regions(wanted), blank_image(tracks.width, tracks.height)
    for each in frames:
        keep = regions.contain(each.detections.boxes, Frame(each.index, each.time, each.pts, image, each.fit))
        yield replace(each, detections=each.detections[keep], embeddings=each.embeddings[keep])
