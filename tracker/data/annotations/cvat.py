"""Annotations from CVAT's XML 1.1: of images, and of the frames of a video.

Source: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat (the XML annotation format, version 1.1).
"""

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from tracker.data.annotations.image_set import Segmentation
from tracker.data.annotations.locate import ImageLocator
from tracker.data.annotations.polygons import bounding_box, mask_polygons, turned_rectangle
from tracker.data.annotations.run_lengths import decode_runs
from tracker.data.annotations.schema import Annotations, ImageRecord, ObjectRecord, Problem
from tracker.data.coco_file import Box
from tracker.errors import InputError
from tracker.parsing import line_of, read_xml, to_number, to_whole_number

_NO_SHAPES = ("tag", "attribute")  # children of an image that are about the image
_NO_BOX_TYPES = ("tag", "points", "polyline", "cuboid", "skeleton")  # of labels
_MOST_FRAMES = 10_000_000
_NUMBER_AT_END = re.compile(r"(\d+)$")


def read_cvat_annotations(path: Path, root: Element, locator: ImageLocator) -> Annotations:
    """Reads the XML of images or of a video; the classes are CVAT's labels, in its order.

    Boxes, also turned ones, polygons, ellipses and masks are objects; points, lines and cuboids are left out. A video's
    frames are images that have the frame's number in their names, such as images/frame_000007.png, from 0. Where an
    object is outside, it is not there. A file that lists only key frames is interpolated, as CVAT does it: linearly,
    and from the last key frame on the object stays where it is.
    """
    reader = _Reader(path, root)
    if root.find("track") is not None:
        images = reader.video_images(locator)
    else:
        images = [reader.image(element, locator) for element in root.iterfind("image")]
    used = {record.category: None for image in images for record in image.objects if record.category}
    categories = tuple(dict.fromkeys([*reader.labels, *used]))
    return Annotations(categories, images, reader.problems, reader.notes())


class _Shape(NamedTuple):
    """The box and polygons of an object at a frame."""

    frame: int
    box: Box
    segmentation: Segmentation
    outside: bool
    position: str
    attributes: Mapping[str, str]
    is_key: bool = True


class CvatTrack(NamedTuple):
    """A track of a video: its number and label, the attributes of its first shape, and its shapes where it is seen."""

    number: int
    label: str
    attributes: Mapping[str, str]
    shapes: list[_Shape]


def read_cvat_tracks(path: Path) -> tuple[list[CvatTrack], tuple[int, int]]:
    """Reads the tracks of a video, interpolated between key frames, and the size of its images (0 where unknown).

    Raises:
        InputError: The file cannot be read, is no such XML, or a shape of it is malformed.
    """
    root = read_xml(path, "a file of annotations")
    elements = root.findall("track")
    if not elements:
        raise InputError(f'{path} has no tracks: export it from CVAT as "CVAT for video 1.1"')
    reader = _Reader(path, root)
    size_element = root.find(".//original_size")
    tracks = []
    for number, element in enumerate(elements):
        shapes = reader.shapes(element)
        if _lists_key_frames_only(root):
            shapes = list(_interpolated(shapes, list(_segments(root)), _frames_of_task(root)))
        seen = [shape for shape in shapes if not shape.outside]
        if any(not np.isfinite(shape.box).all() for shape in seen):
            raise InputError(f"{path}, line {line_of(element)}: a box of this track has no numbers as its corners")
        own = to_whole_number(element.get("id"))
        attributes = seen[0].attributes if seen else {}
        tracks.append(CvatTrack(number if own is None else own, element.get("label", "").strip(), attributes, seen))
    if reader.problems:
        raise InputError(f"{reader.problems[0].location}: {reader.problems[0].message}")
    return tracks, (0, 0) if size_element is None else _size_text(size_element)


def _lists_key_frames_only(root: Element) -> bool:
    """Returns True if a file lists only key frames, between which shapes are to be interpolated."""
    return not any(box.get("keyframe") == "0" for track in root.iterfind("track") for box in track)


def _frames_of_task(root: Element) -> range:
    """Returns the frames of a task, of which some may be left out."""
    numbers = [to_whole_number(box.get("frame")) or 0 for track in root.iterfind("track") for box in track]
    last = to_whole_number(root.findtext(".//stop_frame"))
    step = re.fullmatch(r"step=(\d{1,6})", (root.findtext(".//frame_filter") or "").strip())
    start = to_whole_number(root.findtext(".//start_frame")) or 0
    end = max(numbers, default=0) if last is None else last
    return range(start, min(end, _MOST_FRAMES) + 1, max(1, int(step[1])) if step else 1)


