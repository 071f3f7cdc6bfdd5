"""Crops that show known individuals, read in place: named as in Market-1501, a folder each, or of the MOTChallenge."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tracker.data.annotations.mot import followed, sequences_in
from tracker.data.image_files import pictures_in, read_image
from tracker.errors import InputError

LAYOUTS = "files named ID_cCAMERA... as in Market-1501, a folder for each individual, or MOTChallenge sequences"
TABLE = "tracks.csv"
"""Lies beside the folders of a video's tracks: `track crops` wrote them."""
WHOLE = (0.0, 0.0, np.inf, np.inf)
_NAME = re.compile(r"(-?\d+)_c(\d+)")
_JUNK = -1  # Market-1501's id of what shows nobody


class ReIDSample(NamedTuple):
    """A crop, as a layout names it.

    Attributes:
        file: The picture.
        box: Of the crop, xyxy, pixels of the picture; `WHOLE` is all of it.
        individual: Whom it shows.
        camera: Which saw it; -1 where that is unknown.
    """

    file: Path
    box: tuple[float, float, float, float]
    individual: str
    camera: int


@dataclass(frozen=True, eq=False)
class ReIDDataset:
    """Crops of known individuals.

    Attributes:
        files: The picture of each crop.
        boxes: float32 (N, 4) xyxy, pixels of that picture; `WHOLE` is all of it.
        ids: int64 (N,), of whom each shows: numbers in `identities`.
        cameras: int64 (N,); where it is unknown a crop has a negative number of its own.
        individuals: Names by id, sorted.
    """

    files: tuple[Path, ...]
    boxes: NDArray[np.float32]
    ids: NDArray[np.int64]
    cameras: NDArray[np.int64]
    identities: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)

    @classmethod
    def of(cls, crops: Sequence[ReIDSample]) -> Self:
        """The crops in their order."""
        identities = tuple(sorted({crop.individual for crop in crops}))
        cameras = [crop.camera if crop.camera >= 0 else -1 - row for row, crop in enumerate(crops)]
        return cls(
            tuple(crop.file for crop in crops),
            np.array([crop.box for crop in crops], np.float32).reshape(-1, 4),
            np.searchsorted(np.array(identities), np.array([c.individual for c in crops])).astype(np.int64),
            np.array(cameras, np.int64),
            identities,
        )

    def seen_again(self) -> NDArray[np.bool_]:
        """By individual, bool (I,): who is shown by two cameras, where these are known, or else in two pictures."""
        sightings = np.unique(np.stack([self.ids, self.cameras]), axis=1)
        return np.bincount(sightings[0], minlength=len(self.identities)) > 1

    def of_individuals(self, ids: Sequence[int]) -> Self:
        """The crops of some individuals, who keep their names and get new numbers."""
        kept = sorted(ids)
        part = self.of_rows(np.flatnonzero(np.isin(self.ids, kept)))
        numbers = np.searchsorted(kept, part.ids).astype(np.int64)
        return replace(part, ids=numbers, identities=tuple(self.identities[n] for n in kept))

    def of_rows(self, rows: NDArray[np.int64]) -> Self:
        """Some crops; all individuals keep their numbers."""
        files = tuple(self.files[row] for row in rows)
        return replace(self, files=files, boxes=self.boxes[rows], ids=self.ids[rows], cameras=self.cameras[rows])


def read_crops(paths: Sequence[Path]) -> ReIDDataset:
    """Finds the crops in folders, in order of their names; no picture is opened.

    Named as in Market-1501, `ID_cCAMERA...`, files of one name in several folders are taken to be one picture, and the
    id -1 is left out. With a folder for each individual that is its name; the camera is unknown. Where
    `track crops` made the folders, one that was put into an individual's folder is part of that individual. In
    sequences of the MOTChallenge with pictures, objects are crops where they count and are visible; the camera is
    unknown.

    Raises:
        InputError: A folder cannot be read, a file's name says no individual and camera, or there is no crop.
    """
    crops: dict[str, ReIDSample] = {}
    for path in paths:
        try:
            found = _crops_in(path, f"{path}/" if len(paths) > 1 else "")
        except OSError as error:
            raise InputError(f"cannot read the crops in {path}: {error.strerror}; give {LAYOUTS}") from None
        if not found:
            raise InputError(f"there are no crops in {path}: give {LAYOUTS}")
        crops |= found
    return ReIDDataset.of([crops[key] for key in sorted(crops)])


