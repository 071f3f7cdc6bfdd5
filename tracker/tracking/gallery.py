"""The appearance of all tracks as one array: the latest embeddings of each, or their moving average."""

import numpy as np
from numpy.typing import NDArray

from tracker.tracking.candidate_pairs import Indices

Embeddings = NDArray[np.float32]

_CHUNK = 256
"""Pairs that are compared at a time: bounds the memory of the copies of their embeddings."""


class Gallery:
    """The embeddings of each track, unit vectors, in entries that are allocated and released."""

    def __init__(self, size: int, dimension: int, momentum: float = 0.0) -> None:
        """Starts without entries, each of which is to hold the latest `size` embeddings of length `dimension`.

        If `momentum` is not 0, an entry holds a moving average instead, in which the old value has this weight.
        Source: arXiv 2202.13514, equation 1.
        """
        self._momentum = momentum
        self._vectors = np.zeros((0, 1 if momentum else size, dimension), np.float32)
        self._added = np.zeros(0, np.int64)  # embeddings added to each entry so far
        self._free: list[int] = []

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return self._vectors.shape[2]

    def allocate(self, embeddings: Embeddings) -> Indices:
        """Returns the indices, int64 (N,), of new entries that hold one embedding of float32 (N, D) each."""
        if len(self._free) < len(embeddings):
            self._grow(max(len(embeddings), len(self._added), 8))
        indices = np.array([self._free.pop() for _ in embeddings], np.int64)
        # Repeating the first vector where the entry is still empty leaves the nearest one as it is, and saves a mask.
        self._vectors[indices] = embeddings[:, None]
        self._added[indices] = 1
        return indices

    def get(self, indices: Indices) -> tuple[Embeddings, Indices]:
        """Returns what entries, int64 (N,), hold: float32 (N, S, D), and how many were added to each, int64 (N,)."""
        return self._vectors[indices], self._added[indices]

    def put(self, vectors: Embeddings, added: Indices) -> Indices:
        """Returns the indices, int64 (N,), of new entries that hold what `get` returned."""
        indices = self.allocate(vectors[:, 0])
        self._vectors[indices], self._added[indices] = vectors, added
        return indices

    def release(self, indices: Indices) -> None:
        """Frees entries, int64 (N,), for other tracks."""
        self._free.extend(indices.tolist())

    def add(self, indices: Indices, embeddings: Embeddings) -> None:
        """Adds a row of float32 (N, D) to each of N distinct entries; a full entry drops its oldest embedding."""
        if self._momentum:
            average = self._momentum * self._vectors[indices, 0] + (1 - self._momentum) * embeddings
            length = np.sqrt(np.einsum("nd,nd->n", average, average))[:, None]
            self._vectors[indices, 0] = average / np.maximum(length, np.float32(1e-12))
            return
        self._vectors[indices, self._added[indices] % self._vectors.shape[1]] = embeddings
        self._added[indices] += 1

    def cosine_distance(self, indices: Indices, embeddings: Embeddings, rows: Indices) -> NDArray[np.float64]:
        """Returns the least cosine distance of embeddings to entries, pair by pair, float64 (P,) from 0 to 2.

        Source: arXiv 1703.07402, equation 3.

        Args:
            indices: int64 (P,), the entry of each pair, may repeat.
            embeddings: float32 (N, D), unit rows.
            rows: int64 (P,), the embedding of each pair, may repeat.
        """
        if self._vectors.shape[1] == 1:
            similarity = np.einsum("pd,pd->p", self._vectors[indices, 0], embeddings[rows])
            return 1 - np.asarray(similarity, np.float64)
        nearest = np.empty(len(indices))
        for start in range(0, len(indices), _CHUNK):
            part = slice(start, start + _CHUNK)
            nearest[part] = (self._vectors[indices[part]] @ embeddings[rows[part], :, None]).max(axis=(1, 2))
        return 1 - nearest

    def _grow(self, count: int) -> None:
        old = len(self._added)
        self._vectors = np.concatenate([self._vectors, np.zeros((count, *self._vectors.shape[1:]), np.float32)])
        self._added = np.concatenate([self._added, np.zeros(count, np.int64)])
        self._free.extend(range(old + count - 1, old - 1, -1))
