"""The layout of the MOTChallenge: the truth of a sequence in gt/gt.txt, its pictures in img1/."""

import csv
from collections import defaultdict
from collections.abc import Mapping
from math import isfinite
from pathlib import Path

from tracker.data.annotations import Annotated, Annotations, Box, Object, Problem, number, xyxy
from tracker.data.images import image_size, pictures_in
from tracker.errors import InputError
from tracker.motchallenge import CLASSES, NEITHER

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


def _sequence(folder: Path, problems: list[Problem]) -> list[Annotated]:
    pictures = pictures_in(folder / "img1")
    if not pictures:
        raise InputError(f"there are no pictures in {folder / 'img1'}: take the video apart into 000001.jpg and so on")
    size = image_size(pictures[0])
    frames = {int(path.stem) if path.stem.isdecimal() else 0: path for path in pictures}
    file = folder / "gt" / "gt.txt"
    objects: dict[int, list[Object]] = defaultdict(list)
    with file.open(encoding="utf-8-sig", newline="") as opened:
        table = csv.reader(opened)
        for row in filter(None, table):
            place = f"line {table.line_num}"
            wrong = _fault(row, frames)
            if wrong:
                problems.append(Problem(f"{file}, {place}", wrong))
            else:
                objects[int(row[0])] += _object(row, place, size)
    return [Annotated(f"{folder.name}/{path.name}", path, file, size, objects[n]) for n, path in frames.items()]


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
