"""Writer of tracks as one COCO-style JSON file."""

import json
import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from tracker.data.coco_file import FIRST_ID, category_entries, image_entry, xyxy_to_bbox
from tracker.data.files import create_temporary, move_file, remove_file
from tracker.errors import InputError
from tracker.output.base import ResultWriter, VideoInfo, clip_tracks, open_error, write_error
from tracker.output.paths import numbered_names
from tracker.structures.boxes import Floats, area
from tracker.structures.masks import patch, run_lengths
from tracker.structures.types import Frame, Tracks

logger = logging.getLogger(__name__)


class CocoWriter(ResultWriter):
    """Writes COCO's `images`, `annotations` and `categories`; annotations also have `track_id`, `score`, `observed`.

    Ids count from 1 (COCO's tools take 0 for "none"): category id = label + 1, image id = frame index + 1. Each
    processed frame has an image, also one without tracks, named NAME/000000.jpg by its index. bbox is x, y, width,
    height in pixels, clipped to the image. Where the network gives masks, each annotation has its `segmentation`, in
    compressed run lengths, which is empty where a box is predicted. The `area` is that of the mask; without one, that
    of the bbox. With a classifier of finer classes, the annotation has its `fine_class` and `fine_score`.

    Images and annotations are appended to two hidden files beside `path`, so that memory is bounded; closing joins
    them to `path`, which therefore exists only when it is complete.

    Source: https://cocodataset.org/#format-data
    """

    def __init__(self, path: Path, info: VideoInfo, categories: Sequence[str], overwrite: bool = True) -> None:
        self.path = path
        self._overwrite = overwrite
        self._info = info
        self._parts: list[Path] = []  # of images and of annotations
        self._files: list[BinaryIO] = []
        self._image_count = self._annotation_count = 0
        try:
            if path.is_dir():
                raise IsADirectoryError(0, "it is a folder")
            if not overwrite and os.path.lexists(path):
                raise FileExistsError
            for _ in range(2):
                self._parts.append(create_temporary(path))
                self._files.append(self._parts[-1].open("r+b"))
            self._files[0].write(f'{{"categories": {json.dumps(category_entries(categories))},\n"images": ['.encode())
        except OSError as error:
            self._discard()
            raise open_error(path, error) from None

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Appends an image, and an annotation for each track that overlaps it."""
        images, annotations = self._files
        size = (frame.fit.width, frame.fit.height) if frame.fit else (self._info.width, self._info.height)
        tracks, boxes = clip_tracks(tracks, *size, frame.fit, self._info.clip)
        try:
            images.write(self._item(image_entry(frame.index, frame.time, size, self._info.name), self._image_count))
            self._image_count += 1
            for i, box in enumerate(boxes):
                annotations.write(self._item(self._annotation(frame, size, tracks, i, box), self._annotation_count))
                self._annotation_count += 1
        except OSError as error:
            raise self._fail(error) from None

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
            self._move_to_path()
        except OSError as error:
            raise self._fail(error) from None
        self._discard()

    def _move_to_path(self) -> None:
        wanted = self.path
        for name in numbered_names(wanted.stem):
            self.path = wanted.with_name(name + wanted.suffix)
            with suppress(FileExistsError):
                move_file(self._parts[0], self.path, self._overwrite)
                break
        if self.path != wanted:
            logger.warning("something else was written to %s during the run: the tracks are in %s", wanted, self.path)

    def _annotation(
        self, frame: Frame, size: tuple[int, int], tracks: Tracks, index: int, box: Floats
    ) -> dict[str, Any]:
        width, height = size
        annotation = {
            "id": self._annotation_count + FIRST_ID,
            "image_id": frame.index + FIRST_ID,
            "category_id": int(tracks.labels[index]) + FIRST_ID,
            "track_id": int(tracks.ids[index]),
            "bbox": xyxy_to_bbox(box),
            "area": round(float(area(box)), 2),
            "iscrowd": 0,
            "score": round(float(tracks.scores[index]), 4),
            "observed": bool(tracks.observed[index]),
        }
        if "masks" in tracks.data:
            mask_box = tracks.data["mask_boxes"][index]
            if frame.fit:
                mask_box = frame.fit.to_picture(mask_box[None])[0]
            part = patch(tracks.data["masks"][index], mask_box, width, height)
            annotation["area"] = int(part.pixels.sum()) or annotation["area"]
            annotation["segmentation"] = {"size": [height, width], "counts": run_lengths(part, width, height)}
        if "fine_classes" in tracks.data and tracks.data["fine_classes"][index]:
            annotation["fine_class"] = str(tracks.data["fine_classes"][index])
            annotation["fine_score"] = round(float(tracks.data["fine_scores"][index]), 4)
        return annotation

    @staticmethod
    def _item(item: dict[str, Any], count: int) -> bytes:
        return (("," if count else "") + "\n" + json.dumps(item)).encode()

    def _fail(self, error: OSError) -> InputError:
        """Removes the files after a failed write, as a part of a JSON file is useless, and returns the error."""
        self._discard()
        return write_error(self.path, error, result="nothing of it is kept")

    def _discard(self) -> None:
        for file in self._files:
            with suppress(OSError):  # flushing to a full disk fails again
                file.close()
        for part in self._parts:
            remove_file(part)
        self._files = []
