"""Which crops are compared with which: queries with a gallery."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.data import ReIDDataset
from tracker.evaluation.reid.separation import VerificationCurve
from tracker.pipeline.run_record import file_hash


@dataclass(frozen=True, eq=False)
class QueryGallery:
    """Who is compared with whom: each query with all of a gallery, but never with its own picture.

    Attributes:
        embeddings: float32 (N, D), unit rows.
        crops: The N crops.
        pictures: int64 (N,), the same number for crops of the same pixels.
        queries: So many of the first crops are the queries, and the others the gallery; 0: all crops are both.
    """

    embeddings: NDArray[np.float32]
    crops: ReIDDataset
    pictures: NDArray[np.int64]
    queries: int

    @classmethod
    def of(cls, embeddings: NDArray[np.float32], crops: ReIDDataset, queries: int = 0) -> "QueryGallery":
        """Finds out which crops are of the same pixels."""
        return cls(embeddings, crops, image_ids(crops), queries)

    @property
    def query_rows(self) -> NDArray[np.int64]:
        """Rows of the crops that are queries."""
        return np.arange(self.queries or len(self.crops))

    @property
    def gallery_rows(self) -> NDArray[np.int64]:
        """Rows of the crops that are in the gallery."""
        return np.arange(self.queries, len(self.crops))

    def pairs(self, queries: NDArray[np.int64]) -> "Pairs":
        """Some queries, by their rows, against the gallery."""
        gallery, crops = self.gallery_rows, self.crops
        cameras = crops.cameras[queries, None]
        return Pairs(
            distances=np.asarray(1 - self.embeddings[queries] @ self.embeddings[gallery].T, np.float32),
            same=crops.ids[queries, None] == crops.ids[gallery],
            one_camera=(cameras == crops.cameras[gallery]) & (cameras >= 0),
            same_image=self.pictures[queries, None] == self.pictures[gallery],
        )

    def to_means(self, queries: NDArray[np.int64], pairs: "Pairs") -> VerificationCurve:
        """Distances of queries to the mean of each individual's crops in the gallery, their own picture left out.

        Args:
            queries: Their rows.
            pairs: These queries against the gallery.
        """
        who, gallery = self.crops.ids[queries], self.embeddings[self.gallery_rows]
        belongs = self.crops.ids[self.gallery_rows] == np.arange(len(self.crops.identities))[:, None]
        itself = pairs.same_image & pairs.same
        every = np.arange(len(queries))
        sums = belongs.astype(np.float32) @ gallery
        own = sums[who] - itself.astype(np.float32) @ gallery
        products, lengths = self.embeddings[queries] @ sums.T, np.tile(np.linalg.norm(sums, axis=1), (len(queries), 1))
        counts = np.tile(belongs.sum(1), (len(queries), 1))
        products[every, who] = (self.embeddings[queries] * own).sum(1)
        lengths[every, who] = np.linalg.norm(own, axis=1)
        counts[every, who] -= itself.sum(1)
        same = who[:, None] == np.arange(len(sums))
        distances = 1 - products / np.maximum(lengths, np.float32(1e-12))
        return VerificationCurve.of(distances, same, counts > 0)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Q queries against G crops of the gallery, (Q, G) each.

    Attributes:
        distances: float32, cosine distances.
        same: Whether both show one individual.
        one_camera: Whether one known camera saw both.
        same_image: Whether both have the same pixels.
    """

    distances: NDArray[np.float32]
    same: NDArray[np.bool_]
    one_camera: NDArray[np.bool_]
    same_image: NDArray[np.bool_]

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which pairs count for a ranking by the rules of Market-1501."""
        return ~self.same_image & ~(self.same & self.one_camera)

    @property
    def across(self) -> NDArray[np.bool_]:
        """Which pairs count where only other cameras do."""
        return ~self.same_image & ~self.one_camera


def image_ids(crops: ReIDDataset) -> NDArray[np.int64]:
    """int64 (N,): a number for each crop, the same for copies of one file and for parts of such at the same place."""
    sizes = {file: file.stat().st_size for file in crops.files}
    frequent = Counter(sizes.values())
    contents = {file: file_hash(file) if frequent[size] > 1 else str(file) for file, size in sizes.items()}
    keys = [(contents[file], *box) for file, box in zip(crops.files, crops.boxes.tolist(), strict=True)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], np.int64)
