"""What the tracks look like, as one array: their latest embeddings, or a moving average of them."""

import numpy as np
from numpy.typing import NDArray

Embeddings = NDArray[np.float32]
Indices = NDArray[np.int64]

_CHUNK = 256
"""Pairs compared at a time: bounds the memory that gathering their galleries takes."""


class Gallery:
    """Unit vectors of each track, kept in slots that are handed out and taken back."""

    def __init__(self, size: int, width: int, momentum: float = 0.0) -> None:
        """Starts without slots.

        Args:
            size: Embeddings kept in a slot, the latest ones.
            width: Numbers in an embedding.
            momentum: Share of the old in a moving average, which is then all that a slot keeps; 0 keeps `size`
                embeddings instead. Source: arXiv 2202.13514, equation 1.
        """
        self._momentum = momentum
        self._vectors = np.zeros((0, 1 if momentum else size, width), np.float32)
        self._added = np.zeros(0, np.int64)  # to each slot so far
        self._free: list[int] = []

    @property
    def width(self) -> int:
        """Numbers in an embedding."""
        return self._vectors.shape[2]

    def allocate(self, embeddings: Embeddings) -> Indices:
        """Slots, int64 (N,), that hold one embedding each, of float32 (N, D)."""
        if len(self._free) < len(embeddings):
            self._grow(max(len(embeddings), len(self._added), 8))
        slots = np.array([self._free.pop() for _ in embeddings], np.int64)
        # Repeating the first vector in the places still empty does not change the nearest one, and saves a mask.
        self._vectors[slots] = embeddings[:, None]
        self._added[slots] = 1
        return slots

    def release(self, slots: Indices) -> None:
        """Takes slots, int64 (N,), back for other tracks."""
        self._free.extend(slots.tolist())

    def add(self, slots: Indices, embeddings: Embeddings) -> None:
        """Adds a row of float32 (N, D) to each of N distinct slots, in the place of its oldest where it is full."""
        if self._momentum:
            mixed = self._momentum * self._vectors[slots, 0] + (1 - self._momentum) * embeddings
            length = np.sqrt(np.einsum("nd,nd->n", mixed, mixed))[:, None]
            self._vectors[slots, 0] = mixed / np.maximum(length, np.float32(1e-12))
            return
        self._vectors[slots, self._added[slots] % self._vectors.shape[1]] = embeddings
        self._added[slots] += 1

    def cosine_distance(self, slots: Indices, embeddings: Embeddings, rows: Indices) -> NDArray[np.float64]:
        """Least cosine distance, 0 to 2, of embeddings to what is in slots, pair by pair.

        Args:
            slots: int64 (P,), may repeat.
            embeddings: float32 (N, D), unit rows.
            rows: int64 (P,), the embedding of each pair, may repeat.

        Returns:
            float64 (P,). Source: arXiv 1703.07402, equation 3.
        """
        if self._vectors.shape[1] == 1:
            likeness = np.einsum("pd,pd->p", self._vectors[slots, 0], embeddings[rows])
            return 1 - np.asarray(likeness, np.float64)
        nearest = np.empty(len(slots))
        for start in range(0, len(slots), _CHUNK):
            part = slice(start, start + _CHUNK)
            nearest[part] = (self._vectors[slots[part]] @ embeddings[rows[part], :, None]).max(axis=(1, 2))
        return 1 - nearest

    def _grow(self, count: int) -> None:
        old = len(self._added)
        self._vectors = np.concatenate([self._vectors, np.zeros((count, *self._vectors.shape[1:]), np.float32)])
        self._added = np.concatenate([self._added, np.zeros(count, np.int64)])
        self._free.extend(range(old + count - 1, old - 1, -1))
