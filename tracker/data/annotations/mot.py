"""The layout of the MOTChallenge: the truth of a sequence in gt/gt.txt, its pictures in img1/."""

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from tracker.data.annotations.schema import Annotated, Annotations, Box, Object, Problem, number, xyxy
from tracker.data.image_files import image_size, pictures_in
from tracker.data.mot_classes import CLASSES, NEITHER
from tracker.errors import InputError

MIN_VISIBLE = 0.25  # of an object, below which only who follows it knows that it is there. Source: arXiv 1903.05625
_NEITHER = (*NEITHER, CLASSES[0])


def read_mot(sequences: list[Path]) -> Annotations:
    """Reads `frame,id,x,y,w,h,flag[,class,visibility]`; all pictures count, those without a row as empty.

    Frames and pixels count from 1, and boxes go on beyond the picture's edge, where they are clipped. Without a class
    (MOT15) all are persons. Who is hardly visible is ignored. A row with flag 0 is not to be considered: what looks
    like a person is ignored, and anything else is no object, as in the benchmark's own evaluation.

    Args:
        sequences: Folders that hold gt/gt.txt and img1/.

    Raises:
        InputError: A sequence has no pictures.

    Source: Milan et al. 2016, MOT16, arXiv 1603.00831, section 3.
    """
    read: list[Annotated] = []
    problems: list[Problem] = []
    for folder in sequences:
        read += _sequence(folder, problems)
    seen = {thing.name for picture in read for thing in picture.objects if not thing.ignored}
    return Annotations(tuple(name for name in CLASSES if name in seen), read, problems)


def sequences_in(path: Path) -> list[Path]:
    """The sequences that a folder is, or holds: those with gt/gt.txt."""
    return [place for place in (path, *sorted(path.iterdir())) if (place / "gt" / "gt.txt").is_file()]


class GroundTruthBox(NamedTuple):
    """An object of one frame, with its identity.

    Attributes:
        id: Of whom it is, in its sequence.
        file: The picture.
        box: xyxy, pixels of the picture, inside it.
    """

    id: int
    file: Path
    box: Box


def followed(folder: Path) -> list[GroundTruthBox]:
    """The objects of a sequence that count and are visible, frame by frame.

    Raises:
        InputError: There are no pictures, or a row of gt/gt.txt is wrong (the first such).
    """
    problems: list[Problem] = []
    frames = _frames(folder)
    found = [
        GroundTruthBox(int(number(row[1])), frames[int(row[0])], thing.box)
        for row, thing in _rows(folder, frames, problems)
        if not thing.ignored and thing.box[2] > thing.box[0] and thing.box[3] > thing.box[1]
    ]
    if problems:
        raise InputError(str(problems[0]))
    return found


def _sequence(folder: Path, problems: list[Problem]) -> list[Annotated]:
    frames = _frames(folder)
    size = image_size(next(iter(frames.values())))
    objects: dict[int, list[Object]] = defaultdict(list)
    for row, thing in _rows(folder, frames, problems):
        objects[int(row[0])].append(thing)
    file = _truth(folder)
    return [Annotated(f"{folder.name}/{path.name}", path, file, size, objects[n]) for n, path in frames.items()]


def _truth(folder: Path) -> Path:
    return folder / "gt" / "gt.txt"


def _frames(folder: Path) -> dict[int, Path]:
    """The pictures by their frame's number."""
    pictures = pictures_in(folder / "img1")
    if not pictures:
        raise InputError(f"there are no pictures in {folder / 'img1'}: take the video apart into 000001.jpg and so on")
    return {int(path.stem) if path.stem.isdecimal() else 0: path for path in pictures}


def _rows(folder: Path, frames: Mapping[int, Path], problems: list[Problem]) -> Iterator[tuple[list[str], Object]]:
    """The rows of the truth that are an object, perhaps one to be ignored; what is wrong is added to `problems`."""
    size = image_size(next(iter(frames.values())))
    with _truth(folder).open(encoding="utf-8-sig", newline="") as opened:
        table = csv.reader(opened)
        for row in filter(None, table):
            place = f"line {table.line_num}"
            wrong = _fault(row, frames)
            if wrong:
                problems.append(Problem(f"{_truth(folder)}, {place}", wrong))
            else:
                yield from ((row, thing) for thing in _object(row, place, size))


def _fault(row: list[str], frames: Mapping[int, Path]) -> str:
    if len(row) < 7:
        return f"{len(row)} columns, where frame,id,x,y,w,h,flag are 7"
    if not row[0].strip().isdecimal() or int(row[0]) not in frames:
        return f"there is no picture of frame {row[0]}"
    if _has_class(row) and number(row[7]) not in range(1, len(CLASSES) + 1):
        return f"there is no class {row[7]}: they are 1 to {len(CLASSES)}"
    return ""


def _has_class(row: list[str]) -> bool:
    """MOT15's rows end with three coordinates instead, which are -1 where they are unknown."""
    return len(row) in (8, 9) and number(row[7]) != -1


def _object(row: list[str], place: str, size: tuple[int, int]) -> list[Object]:
    """What a row is to a detector: an object, or nothing."""
    x, y, width, height, flag = (number(text) for text in row[2:7])
    box = xyxy((x - 1, y - 1, width, height))
    name = CLASSES[int(number(row[7])) - 1] if _has_class(row) else CLASSES[0]
    if flag == 0 and name not in _NEITHER:
        return []
    ignored = flag == 0 or name in NEITHER
    if not isfinite(sum(box)) or width <= 0 or height <= 0:
        return [Object(place, name, box, ignored=ignored)]
    clipped = _clipped(box, size)
    inside = max(0.0, clipped[2] - clipped[0]) * max(0.0, clipped[3] - clipped[1]) / (width * height)
    if inside == 0:
        return []
    visible = number(row[8]) if _has_class(row) and len(row) == 9 else inside
    return [Object(place, name, clipped, ignored=ignored or 0 <= visible < MIN_VISIBLE)]


def _clipped(box: Box, size: tuple[int, int]) -> Box:
    (x1, y1, x2, y2), (width, height) = box, size
    return max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