class _Reader:
    def __init__(self, path: Path, root: Element) -> None:
        self._path = path
        self._root = root
        self.problems: list[Problem] = []
        self.labels = list(_label_names(root))
        self._left_out: Counter[str] = Counter()

    def notes(self) -> list[str]:
        """Returns a sentence about the shapes that are no objects, if there are any."""
        if not self._left_out:
            return []
        kinds = ", ".join(f"{count} of the kind {tag}" for tag, count in sorted(self._left_out.items()))
        return [f"{self._path}: shapes that are no boxes, polygons or masks are left out: {kinds}"]

    def image(self, element: Element, locator: ImageLocator) -> ImageRecord:
        """Returns an image of a task of images."""
        name = element.get("name", "")
        folder = self._path.parent
        path, problem = locator.find([name], [folder / "images", folder, folder / "data"])
        objects = [record for child in element for record in self._object(child)]
        return ImageRecord(name, path, self._path, _size(element), objects, problem=problem)

    def video_images(self, locator: ImageLocator) -> list[ImageRecord]:
        """Returns the frames of a video for which there are images."""
        files = self._frame_files(locator)
        segments = list(_segments(self._root))
        tracks = [(track.get("label", "").strip(), self.shapes(track)) for track in self._root.iterfind("track")]
        only_key_frames = _lists_key_frames_only(self._root)
        objects: dict[int, list[ObjectRecord]] = defaultdict(list)
        for label, shapes in tracks:
            for shape in _interpolated(shapes, segments, sorted(files)) if only_key_frames else shapes:
                if not shape.outside:
                    objects[shape.frame].append(ObjectRecord(shape.position, label, shape.box, shape.segmentation))
        missing = sorted(objects.keys() - files.keys())
        if missing and files:
            some = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
            message = f"there are no images of {len(missing)} frames ({some})"
            self.problems.append(Problem(str(self._path), message))
        size_element = self._root.find(".//original_size")
        size = (0, 0) if size_element is None else _size_text(size_element)
        return [ImageRecord(file.name, file, self._path, size, objects[n]) for n, file in sorted(files.items())]

    def _frame_files(self, locator: ImageLocator) -> dict[int, Path]:
        """Returns the images by frame, from 0; a single problem if there are none."""
        numbered = [(match, path) for path in locator.images() if (match := _NUMBER_AT_END.search(path.stem))]
        files = {int(match[1]): path for match, path in numbered if len(match[1]) < 12}
        if not files:
            message = "there are no images of its frames: put them beside it, as images/frame_000000.png and so on"
            self.problems.append(Problem(str(self._path), message))
        if len(files) < len(numbered):
            message = "several images have the number of the same frame: give the folder of the right ones by --images"
            self.problems.append(Problem(str(self._path), message))
        return files

    def shapes(self, track: Element) -> list[_Shape]:
        """Returns the shapes of a track by frame."""
        shapes = []
        for element in track:
            frame = to_whole_number(element.get("frame"))
            position = f"line {line_of(element)}"
            if frame is None or not 0 <= frame < _MOST_FRAMES:
                message = f"{element.get('frame')!r} is no number of a frame"
                self.problems.append(Problem(f"{self._path}, {position}", message))
                continue
            shape = self._shape(element)
            if shape is not None:
                attributes = {child.get("name", ""): child.text or "" for child in element.iterfind("attribute")}
                is_key = element.get("keyframe") != "0"
                shapes.append(_Shape(frame, *shape, element.get("outside") == "1", position, attributes, is_key))
        return sorted(shapes, key=lambda shape: shape.frame)

    def _object(self, element: Element) -> list[ObjectRecord]:
        """Returns the object of a child of an image, if it is one."""
        shape = None if element.tag in _NO_SHAPES else self._shape(element)
        label, position = element.get("label", "").strip(), f"line {line_of(element)}"
        return [] if shape is None else [ObjectRecord(position, label, *shape)]

    def _shape(self, element: Element) -> tuple[Box, Segmentation] | None:
        """Returns box and polygons of an element; None if it is of another kind, which is counted."""
        shape = _shape(element)
        if shape is None:
            self._left_out[element.tag] += 1
        return shape


