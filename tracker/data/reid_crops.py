"""Re-ID datasets, read in place: named as in Market-1501, with a folder for each identity, or of the MOTChallenge."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tracker.data.annotations.load import read_image_set
from tracker.data.annotations.mot import ground_truth_boxes, list_sequences
from tracker.data.image_files import list_images, read_image
from tracker.errors import InputError

log = logging.getLogger(__name__)

FORMATS = "files named ID_cCAMERA... as in Market-1501, a folder for each identity, or MOTChallenge sequences"
TRACKS_CSV = "tracks.csv"
"""Table beside the folders of a video's tracks, which `track crops` writes."""
FULL_IMAGE = (0.0, 0.0, np.inf, np.inf)
_MARKET_NAME = re.compile(r"(-?\d+)_c(\d+)")
LEAST_SIDE = 32
"""Pixels of the larger side of an object from which on it is a crop to learn from."""
FIRST_ID = 1
"""The least id of an identity: in Market-1501, 0 is that of distractors and -1 that of junk; the MOTChallenge's files
have -1 where no identity is known."""


class ReIDSample(NamedTuple):
    """A crop of a known identity."""

    file: Path
    box: tuple[float, float, float, float]  # xyxy, pixels of the image; `FULL_IMAGE` is all of it
    identity: str
    camera: int  # its number; -1 where it is unknown


@dataclass(frozen=True, eq=False)
class ReIDDataset:
    """N crops of known identities.

    Attributes:
        files: The image of each crop.
        boxes: float32 (N, 4) xyxy, pixels of that image; `FULL_IMAGE` is all of it.
        ids: int64 (N,), the identity of each crop, an index into `identities`.
        cameras: int64 (N,); a crop whose camera is unknown has a negative number of its own.
        identities: Names by id, sorted.
    """

    files: tuple[Path, ...]
    boxes: NDArray[np.float32]
    ids: NDArray[np.int64]
    cameras: NDArray[np.int64]
    identities: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)

    @classmethod
    def from_samples(cls, samples: Sequence[ReIDSample]) -> Self:
        """Creates a dataset of crops, in their order."""
        identities = tuple(sorted({sample.identity for sample in samples}))
        cameras = [sample.camera if sample.camera >= 0 else -1 - row for row, sample in enumerate(samples)]
        return cls(
            tuple(sample.file for sample in samples),
            np.array([sample.box for sample in samples], np.float32).reshape(-1, 4),
            np.searchsorted(np.array(identities), np.array([s.identity for s in samples])).astype(np.int64),
            np.array(cameras, np.int64),
            identities,
        )

    def has_positives(self) -> NDArray[np.bool_]:
        """Returns, bool (I,), for each of the I identities whether several cameras show it.

        Where cameras are unknown, several images of it are enough.
        """
        views = np.unique(np.stack([self.ids, self.cameras]), axis=1)
        return np.bincount(views[0], minlength=len(self.identities)) > 1

    def select_identities(self, ids: Sequence[int]) -> Self:
        """Returns the crops of some identities, which keep their names and get new ids."""
        selected = sorted(ids)
        subset = self.select(np.flatnonzero(np.isin(self.ids, selected)))
        new_ids = np.searchsorted(selected, subset.ids).astype(np.int64)
        return replace(subset, ids=new_ids, identities=tuple(self.identities[n] for n in selected))

    def select(self, rows: NDArray[np.int64]) -> Self:
        """Returns some of the crops; all identities keep their ids."""
        files = tuple(self.files[row] for row in rows)
        return replace(self, files=files, boxes=self.boxes[rows], ids=self.ids[rows], cameras=self.cameras[rows])

    def with_unlabeled(self, others: "ReIDDataset") -> Self:
        """Returns these crops and then others, whose identities count as unknown: their id is -1."""
        return replace(
            self,
            files=self.files + others.files,
            boxes=np.concatenate([self.boxes, others.boxes]),
            ids=np.concatenate([self.ids, np.full(len(others), -1)]),
            cameras=np.concatenate([self.cameras, others.cameras]),
        )


def read_reid_dataset(paths: Sequence[Path]) -> ReIDDataset:
    """Finds the crops in folders, in order of their names; no image is opened.

    - Files named as in Market-1501, `ID_cCAMERA...`: files of one name in several folders count as one image. The ids
      0 and -1, distractors and junk, are no identities: they are left out, and their number is logged.
    - A folder for each identity, which has its name; the camera is unknown. Where `track crops` made the folders, one
      that was moved into an identity's folder is part of that identity.
    - Sequences of the MOTChallenge with images: objects that count and are visible are crops; the camera is unknown.
      Ids below 1 are left out likewise.

    Raises:
        InputError: A folder cannot be read, a file's name lacks identity and camera, or there is no crop.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "0001_c1.jpg").touch()
        ...     read_reid_dataset([Path(folder)]).identities
        ('000001',)
    """
    samples: dict[str, ReIDSample] = {}
    for path in paths:
        try:
            in_folder = _read_folder(path, f"{path}/" if len(paths) > 1 else "")
        except OSError as error:
            raise InputError(f"cannot read the crops in {path}: {error.strerror}; give {FORMATS}") from None
        if not in_folder:
            raise InputError(f"there are no crops in {path}: give {FORMATS}")
        samples |= in_folder
    return ReIDDataset.from_samples([samples[key] for key in sorted(samples)])


