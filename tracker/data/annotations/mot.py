"""Annotations from MOTChallenge sequences: ground truth in gt/gt.txt, images in img1/."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tracker.data.annotations.schema import Annotations, ImageRecord, ObjectRecord, Problem
from tracker.data.coco_file import Box, bbox_to_xyxy
from tracker.data.image_files import image_size, list_images
from tracker.data.mot_classes import CLASSES, NEUTRAL_CLASSES
from tracker.data.mot_file import read_mot_file
from tracker.errors import InputError

MIN_VISIBILITY = 0.25
"""Visible fraction of an object below which it is ignored. Source: arXiv 1903.05625."""

GROUND_TRUTH = "gt/gt.txt"
_NUMBER_AT_END = re.compile(r"(\d+)$")  # of an image's name: 000001.jpg, frame_000001.jpg
_IGNORED_AT_FLAG_0 = (*NEUTRAL_CLASSES, CLASSES[0])


def read_mot_annotations(sequences: list[Path]) -> Annotations:
    """Reads ground truth in gt/gt.txt of each folder; `tracker.data.mot_file` describes the file.

    Images without a row have no objects. Boxes that extend beyond the image are clipped. Without a class (MOT15) all
    objects are persons. An object that is hardly visible is ignored. A row with flag 0 does not count: it is ignored if
    it looks like a person, and is no object otherwise, as in the benchmark's own evaluation.

    Source: Milan et al. 2016, MOT16, arXiv 1603.00831, section 3.
    """
    images: list[ImageRecord] = []
    problems: list[Problem] = []
    for folder in sequences:
        try:
            images += _sequence(folder, problems)
        except InputError as error:
            if len(sequences) == 1:
                raise
            problems.append(Problem.from_error(folder, error))
    names = {record.category for image in images for record in image.objects if not record.ignore}
    return Annotations(tuple(name for name in CLASSES if name in names), images, problems)


def list_sequences(path: Path) -> list[Path]:
    """Lists the sequences that a folder is or holds: folders with gt/gt.txt."""
    return [folder for folder in (path, *sorted(path.iterdir())) if (folder / GROUND_TRUTH).is_file()]


class GroundTruthBox(NamedTuple):
    """An object of one frame, with its identity in the sequence and its box, xyxy in pixels, inside the image."""

    id: int
    file: Path
    box: Box


def ground_truth_boxes(folder: Path) -> list[GroundTruthBox]:
    """Reads the objects of a sequence that count and are visible, in the order of the rows. A malformed row raises."""
    problems: list[Problem] = []
    frames = _frames(folder)
    boxes = [
        GroundTruthBox(identity, frames[frame], record.box)
        for frame, identity, record in _objects(folder, frames, problems)
        if not record.ignore and record.box[2] > record.box[0] and record.box[3] > record.box[1]
    ]
    if problems:
        raise InputError(str(problems[0]))
    return boxes


def _sequence(folder: Path, problems: list[Problem]) -> list[ImageRecord]:
    frames = _frames(folder)
    size = image_size(next(iter(frames.values())))
    objects: dict[int, list[ObjectRecord]] = defaultdict(list)
    for frame, _, record in _objects(folder, frames, problems):
        objects[frame].append(record)
    file = folder / GROUND_TRUTH
    return [ImageRecord(f"{folder.name}/{path.name}", path, file, size, objects[n]) for n, path in frames.items()]


def _frames(folder: Path) -> dict[int, Path]:
    """Returns the images by frame, from 0; files are named by the frame's number from 1."""
    images = list_images(folder / "img1")
    if not images:
        raise InputError(f"there are no images in {folder / 'img1'}: split the video into 000001.jpg and so on")
    numbers = [_NUMBER_AT_END.search(path.stem) for path in images]
    return {int(match[1]) - 1 if match else -1: path for match, path in zip(numbers, images, strict=True)}


def _objects(
    folder: Path, frames: Mapping[int, Path], problems: list[Problem]
) -> Iterator[tuple[int, int, ObjectRecord]]:
    """Yields frame, identity and object of each row; malformed rows are added to `problems`."""
    size = image_size(next(iter(frames.values())))
    file = folder / GROUND_TRUTH
    malformed: list[tuple[int, str]] = []
    rows = read_mot_file(file, malformed)
    numbers = np.stack([rows.frames, rows.ids, rows.lines], 1).tolist()
    columns = zip(numbers, rows.boxes.tolist(), rows.scores.tolist(), rows.extras.tolist(), strict=True)
    for has_class, ((frame, identity, line), box, flag, extras) in zip(rows.has_class, columns, strict=True):
        class_id = extras[0] if has_class else 1
        if frame not in frames:
            malformed.append((line, f"there is no image of frame {frame + 1}"))
        elif class_id not in range(1, len(CLASSES) + 1):
            malformed.append((line, f"there is no class {class_id:g}: they are 1 to {len(CLASSES)}"))
        else:
            visibility = extras[1] if has_class else np.nan
            if record := _object(f"line {line}", CLASSES[int(class_id) - 1], box, flag, visibility, size):
                yield frame, identity, record
    problems += [Problem(f"{file}, line {line}", message) for line, message in sorted(malformed)]


def _object(
    position: str, name: str, xywh: list[float], flag: float, visibility: float, size: tuple[int, int]
) -> ObjectRecord | None:
    """Returns what a row means to a detector: an object, perhaps an ignored one, or nothing."""
    if flag == 0 and name not in _IGNORED_AT_FLAG_0:
        return None
    ignore = flag == 0 or name in NEUTRAL_CLASSES
    box, (_, _, width, height) = bbox_to_xyxy(xywh), xywh
    if width <= 0 or height <= 0:
        return ObjectRecord(position, name, box, ignore=ignore)  # which validation refuses
    clipped = max(box[0], 0), max(box[1], 0), min(box[2], size[0]), min(box[3], size[1])
    inside = max(0.0, clipped[2] - clipped[0]) * max(0.0, clipped[3] - clipped[1]) / (width * height)
    if inside == 0:
        return None
    visible = inside if np.isnan(visibility) else visibility
    return ObjectRecord(position, name, clipped, ignore=ignore or 0 <= visible < MIN_VISIBILITY)
