"""Frames of a run as images, with its repaired tracks as labels: training data of a detector."""

import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from tracker.config import OutputConfig
from tracker.data.coco_file import image_entry
from tracker.data.edits import RunTable
from tracker.data.files import write_bytes
from tracker.errors import InputError
from tracker.output import open_writer
from tracker.pipeline.file_run import video_info
from tracker.pipeline.repaired_run import open_same_source, repaired_tracks, run_categories, started_run, with_frames
from tracker.structures.types import Frame, Tracks

FOLDER = "training"
"""Folder of images and labels in that of the run, if no other place is named."""
NAME = "labels.json"
QUALITY = 95
"""JPEG quality of the images."""
_ROUNDING = 1e-6


@dataclass(frozen=True)
class TrainingImages:
    """What `export_training_images` wrote.

    Attributes:
        labels: The COCO file.
        folder: Folder of the images.
        images: Number of them.
        boxes: Number of objects in them, without those that are ignored.
        categories: Classes of the objects.
    """

    labels: Path
    folder: Path
    images: int
    boxes: int
    categories: tuple[str, ...]


def export_training_images(
    run: Path, every: float, output: Path | None = None, video: str = "", overwrite: bool = False
) -> TrainingImages:
    """Writes some frames of a run as images, and its repaired tracks in them as a COCO file.

    Boxes that were detected or that a person has set, between two key frames too, are objects. Other boxes have
    `observed` false, and trainings ignore what is there. Frames that have only such boxes are passed over.

    Args:
        run: The folder of the run.
        every: Seconds from one image to the next; 0 for all frames.
        output: The COCO file (.json) or its folder, which gets the folder of the images too; None for the folder
            `training` in that of the run.
        video: The source of the run, if it is no longer where the record says.
        overwrite: True to replace files.

    Raises:
        InputError: The run, its source or the output cannot be used, or the run has no tracks.
    """
    if not (math.isfinite(every) and every >= 0):
        raise InputError(f"--images-every {every:g}: give seconds, such as 1, or 0 for all frames")
    started, table = started_run(run), RunTable(run)
    labels, name = _labels_path(run, output), run.resolve().name
    folder = labels.parent / name
    for path in (labels, folder):
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists: give --overwrite or another --output")
    edits = [edit.with_every_key() for edit in table.journal.edits()]
    parts = (part["class"].cast(pa.string()).unique().to_pylist() for part in table.parts(edits))
    present = set().union(*parts)
    if not present:
        raise InputError(f"{run} has no tracks, and so no objects to train on")
    known = tuple(dict.fromkeys([*run_categories(table), *sorted(present)]))
    categories = tuple(one for one in known if one in present)
    images = boxes = 0
    with open_same_source(started, video) as source:
        folder.mkdir(parents=True, exist_ok=True)
        info = replace(video_info(source, started.config), name=name)
        tracks = repaired_tracks(table, categories, edits)
        with open_writer(labels, info, categories, OutputConfig(), overwrite) as writer:
            for frame, found in _select(with_frames(source, tracks), every):
                entry = image_entry(frame.index, frame.time, (info.width, info.height), name)
                write_bytes(labels.parent / entry["file_name"], _encode(frame.image))
                writer.write(replace(frame, fit=None), found)  # the image is what was written
                images += 1
                boxes += int(found.observed.sum())
    return TrainingImages(labels, folder, images, boxes, categories)


def _labels_path(run: Path, output: Path | None) -> Path:
    path = output or run / FOLDER
    if path.suffix and path.suffix.lower() != ".json":
        raise InputError(f"labels are written to a .json file, not {path.suffix}: give one, or a folder, by --output")
    return path if path.suffix else path / NAME


def _select(frames: Iterable[tuple[Frame, Tracks]], every: float) -> Iterator[tuple[Frame, Tracks]]:
    """Yields the first frame of each span of so many seconds of which it is known what it shows."""
    due = -math.inf
    for frame, tracks in frames:
        if frame.time >= due - _ROUNDING and (tracks.observed.any() or not len(tracks)):
            due = (math.floor((frame.time + _ROUNDING) / every) + 1) * every if every else due
            yield frame, tracks


def _encode(image: NDArray[np.uint8]) -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(data, "JPEG", quality=QUALITY)
    return data.getvalue()