def read_object_crops(path: Path, categories: Sequence[str]) -> ReIDDataset:
    """Finds the annotated objects of some classes; each counts as an identity of its own.

    Objects whose larger side has less than `LEAST_SIDE` pixels are left out.

    Args:
        path: Annotated images, see `read_image_set`.
        categories: Names of classes.

    Raises:
        InputError: The annotations cannot be read, or have no such object.
    """
    image_set = read_image_set(path, {})
    labels = [label for label, name in enumerate(image_set.categories) if name in categories]
    samples = [
        ReIDSample(image.path, tuple(box.tolist()), f"{number:09}", -1)
        for number, (image, box) in enumerate(
            (image, box)
            for image in image_set.images
            for box in image.boxes[np.isin(image.labels, labels)]
            if max(box[2:] - box[:2]) >= LEAST_SIDE
        )
    ]
    if not samples:
        raise InputError(f"{path} has no objects of {', '.join(categories)} with {LEAST_SIDE} pixels: check categories")
    return ReIDDataset.from_samples(samples)


def read_crop(dataset: ReIDDataset, row: int, margin: float = 0.0) -> NDArray[np.uint8]:
    """Reads the pixels of a crop: those that its box touches, at least one.

    Args:
        dataset: The dataset.
        row: Index of the crop.
        margin: Margin that is added on each side, relative to the crop's sides. Beyond the edge of the image it is
            filled by reflection.

    Returns:
        uint8 (h, w, 3) RGB.

    Raises:
        InputError: The image cannot be read, or the box lies outside of it.
    """
    pixels = read_image(dataset.files[row])
    height, width = pixels.shape[:2]
    box = dataset.boxes[row].clip(0, (width, height, width, height))
    (x1, y1), (x2, y2) = np.floor(box[:2]).astype(int).tolist(), np.ceil(box[2:]).astype(int).tolist()
    if x1 >= x2 or y1 >= y2:
        message = f"{dataset.files[row]} is {width} x {height}: it does not reach to the box {dataset.boxes[row]}"
        raise InputError(message)
    margin_x, margin_y = round(margin * (x2 - x1)), round(margin * (y2 - y1))
    left, top, right, bottom = x1 - margin_x, y1 - margin_y, x2 + margin_x, y2 + margin_y
    crop = pixels[max(top, 0) : bottom, max(left, 0) : right]
    padding = (max(-top, 0), max(bottom - height, 0)), (max(-left, 0), max(right - width, 0)), (0, 0)
    return np.pad(crop, padding, mode="reflect") if np.any(padding) else crop


def split_by_identity(dataset: ReIDDataset, fraction: float, seed: int) -> tuple[ReIDDataset, ReIDDataset]:
    """Splits a dataset into two without a common identity.

    The second one gets about this fraction of the identities that have positives (`ReIDDataset.has_positives`). The
    others cannot be retrieved, and stay in the first one.
    """
    candidates = np.flatnonzero(dataset.has_positives())
    second = set(np.random.default_rng(seed).permutation(candidates)[: round(fraction * len(candidates))].tolist())
    first = set(range(len(dataset.identities))) - second
    return dataset.select_identities(sorted(first)), dataset.select_identities(sorted(second))


def _read_folder(path: Path, prefix: str) -> dict[str, ReIDSample]:
    """Returns the crops of a folder by a sort key; `prefix` tells its identities from those of other folders."""
    if sequences := list_sequences(path):
        boxes = [(folder, box) for folder in sequences for box in ground_truth_boxes(folder)]
        _tell_left_out(path, [box.id for _, box in boxes])
        return {
            f"{folder}/{box.id:09}/{box.file}": ReIDSample(box.file, box.box, f"{prefix}{folder.name}/{box.id}", -1)
            for folder, box in boxes
            if box.id >= FIRST_ID
        }
    if any(entry.is_file() and _MARKET_NAME.match(entry.name) for entry in path.iterdir()):
        files = {file.name: (file, _MARKET_NAME.match(file.name)) for file in list_images(path) if file.parent == path}
        _tell_left_out(path, [int(match[1]) for _, match in files.values() if match])
        return {
            name: _market_sample(file, match)
            for name, (file, match) in files.items()
            if not match or int(match[1]) >= FIRST_ID
        }
    return _read_identity_folders(path, prefix)


def _tell_left_out(path: Path, ids: Sequence[int]) -> None:
    count = sum(number < FIRST_ID for number in ids)
    if count:
        log.warning("%d crops in %s have an id below 1, distractors and not identities: left out", count, path)


def _read_identity_folders(path: Path, prefix: str) -> dict[str, ReIDSample]:
    """Reads a folder for each identity; returns what `_read_folder` does."""
    videos = {table.parent for table in path.rglob(TRACKS_CSV)}
    samples = {}
    for file in list_images(path):
        if file.parent in (path, *videos):
            raise InputError(
                f"the name of {file} does not start with identity and camera, as 0004_c1_02.jpg does, and it lies in "
                "no folder of its identity"
            )
        folder = next((folder for folder in file.parents if folder.parent in videos), file.parent)
        name = f"{prefix}{folder.relative_to(path).as_posix()}"
        samples[f"{prefix}{file.relative_to(path).as_posix()}"] = ReIDSample(file, FULL_IMAGE, name, -1)
    return samples


def _market_sample(file: Path, match: "re.Match[str] | None") -> ReIDSample:
    if match is None:
        raise InputError(f"the name of {file} does not start with identity and camera, as 0004_c1_02.jpg does")
    return ReIDSample(file, FULL_IMAGE, f"{int(match[1]):06}", int(match[2]))