def _shape(element: Element) -> tuple[Box, Segmentation] | None:
    x1, y1, x2, y2 = _numbers(element, "xtl", "ytl", "xbr", "ybr")
    degrees = to_number(element.get("rotation") or 0)
    if element.tag == "box" and not degrees:
        return (x1, y1, x2, y2), ()
    if element.tag == "box":
        corners = turned_rectangle((x1, y1, x2, y2), degrees, ((x1 + x2) / 2, (y1 + y2) / 2))
        return bounding_box([corners]), (corners,)
    if element.tag == "ellipse":
        cx, cy, rx, ry = _numbers(element, "cx", "cy", "rx", "ry")
        angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        outline = np.stack([cx + rx * np.cos(angle), cy + ry * np.sin(angle)], 1).astype(np.float32)
        return bounding_box([outline]), (outline,)
    if element.tag == "polygon":
        points = [tuple(map(to_number, pair.split(","))) for pair in element.get("points", "").split(";")]
        if len(points) < 3 or any(len(point) != 2 for point in points):
            return (np.nan,) * 4, ()
        polygon = np.array(points)
        return bounding_box([polygon]), (polygon.astype(np.float32),)
    if element.tag == "mask":
        left, top, width, height = _numbers(element, "left", "top", "width", "height")
        return (left, top, left + width, top + height), _mask(element, left, top, width, height)
    return None


def _numbers(element: Element, *names: str) -> list[float]:
    return [to_number(element.get(name)) for name in names]


def _mask(element: Element, left: float, top: float, width: float, height: float) -> Segmentation:
    """Returns the polygons of a mask, whose run lengths go along the rows of its box; none if they are malformed."""
    lengths = [to_whole_number(text) for text in element.get("rle", "").split(",")]
    columns, rows = to_whole_number(width), to_whole_number(height)
    if columns is None or rows is None or None in lengths:
        return ()
    try:
        mask = decode_runs([length or 0 for length in lengths], rows, columns)
    except ValueError:
        return ()
    offset = np.array((left, top), np.float32)
    return tuple(polygon + offset for polygon in mask_polygons(np.ascontiguousarray(mask)))


def _interpolated(
    shapes: Sequence[_Shape], segments: Sequence[tuple[int, int]], frames: Sequence[int]
) -> Iterator[_Shape]:
    """Yields the shapes of a track at those frames that there are, between its key frames and after the last one."""
    for index, shape in enumerate(shapes):
        yield shape
        if shape.outside:
            continue
        following = shapes[index + 1] if index + 1 < len(shapes) else None
        end = following.frame if following else _end_of(shape.frame, segments)
        for frame in frames[_first_after(frames, shape.frame) : _first_after(frames, end - 1)]:
            if following is None or following.outside:
                yield shape._replace(frame=frame, is_key=False)
            else:
                part = (frame - shape.frame) / (following.frame - shape.frame)
                x1, y1, x2, y2 = (a + part * (b - a) for a, b in zip(shape.box, following.box, strict=True))
                yield shape._replace(frame=frame, box=(x1, y1, x2, y2), segmentation=(), is_key=False)


def _first_after(frames: Sequence[int], frame: int) -> int:
    return bisect_right(frames, frame)


def _segments(root: Element) -> Iterator[tuple[int, int]]:
    """Yields the first and last frames of the task's segments."""
    for segment in root.iterfind("meta//segment"):
        first, last = (to_whole_number(segment.findtext(name)) for name in ("start", "stop"))
        if first is not None and last is not None:
            yield first, last


def _end_of(frame: int, segments: Sequence[tuple[int, int]]) -> int:
    """Returns the frame after the last one of a frame's segment."""
    return next((last + 1 for first, last in segments if first <= frame <= last), _MOST_FRAMES)


def _label_names(root: Element) -> Iterator[str]:
    """Yields the names of labels that may have boxes."""
    for label in root.iterfind("meta//label"):
        name = (label.findtext("name") or "").strip()
        if name and label.findtext("type") not in _NO_BOX_TYPES and label.find("parent") is None:
            yield name


def _size(element: Element) -> tuple[int, int]:
    return to_whole_number(element.get("width")) or 0, to_whole_number(element.get("height")) or 0


def _size_text(element: Element) -> tuple[int, int]:
    return to_whole_number(element.findtext("width")) or 0, to_whole_number(element.findtext("height")) or 0
