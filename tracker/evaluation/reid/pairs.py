"""Pairs queries with gallery crops, by the rules of Market-1501."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.data import ReIDDataset
from tracker.evaluation.reid.separation import VerificationCurve
from tracker.pipeline.run_record import file_hash


@dataclass(frozen=True, eq=False)
class QueryGallery:
    """Queries and a gallery; a query is never compared with its own image.

    Attributes:
        embeddings: float32 (N, D), unit rows.
        crops: The N crops.
        image_ids: int64 (N,), equal for crops of the same pixels.
        queries: Number of the first crops that are the queries, the others being the gallery; 0: all crops are both.
    """

    embeddings: NDArray[np.float32]
    crops: ReIDDataset
    image_ids: NDArray[np.int64]
    queries: int

    @classmethod
    def from_crops(cls, embeddings: NDArray[np.float32], crops: ReIDDataset, queries: int = 0) -> "QueryGallery":
        """Creates the object, with the ids of the images."""
        return cls(embeddings, crops, image_ids(crops), queries)

    @property
    def query_indices(self) -> NDArray[np.int64]:
        """Indices of the crops that are queries."""
        return np.arange(self.queries or len(self.crops))

    @property
    def gallery_indices(self) -> NDArray[np.int64]:
        """Indices of the crops that are in the gallery."""
        return np.arange(self.queries, len(self.crops))

    def pairs(self, queries: NDArray[np.int64]) -> "Pairs":
        """Pairs some queries, given by their indices, with the whole gallery."""
        gallery, crops = self.gallery_indices, self.crops
        cameras = crops.cameras[queries, None]
        return Pairs(
            distances=np.asarray(1 - self.embeddings[queries] @ self.embeddings[gallery].T, np.float32),
            same=crops.ids[queries, None] == crops.ids[gallery],
            same_camera=(cameras == crops.cameras[gallery]) & (cameras >= 0),
            same_image=self.image_ids[queries, None] == self.image_ids[gallery],
        )

    def distances_to_means(self, queries: NDArray[np.int64], pairs: "Pairs") -> VerificationCurve:
        """Counts distances of queries to the mean of each identity's gallery crops, without the query's own image.

        Args:
            queries: Their indices.
            pairs: These queries and the gallery.
        """
        identities, gallery = self.crops.ids[queries], self.embeddings[self.gallery_indices]
        is_identity = self.crops.ids[self.gallery_indices] == np.arange(len(self.crops.identities))[:, None]
        is_itself = pairs.same_image & pairs.same
        rows = np.arange(len(queries))
        sums = is_identity.astype(np.float32) @ gallery
        own_sums = sums[identities] - is_itself.astype(np.float32) @ gallery
        dot_products = self.embeddings[queries] @ sums.T
        norms = np.tile(np.linalg.norm(sums, axis=1), (len(queries), 1))
        counts = np.tile(is_identity.sum(1), (len(queries), 1))
        dot_products[rows, identities] = (self.embeddings[queries] * own_sums).sum(1)
        norms[rows, identities] = np.linalg.norm(own_sums, axis=1)
        counts[rows, identities] -= is_itself.sum(1)
        same = identities[:, None] == np.arange(len(sums))
        distances = 1 - dot_products / np.maximum(norms, np.float32(1e-12))
        return VerificationCurve.from_distances(distances, same, counts > 0)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Q queries and G gallery crops, (Q, G) each.

    Attributes:
        distances: float32, cosine distances.
        same: True for the same identity.
        same_camera: True for the same known camera.
        same_image: True for the same pixels.
    """

    distances: NDArray[np.float32]
    same: NDArray[np.bool_]
    same_camera: NDArray[np.bool_]
    same_image: NDArray[np.bool_]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Pairs that Market-1501 evaluates: not the same identity from the same camera."""
        return ~self.same_image & ~(self.same & self.same_camera)

    @property
    def cross_camera(self) -> NDArray[np.bool_]:
        """Pairs of different cameras."""
        return ~self.same_image & ~self.same_camera


def image_ids(crops: ReIDDataset) -> NDArray[np.int64]:
    """Returns int64 (N,): an id for each crop, equal for copies of a file and for the same box in such copies."""
    sizes = {file: file.stat().st_size for file in crops.files}
    size_counts = Counter(sizes.values())
    contents = {file: file_hash(file) if size_counts[size] > 1 else str(file) for file, size in sizes.items()}
    keys = [(contents[file], *box) for file, box in zip(crops.files, crops.boxes.tolist(), strict=True)]
    ids = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    return np.array([ids[key] for key in keys], np.int64)
