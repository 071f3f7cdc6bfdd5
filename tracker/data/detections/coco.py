"""COCO's JSON: a list of results, or images with annotations."""

import json
from array import array
from math import nan
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from tracker.data.detections.rows import DetectionTable, TableInfo, stored_from
from tracker.data.detections.seqinfo import sequence_of, unknown_sequence
from tracker.data.detections.stored_detections import StoredDetections
from tracker.errors import InputError


def read_coco(file: TextIO, path: Path, fps: float) -> StoredDetections:
    """Reads COCO's JSON of one sequence.

    Of a file with images and annotations all images are frames of the sequence; their `frame_index` and `time_s`, as
    in our own files, are taken where every image has them. Otherwise, and in a list of results, frames are counted by
    the image's id, from 1, or from 0 where there is a 0. Annotations without a score get 1; those with `iscrowd` 1 or
    `observed` false are left out. A list of results names no classes: they are "category 1" and so on.

    Args:
        file: The opened file.
        path: Its name.
        fps: Frame rate where neither the file nor a `seqinfo.ini` says it, frames per second.

    Raises:
        InputError: The file is no such JSON, or an annotation is broken; says which.
    """
    parts = _Parts(path)
    try:
        whole = json.load(file, object_hook=parts.take)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: this is not valid JSON ({error.msg}): write it again") from None
    except RecursionError:
        raise InputError(f"{path} is nested too deeply for COCO's JSON: give another file") from None
    if not (isinstance(whole, list) or (isinstance(whole, dict) and {"images", "annotations"} <= whole.keys())):
        raise InputError(f"{path} is JSON, but holds neither a list of results nor images and annotations")
    return parts.stored(complete=isinstance(whole, dict), fps=fps)


class _Parts:
    """Takes images, annotations and categories out of the JSON while it is read, so that no objects pile up."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names: dict[int, str] = {}
        self._images = array("q")  # id, frame index
        self._times = array("d")
        self._size = (0, 0)
        self._marks = array("q")  # image id, category id, number of the annotation
        self._values = array("d")  # x1 y1 x2 y2 score
        self._count = 0

    def take(self, item: dict[str, Any]) -> dict[str, Any] | None:
        """Called with each object of the file; gives back what is none of the three."""
        if "bbox" in item or "category_id" in item:
            self._count += 1
            self._take(self._annotation, item, f"annotation {self._count}")
        elif "width" in item and "id" in item:
            self._take(self._image, item, f"image {item['id']}")
        elif "name" in item and "id" in item:
            self._take(self._category, item, f"category {item['id']}")
        else:
            return item
        return None

    def _take(self, how: Any, item: dict[str, Any], what: str) -> None:
        try:
            how(item)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            missing = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{self._path}, {what}: {missing}; mend or remove it") from None

    def _annotation(self, item: dict[str, Any]) -> None:
        if item.get("iscrowd") == 1 or item.get("observed") is False:
            return
        x, y, width, height = (float(value) for value in item["bbox"])
        self._marks.extend((item["image_id"], item["category_id"], self._count))
        self._values.extend((x, y, x + width, y + height, float(item.get("score", 1))))

    def _image(self, item: dict[str, Any]) -> None:
        size = int(item["width"]), int(item["height"])
        if self._size not in ((0, 0), size) or min(size) < 1:
            raise InputError(
                f"{self._path}, image {item['id']}: its size is {size[0]}x{size[1]}, that of others "
                f"{self._size[0]}x{self._size[1]}; give the pictures of one sequence"
            )
        self._size = size
        self._images.extend((item["id"], item.get("frame_index", -1)))
        self._times.append(item.get("time_s", nan))

    def _category(self, item: dict[str, Any]) -> None:
        self._names[int(item["id"])] = str(item["name"])

    def stored(self, complete: bool, fps: float) -> StoredDetections:
        """What was taken. Raises as `read_coco`."""
        images = np.array(self._images, np.int64).reshape(-1, 2)
        marks = np.array(self._marks, np.int64).reshape(-1, 3)
        values = np.array(self._values, np.float64).reshape(-1, 5)
        if not complete:
            images = np.empty((0, 2), np.int64)
            self._names = {n: f"category {n}" for n in np.unique(marks[:, 1]).tolist()}
        rows = self._rows(images, marks, values, complete)
        timed = complete and not np.isnan(rows.times).any()
        sequence = unknown_sequence(self._path, fps) if timed else sequence_of(self._path, fps)
        about = TableInfo(
            path=self._path,
            name=sequence.name,
            categories=tuple(self._names[n] for n in sorted(self._names)),
            frame_rate=sequence.frame_rate,
            unit="annotation",
            length=0 if complete else sequence.length,
            width=self._size[0] if complete else sequence.width,
            height=self._size[1] if complete else sequence.height,
            complete=complete,
        )
        return stored_from(rows, about)

    def _rows(
        self, images: NDArray[np.int64], marks: NDArray[np.int64], values: NDArray[np.float64], complete: bool
    ) -> DetectionTable:
        """A row for each image, and one for each annotation."""
        ids, first = np.unique(images[:, 0], return_index=True)
        if len(ids) < len(images):
            raise InputError(f"{self._path}: two images have the same id; mend it")
        image = self._places_of(marks[:, 0], ids, marks, "there is no image") if complete else marks[:, 0]
        label = self._places_of(marks[:, 1], np.array(sorted(self._names), np.int64), marks, "there is no category")
        indices, times = images[first, 1], np.array(self._times, np.float64)[first] if complete else np.empty(0)
        if complete and (indices < 0).any():
            indices, times = _from_zero(ids), np.full(len(ids), nan)
        if len(np.unique(indices)) < len(indices):
            raise InputError(f"{self._path}: two images have the same frame_index; give the pictures of one sequence")
        return DetectionTable(
            frames=np.concatenate([indices, indices[image] if complete else _from_zero(image)]),
            times=np.concatenate([times, times[image] if complete else np.full(len(image), nan)]),
            boxes=np.concatenate([np.zeros((len(ids), 4)), values[:, :4]]),
            scores=np.concatenate([np.zeros(len(ids)), values[:, 4]]),
            labels=np.concatenate([np.full(len(ids), -1), label]),
            places=np.concatenate([np.zeros(len(ids), np.int64), marks[:, 2]]),
        )

    def _places_of(
        self, wanted: NDArray[np.int64], known: NDArray[np.int64], marks: NDArray[np.int64], what: str
    ) -> NDArray[np.int64]:
        """Where each wanted id stands among the known ones, which ascend."""
        found = np.isin(wanted, known)
        if not found.all():
            row = int(np.argmin(found))
            raise InputError(f"{self._path}, annotation {marks[row, 2]}: {what} {wanted[row]}; mend or remove it")
        return np.searchsorted(known, wanted).astype(np.int64)


def _from_zero(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """COCO's tools take 0 for "none", so ids count from 1, where there is no 0."""
    return ids if (ids == 0).any() else ids - 1
