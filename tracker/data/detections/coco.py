"""Detections from COCO's JSON: a list of results, or images with annotations."""

from array import array
from collections.abc import Callable
from math import nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.data.coco_file import Entry, bbox_to_xyxy, describe_error, frames_of, image_size_of, is_crowd
from tracker.data.detections.rows import DetectionTable, TableInfo, to_stored_detections
from tracker.data.detections.seqinfo import default_seqinfo, read_seqinfo
from tracker.data.detections.stored_detections import StoredDetections
from tracker.errors import InputError
from tracker.parsing import read_json


def read_coco_detections(path: Path, fps: float) -> StoredDetections:
    """Reads COCO's JSON of one sequence.

    All images of a file with images and annotations are frames of the sequence; their `frame_index` and `time_s`, as
    `track` writes them, are used where every image has them. Otherwise, and in a list of results, an image's id is the
    number of its frame, from 1, or from 0 where there is a 0. Annotations without a score get 1; those with `iscrowd` 1
    or `observed` false are left out. A list of results names no classes: they are "category 1" and so on. The `fps` are
    frames per second where neither the file nor a `seqinfo.ini` says it.

    Raises:
        InputError: The file is no such JSON, or an annotation is malformed; says which.
    """
    entries = _Entries(path)
    content = read_json(path, "a COCO file", entries.add)
    is_dataset = isinstance(content, dict) and {"images", "annotations"} <= content.keys()
    if not (is_dataset or isinstance(content, list)):
        raise InputError(f"{path} is JSON, but holds neither a list of results nor images and annotations")
    return entries.stored_detections(is_dataset, fps)


class _Entries:
    """Collects images, annotations and categories as numbers while the JSON is read, to save memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names: dict[int, str] = {}
        self._images = array("q")  # id, frame index
        self._times = array("d")
        self._size = (0, 0)
        self._keys = array("q")  # image id, category id, number of the annotation
        self._values = array("d")  # x1 y1 x2 y2 score
        self._count = 0

    def add(self, entry: Entry) -> Entry | None:
        """Takes an object of the file; returns it if it is none of the three."""
        if "bbox" in entry or "category_id" in entry:
            self._count += 1
            self._add(self._annotation, entry, f"annotation {self._count}")
        elif "width" in entry and "id" in entry:
            self._add(self._image, entry, f"image {entry['id']}")
        elif "name" in entry and "id" in entry:
            self._add(self._category, entry, f"category {entry['id']}")
        else:
            return entry
        return None

    def _add(self, add: Callable[[Entry], None], entry: Entry, position: str) -> None:
        try:
            add(entry)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{self._path}, {position}: {describe_error(error)}; mend or remove it") from None

    def _annotation(self, entry: Entry) -> None:
        if is_crowd(entry) or entry.get("observed") is False:
            return
        box = bbox_to_xyxy(entry["bbox"])
        self._keys.extend((entry["image_id"], entry["category_id"], self._count))
        self._values.extend((*box, float(entry.get("score", 1))))

    def _image(self, entry: Entry) -> None:
        size = image_size_of(entry)
        if self._size not in ((0, 0), size) or min(size) < 1:
            message = f"its size is {size[0]}x{size[1]}, that of others {self._size[0]}x{self._size[1]}"
            raise InputError(f"{self._path}, image {entry['id']}: {message}; give the images of one sequence")
        self._size = size
        self._images.extend((entry["id"], entry.get("frame_index", -1)))
        self._times.append(entry.get("time_s", nan))

    def _category(self, entry: Entry) -> None:
        self._names[int(entry["id"])] = str(entry["name"])

    def stored_detections(self, is_dataset: bool, fps: float) -> StoredDetections:
        """Returns what was collected. Raises as `read_coco_detections`."""
        images = np.array(self._images, np.int64).reshape(-1, 2)
        keys = np.array(self._keys, np.int64).reshape(-1, 3)
        values = np.array(self._values, np.float64).reshape(-1, 5)
        if not is_dataset:
            images = np.empty((0, 2), np.int64)
            self._names = {n: f"category {n}" for n in np.unique(keys[:, 1]).tolist()}
        table = self._table(images, keys, values, is_dataset)
        has_times = is_dataset and not np.isnan(table.times).any()
        sequence = default_seqinfo(self._path, fps) if has_times else read_seqinfo(self._path, fps)
        info = TableInfo(
            path=self._path,
            name=sequence.name,
            categories=tuple(self._names[n] for n in sorted(self._names)),
            frame_rate=sequence.frame_rate,
            unit="annotation",
            length=0 if is_dataset else sequence.length,
            width=self._size[0] if is_dataset else sequence.width,
            height=self._size[1] if is_dataset else sequence.height,
            covers_all_frames=is_dataset,
        )
        return to_stored_detections(table, info)

    def _table(
        self, images: NDArray[np.int64], keys: NDArray[np.int64], values: NDArray[np.float64], is_dataset: bool
    ) -> DetectionTable:
        """Returns a row for each image, and one for each annotation."""
        ids, first = np.unique(images[:, 0], return_index=True)
        if len(ids) < len(images):
            raise InputError(f"{self._path}: two images have the same id; mend it")
        image = self._indices_of(keys[:, 0], ids, keys, "there is no image") if is_dataset else keys[:, 0]
        label = self._indices_of(keys[:, 1], np.array(sorted(self._names), np.int64), keys, "there is no category")
        frames, times = images[first, 1], np.array(self._times, np.float64)[first] if is_dataset else np.empty(0)
        if is_dataset and (frames < 0).any():
            frames, times = frames_of(ids), np.full(len(ids), nan)
        if len(np.unique(frames)) < len(frames):
            raise InputError(f"{self._path}: two images have the same frame_index; give the images of one sequence")
        return DetectionTable(
            frames=np.concatenate([frames, frames[image] if is_dataset else frames_of(image)]),
            times=np.concatenate([times, times[image] if is_dataset else np.full(len(image), nan)]),
            boxes=np.concatenate([np.zeros((len(ids), 4)), values[:, :4]]),
            scores=np.concatenate([np.zeros(len(ids)), values[:, 4]]),
            labels=np.concatenate([np.full(len(ids), -1), label]),
            positions=np.concatenate([np.zeros(len(ids), np.int64), keys[:, 2]]),
        )

    def _indices_of(
        self, wanted: NDArray[np.int64], known: NDArray[np.int64], keys: NDArray[np.int64], problem: str
    ) -> NDArray[np.int64]:
        """Returns the index of each wanted id among the known ones, which ascend."""
        exists = np.isin(wanted, known)
        if not exists.all():
            row = int(np.argmin(exists))
            raise InputError(f"{self._path}, annotation {keys[row, 2]}: {problem} {wanted[row]}; mend or remove it")
        return np.searchsorted(known, wanted).astype(np.int64)
