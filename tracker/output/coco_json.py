"""Tracks as one COCO-style JSON file."""

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from tracker.errors import InputError
from tracker.output.base import ResultWriter, VideoInfo, cannot_open, cannot_write, visible
from tracker.structures.boxes import Floats, area, xyxy_to_xywh
from tracker.structures.masks import patch, run_lengths
from tracker.structures.types import FineTracks, Frame, MaskedTracks, Tracks


class CocoWriter(ResultWriter):
    """COCO's `images`, `annotations` and `categories`, where annotations also carry `track_id`, `score`, `observed`.

    Ids count from 1 (COCO's tools take 0 for "none"): category id = label + 1, image id = frame index + 1. Each
    processed frame has an image, also one without tracks, named NAME/000000.jpg by its index. bbox is x, y, width,
    height in pixels, clipped to the picture. Where the network gives masks, each annotation has its `segmentation`, in
    compressed run lengths, which is empty where a box is predicted. The `area` is that of the mask; without one, that
    of the bbox. Where a classifier tells a finer class, the annotation has its `fine_class` and `fine_score`.

    Images and annotations grow in two hidden files beside `path`, so that memory is bounded; closing joins them
    to `path`, which therefore exists only when it is whole.

    Source: https://cocodataset.org/#format-data
    """

    def __init__(self, path: Path, info: VideoInfo, categories: Sequence[str]) -> None:
        """Creates the two temporary files.

        Raises:
            InputError: They cannot be created.
        """
        self.path = path
        self._info = info
        self._parts = [path.with_name(f".{path.name}.{part}.tmp") for part in ("images", "annotations")]
        self._files: list[BinaryIO] = []
        self._image_count = self._annotation_count = 0
        named = [{"id": i + 1, "name": name} for i, name in enumerate(categories)]
        try:
            if path.is_dir():
                raise IsADirectoryError(0, "it is a folder")
            for part in self._parts:
                self._files.append(part.open("w+b"))
            self._files[0].write(f'{{"categories": {json.dumps(named)},\n"images": ['.encode())
        except OSError as error:
            self._discard()
            raise cannot_open(path, error) from None

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Adds an image, and an annotation for each track that has a part inside it."""
        images, annotations = self._files
        seen, boxes = visible(tracks, self._info.width, self._info.height)
        try:
            images.write(self._item(self._image(frame), self._image_count))
            self._image_count += 1
            for row, box in enumerate(boxes):
                annotations.write(self._item(self._annotation(frame, seen, row, box), self._annotation_count))
                self._annotation_count += 1
        except OSError as error:
            raise self._lost(error) from None

    def close(self) -> None:
        """Joins the parts to the file at `path`."""
        if not self._files:
            return
        images, annotations = self._files
        try:
            images.write(b'],\n"annotations": [')
            annotations.seek(0)
            shutil.copyfileobj(annotations, images)
            images.write(b"]}\n")
            images.close()
            os.replace(self._parts[0], self.path)
        except OSError as error:
            raise self._lost(error) from None
        self._discard()

    def _image(self, frame: Frame) -> dict[str, Any]:
        return {
            "id": frame.index + 1,
            "frame_index": frame.index,
            "time_s": round(frame.time, 6),
            "width": self._info.width,
            "height": self._info.height,
            "file_name": f"{self._info.name}/{frame.index:06d}.jpg",
        }

    def _annotation(self, frame: Frame, tracks: Tracks, row: int, box: Floats) -> dict[str, Any]:
        annotation = {
            "id": self._annotation_count + 1,
            "image_id": frame.index + 1,
            "category_id": int(tracks.labels[row]) + 1,
            "track_id": int(tracks.ids[row]),
            "bbox": [round(float(value), 2) for value in xyxy_to_xywh(box)],
            "area": round(float(area(box)), 2),
            "iscrowd": 0,
            "score": round(float(tracks.scores[row]), 4),
            "observed": bool(tracks.observed[row]),
        }
        if isinstance(tracks, MaskedTracks):
            width, height = self._info.width, self._info.height
            part = patch(tracks.masks[row], tracks.mask_boxes[row], width, height)
            annotation["area"] = int(part.pixels.sum()) or annotation["area"]
            annotation["segmentation"] = {"size": [height, width], "counts": run_lengths(part, width, height)}
        if isinstance(tracks, FineTracks) and tracks.fine_classes[row]:
            annotation["fine_class"] = str(tracks.fine_classes[row])
            annotation["fine_score"] = round(float(tracks.fine_scores[row]), 4)
        return annotation

    @staticmethod
    def _item(item: dict[str, Any], count: int) -> bytes:
        return (("," if count else "") + "\n" + json.dumps(item)).encode()

    def _lost(self, error: OSError) -> InputError:
        """Cleans up after a failed write: half a JSON file is of no use to anyone."""
        self._discard()
        return cannot_write(self.path, error, kept="nothing of it is kept")

    def _discard(self) -> None:
        for file, part in zip(self._files, self._parts, strict=False):  # those that could be created
            with contextlib.suppress(OSError):  # flushing to a full disk fails again
                file.close()
            part.unlink(missing_ok=True)
        self._files = []
