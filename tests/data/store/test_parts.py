"""Stored detections: what is written is read, part by part, whole or not at all."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tracker.data.store import PartReader, PartWriter, StoredFrame, StoreInfo, part_paths, to_stored_precision
from tracker.errors import InputError
from tracker.structures.fit import Fit
from tracker.structures.types import Detections

INFO = StoreInfo("clip", ("person", "car"), 64, 48, Fraction(30000, 1001), Fraction(1, 90000), 4, "builtin", (0,))
FULL = StoreInfo(
    "clip", ("person", "car"), 64, 48, Fraction(5), Fraction(1, 5), 4, "a", (0,), 0.4, ("red", "blue", "green"), (1,), 2
)


def stored_frame(index: int, count: int, info: StoreInfo, rate: int = 5) -> StoredFrame:
    """Returns a frame with random values."""
    random = np.random.default_rng(index)
    masks = random.integers(0, 255, (count, info.mask_size, info.mask_size), np.uint8)
    detections = Detections(
        random.uniform(0, 64, (count, 4)).astype(np.float32),
        random.uniform(0, 1, count).astype(np.float32),
        random.integers(0, 2, count),
        {"masks": masks} if info.mask_size else {},
    )
    embeddings = to_stored_precision(random.uniform(-1, 1, (count, info.embedding_size)).astype(np.float32))
    probabilities = random.uniform(0, 1, (count, len(info.fine_categories))).astype(np.float32)
    fit = Fit(30, 40, 1, 2, 20, 30) if index % 7 == 3 else None
    return StoredFrame(
        index, index * 18000, index / rate, detections, embeddings, probabilities, detector_ran=index % 3 < 2, fit=fit
    )


def assert_same(one: StoredFrame, other: StoredFrame) -> None:
    assert (one.index, one.pts, one.time, one.detector_ran) == (other.index, other.pts, other.time, other.detector_ran)
    assert one.fit == other.fit and one.detections.data.keys() == other.detections.data.keys()
    for a, b in [
        (one.detections.boxes, other.detections.boxes),
        (one.detections.scores, other.detections.scores),
        (one.detections.labels, other.detections.labels),
        (one.embeddings, other.embeddings),
        (one.class_probs, other.class_probs),
        *((one.detections.data[name], other.detections.data[name]) for name in one.detections.data),
    ]:
        assert a.dtype == b.dtype and np.array_equal(a, b)


@pytest.mark.parametrize("info", [INFO, FULL])
def test_what_is_written_is_read(tmp_path: Path, info: StoreInfo) -> None:
    (tmp_path / "detections").mkdir()
    frames = [stored_frame(n, n % 4, info) for n in range(120)]
    writer = PartWriter(tmp_path / "detections", info)
    for frame in frames:
        writer.write(frame)
    assert [path.name for path in part_paths(tmp_path)] == ["part-00000000.parquet", "part-00000010.parquet"]
    assert PartReader(tmp_path).complete_until == 99
    writer.finish(complete=False)
    reader = PartReader(tmp_path)
    assert (reader.info, reader.last_frame, reader.complete_until) == (info, 119, 99)
    for one, other in zip(reader.frames(), frames, strict=True):
        assert_same(one, other)
    found = reader.find(40)
    assert found is not None and found.index == 40 and reader.find(500) is None


def test_kept_parts_are_not_written_again(tmp_path: Path) -> None:
    (tmp_path / "detections").mkdir()
    frames = [stored_frame(n, 2, INFO) for n in range(120)]

    def write(kept: int) -> dict[str, bytes]:
        writer = PartWriter(tmp_path / "detections", INFO, kept)
        for frame in frames:
            writer.write(frame)
        writer.finish(complete=True)
        return {path.name: path.read_bytes() for path in part_paths(tmp_path)}

    first = write(-1)
    part_paths(tmp_path)[0].write_bytes(b"kept")
    second = write(49)
    assert second.pop("part-00000000.parquet") == b"kept" and second.items() <= first.items()


def test_a_broken_part_gets_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "detections").mkdir()
    with pytest.raises(InputError, match="has no stored detections"):
        PartReader(tmp_path)
    (tmp_path / "detections" / "part-00000000.parquet").write_bytes(b"PAR1 or so")
    with pytest.raises(InputError, match=r"part-00000000.parquet cannot be read \(.*\): remove it"):
        PartReader(tmp_path)


def test_the_stored_precision_moves_no_distance_by_much() -> None:
    random = np.random.default_rng(0)
    for size in (3, 128, 512):
        vectors = random.normal(size=(200, size)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        stored = to_stored_precision(vectors)
        assert np.array_equal(to_stored_precision(stored), stored) and stored.dtype == np.float32
        error = np.abs(stored @ stored.T - vectors @ vectors.T)
        assert error.mean() < 0.006 and error.max() < 0.06