def read_crop(crops: ReIDDataset, row: int, around: float = 0.0) -> NDArray[np.uint8]:
    """The pixels of a crop, uint8 (h, w, 3) RGB: those that its box touches, at least one.

    Args:
        crops: Of which one is read.
        row: Its number.
        around: How much more is read on each side, relative to the crop's sides: what the picture shows there, and
            beyond the picture's edge what it shows before it, mirrored.

    Raises:
        InputError: The picture cannot be read, or does not reach to the box.
    """
    pixels = read_image(crops.files[row])
    height, width = pixels.shape[:2]
    box = crops.boxes[row].clip(0, (width, height, width, height))
    (x1, y1), (x2, y2) = np.floor(box[:2]).astype(int).tolist(), np.ceil(box[2:]).astype(int).tolist()
    if x1 >= x2 or y1 >= y2:
        raise InputError(f"{crops.files[row]} is {width} x {height}: it does not reach to the box {crops.boxes[row]}")
    across, along = round(around * (x2 - x1)), round(around * (y2 - y1))
    left, top, right, bottom = x1 - across, y1 - along, x2 + across, y2 + along
    cut = pixels[max(top, 0) : bottom, max(left, 0) : right]
    beyond = (max(-top, 0), max(bottom - height, 0)), (max(-left, 0), max(right - width, 0)), (0, 0)
    return np.pad(cut, beyond, mode="reflect") if np.any(beyond) else cut


def split_by_individual(crops: ReIDDataset, share: float, seed: int) -> tuple[ReIDDataset, ReIDDataset]:
    """Two sets without an individual in common; the second has about this share of those who are seen again.

    Who is seen once only cannot be looked for, and stays in the first set.
    """
    again = np.flatnonzero(crops.seen_again())
    held = set(np.random.default_rng(seed).permutation(again)[: round(share * len(again))].tolist())
    return crops.of_individuals(sorted(set(range(len(crops.identities))) - held)), crops.of_individuals(sorted(held))


def _crops_in(path: Path, prefix: str) -> dict[str, ReIDSample]:
    """The crops of a folder, by a key to sort them by; `prefix` tells its individuals from those of other folders."""
    sequences = sequences_in(path)
    if sequences:
        things = [(folder, thing) for folder in sequences for thing in followed(folder)]
        return {
            f"{folder}/{thing.id:09}/{thing.file}": ReIDSample(
                thing.file, thing.box, f"{prefix}{folder.name}/{thing.id}", -1
            )
            for folder, thing in things
        }
    if any(entry.is_file() and _NAME.match(entry.name) for entry in path.iterdir()):
        named = {file.name: (file, _NAME.match(file.name)) for file in pictures_in(path) if file.parent == path}
        return {
            name: _named(file, match) for name, (file, match) in named.items() if not match or int(match[1]) > _JUNK
        }
    return _by_folder(path, prefix)


def _by_folder(path: Path, prefix: str) -> dict[str, ReIDSample]:
    """With a folder for each individual; what `_crops_in` gives."""
    videos = {table.parent for table in path.rglob(TABLE)}
    crops = {}
    for file in pictures_in(path):
        if file.parent in (path, *videos):
            raise InputError(
                f"the name of {file} does not start with individual and camera, as 0004_c1_02.jpg does, and it lies in "
                "no folder of its individual"
            )
        folder = next((folder for folder in file.parents if folder.parent in videos), file.parent)
        name = f"{prefix}{folder.relative_to(path).as_posix()}"
        crops[f"{prefix}{file.relative_to(path).as_posix()}"] = ReIDSample(file, WHOLE, name, -1)
    return crops


def _named(file: Path, match: "re.Match[str] | None") -> ReIDSample:
    if match is None:
        raise InputError(f"the name of {file} does not start with individual and camera, as 0004_c1_02.jpg does")
    return ReIDSample(file, WHOLE, f"{int(match[1]):06}", int(match[2]))
