"""Re-ID datasets are read from every layout, and crops of any shape."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from drawn_people import draw_people, write_sequence
from tracker.data import read_crop, read_reid_dataset, split_by_identity
from tracker.errors import InputError
from tracker.evaluation.reid import embed_crops
from tracker.models.reid import load_embedder


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def draw_coordinates(height: int, width: int) -> np.ndarray:
    """Returns uint8 (height, width, 3), whose channels are row, column and 0."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, 0 * rows], 2).astype(np.uint8)


def test_a_folder_for_each_identity(tmp_path: Path) -> None:
    for name in ("bessie", "clover", "night/daisy"):
        for number in range(2):
            save(tmp_path / name / f"{number}.png", np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "empty").mkdir()  # all of its crops were deleted
    crops = read_reid_dataset([tmp_path])
    assert crops.identities == ("bessie", "clover", "night/daisy")
    assert crops.ids.tolist() == [0, 0, 1, 1, 2, 2]
    assert len(set(crops.cameras.tolist())) == 6
    assert max(crops.cameras) < 0
    assert crops.has_positives().all()


def test_sequences_with_boxes_partly_outside(tmp_path: Path) -> None:
    frames = [draw_coordinates(30, 50)] * 2
    rows = [(1, 7, 11, 6, 10, 20), (1, 9, 46, 21, 20, 20), (2, 9, -4, 1, 10, 10)]
    sequence = write_sequence(tmp_path / "SEQ", frames, rows)
    crops = read_reid_dataset([sequence])
    assert crops.identities == ("SEQ/7", "SEQ/9")
    inside, right, left = (read_crop(crops, row) for row in range(3))
    np.testing.assert_array_equal(inside, frames[0][5:25, 10:20])
    np.testing.assert_array_equal(right, frames[0][20:30, 45:50])
    np.testing.assert_array_equal(left, frames[0][0:10, 0:5])


def test_a_crop_with_a_margin(tmp_path: Path) -> None:
    """The margin is cut out of the image, and reflected beyond its edge, so that the crop stays centered."""
    frame = draw_coordinates(30, 50)
    sequence = write_sequence(tmp_path / "SEQ", [frame], [(1, 1, 11, 9, 8, 12), (1, 2, 43, 21, 8, 8)])
    crops = read_reid_dataset([sequence])
    np.testing.assert_array_equal(read_crop(crops, 0, 0.25), frame[5:23, 8:20])
    corner = read_crop(crops, 1, 0.5)
    np.testing.assert_array_equal(corner[:, :, 0], np.tile([*range(16, 30), 28, 27], (16, 1)).T)
    np.testing.assert_array_equal(corner[:, :, 1], np.tile([*range(38, 50), 48, 47, 46, 45], (16, 1)))


def test_a_box_outside_of_its_image(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", np.zeros((4, 4, 3), np.uint8))
    crops = read_reid_dataset([tmp_path])
    crops.boxes[0] = (10, 10, 20, 20)
    with pytest.raises(InputError, match=r"1\.png is 4 x 4: it does not reach to the box"):
        read_crop(crops, 0)


def test_crops_of_any_shape_are_embedded(tmp_path: Path) -> None:
    """Gray images give what color ones would; a single pixel and very long crops are no problem."""
    gray = np.random.default_rng(0).integers(0, 255, (40, 20), np.uint8)
    shapes = {
        "0001_c1_gray": gray,
        "0001_c2_same": np.stack([gray] * 3, 2),
        "0002_c1_dot": np.full((1, 1, 3), 90, np.uint8),
        "0002_c2_flat": np.full((5, 9, 3), 90, np.uint8),
        "0003_c1_long": np.full((3000, 10, 3), 200, np.uint8),
        "0003_c2_wide": np.full((10, 3000, 3), 200, np.uint8),
    }
    for name, pixels in shapes.items():
        save(tmp_path / f"{name}.png", pixels)
    crops = read_reid_dataset([tmp_path])
    with load_embedder("builtin", torch.device("cpu"), threads=1) as embedder:
        rows = embed_crops(embedder, crops)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(rows[0::2], rows[1::2], atol=1e-4)  # the same when resized
    assert read_crop(crops, 2, 0.25).shape == (1, 1, 3)
    assert read_crop(crops, 4, 0.25).shape == (4500, 14, 3)


def test_a_split_keeps_identities_together(tmp_path: Path) -> None:
    draw_people(tmp_path / "people", 8, images=1)
    (tmp_path / "people" / "0009_c1s1_0.png").write_bytes(
        (tmp_path / "people" / "0001_c1s1_000000_00.png").read_bytes()
    )
    crops = read_reid_dataset([tmp_path / "people"])
    assert crops.has_positives().tolist() == [True] * 8 + [False]
    train, val = split_by_identity(crops, 0.25, seed=3)
    assert len(val.identities) == 2
    assert len(train.identities) == 7
    assert not set(val.identities) & set(train.identities)
    assert "000009" in train.identities  # a single image cannot be retrieved
    assert {train.identities[n] for n in train.ids} == set(train.identities)
    repeated, _ = split_by_identity(crops, 0.25, seed=3)
    assert repeated.identities == train.identities


def test_ids_below_1_are_no_identities(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("-1_c1_0", "0000_c1_0", "0000_c2_1", "0002_c1_0"):
        save(tmp_path / "market" / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
    assert read_reid_dataset([tmp_path / "market"]).identities == ("000002",)
    assert "3 crops in" in caplog.text and "distractors and not identities: left out" in caplog.text
    rows = [(1, identity, 11, 6, 10, 20) for identity in (-1, 0, 3)]
    sequence = write_sequence(tmp_path / "SEQ", [draw_coordinates(30, 50)], rows)
    assert read_reid_dataset([sequence]).identities == ("SEQ/3",)


def test_file_names_without_an_identity(tmp_path: Path) -> None:
    save(tmp_path / "holiday.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(InputError, match=r"holiday\.png does not start with identity and camera"):
        read_reid_dataset([tmp_path])
