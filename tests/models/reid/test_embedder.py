"""The embedder: what it promises to the pipeline, and what it says of files that it cannot use."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tracker.config import EmbedderNetwork
from tracker.errors import InputError
from tracker.models.model_file import load_model, save_model
from tracker.models.reid import BUILTIN, Embedder, build_embedder, load_embedder, read_network
from tracker.models.runtime import fold_batch_norm

pytestmark = pytest.mark.filterwarnings("error")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    with load_embedder("builtin", CPU, threads=2) as loaded:
        yield loaded


def picture(seed: int, height: int = 120, width: int = 160) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, height, width), np.uint8))


def some_boxes(seed: int, count: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    corner = rng.uniform((0, 0), (100, 60), (count, 2))
    return np.concatenate([corner, corner + rng.uniform(4, 60, (count, 2))], 1).astype(np.float32)


def test_rows_have_length_one_and_belong_to_their_boxes(embedder: Embedder) -> None:
    images, boxes = [picture(0), picture(1, 200, 180)], [some_boxes(0, 5), some_boxes(1, 3)]
    found = embedder.embed(images, boxes)
    assert [f.shape for f in found] == [(5, embedder.dimension), (3, embedder.dimension)]
    for rows in found:
        assert rows.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    alone = embedder.embed(images[:1], [boxes[0][2:3]])[0]
    np.testing.assert_allclose(alone[0], found[0][2], atol=1e-4)


def test_pictures_without_boxes(embedder: Embedder) -> None:
    empty = np.zeros((0, 4), np.float32)
    found = embedder.embed([picture(0), picture(1)], [empty, some_boxes(1, 2)])
    assert [f.shape for f in found] == [(0, embedder.dimension), (2, embedder.dimension)]
    assert found[0].dtype == np.float32
    assert embedder.embed([], []) == []


def test_the_same_bytes_at_any_batching_and_thread_count(embedder: Embedder) -> None:
    images, boxes = [picture(n) for n in range(4)], [some_boxes(n, 3 + n) for n in range(4)]
    together = embedder.embed(images, boxes)
    with load_embedder("builtin", CPU, threads=1) as single:
        apart = [single.embed([i], [b])[0] for i, b in zip(images, boxes, strict=True)]
    assert [a.tobytes() for a in together] == [b.tobytes() for b in apart]


def test_boxes_of_less_than_a_pixel(embedder: Embedder) -> None:
    boxes = np.array([[5.2, 5.2, 5.3, 5.3], [159.5, 119.5, 160, 120], [0, 0, 160, 0.5]], np.float32)
    rows = embedder.embed([picture(0)], [boxes])[0]
    assert np.isfinite(rows).all()


def test_only_the_pixels_of_the_box_count(embedder: Embedder) -> None:
    image, box = picture(0), np.array([[20, 30, 60, 90]], np.float32)
    changed = torch.zeros_like(image)
    changed[:, 30:90, 20:60] = image[:, 30:90, 20:60]
    assert np.array_equal(embedder.embed([image], [box])[0], embedder.embed([changed], [box])[0])


def test_an_uploaded_frame_need_not_be_contiguous(embedder: Embedder) -> None:
    image = picture(0)
    interleaved = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    boxes = some_boxes(0, 3)
    found, expected = embedder.embed([interleaved, image], [boxes, boxes])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_folding_batch_normalisation_changes_nothing() -> None:
    plain = read_network(BUILTIN, "embedding")[0].eval()
    folded = fold_batch_norm(read_network(BUILTIN, "embedding")[0])
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in folded.modules())
    crops = torch.stack([picture(n, 128, 64) for n in range(3)]).float()
    with torch.inference_mode():
        torch.testing.assert_close(folded(crops), plain(crops), atol=1e-5, rtol=0)


def test_as_many_pictures_as_box_arrays(embedder: Embedder) -> None:
    with pytest.raises(ValueError, match="2 pictures"):
        embedder.embed([picture(0), picture(1)], [some_boxes(0, 1)])


def test_close_ends_the_threads() -> None:
    before = set(threading.enumerate())
    with load_embedder("builtin", CPU, threads=2) as loaded:
        loaded.embed([picture(0), picture(1)], [some_boxes(0, 1), some_boxes(1, 1)])
        assert set(threading.enumerate()) - before
    assert set(threading.enumerate()) <= before


def test_a_failure_crosses_the_threads(embedder: Embedder) -> None:
    with pytest.raises((ValueError, RuntimeError)):
        embedder.embed([picture(0)], [np.array([[500, 500, 510, 510]], np.float32)])
    assert len(embedder.embed([picture(0)], [some_boxes(0, 2)])[0]) == 2


def test_the_builtin_model_says_what_it_is(embedder: Embedder) -> None:
    assert embedder.info.task == "embedding"
    assert embedder.info.categories == ("person",)
    assert embedder.info.license
    assert "PKU" in embedder.info.provenance
    assert BUILTIN.stat().st_size < 5e6
    assert BUILTIN.with_suffix(".md").is_file()


@pytest.mark.parametrize("name", ["bultin", "osnet", "model.pt", ""])
def test_an_unknown_name(name: str) -> None:
    with pytest.raises(InputError, match="builtin"):
        load_embedder(name, CPU)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model file"):
        load_embedder(str(tmp_path / "none.safetensors"), CPU)


def test_a_damaged_file(tmp_path: Path) -> None:
    corrupt_packets = tmp_path / "cut.safetensors"
    corrupt_packets.write_bytes(BUILTIN.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"cut\.safetensors"):
        load_embedder(str(corrupt_packets), CPU)


def test_a_file_of_a_detector(tmp_path: Path) -> None:
    state, info = load_model(BUILTIN)
    path = tmp_path / "detector.safetensors"
    save_model(path, state, info.model_copy(update={"task": "detection"}))
    with pytest.raises(InputError, match="detection"):
        load_embedder(str(path), CPU)


def test_weights_of_another_network(tmp_path: Path) -> None:
    state, info = load_model(BUILTIN)
    path = tmp_path / "other.safetensors"
    save_model(path, {**state, "project.weight": np.zeros((3, 3), np.float32)}, info)
    with pytest.raises(InputError, match=r"other\.safetensors"):
        load_embedder(str(path), CPU)


def test_the_crop_size_is_the_model_files(tmp_path: Path) -> None:
    network = build_embedder(EmbedderNetwork(), (64, 96))
    state = {key: value.numpy() for key, value in network.state_dict().items()}
    info = load_model(BUILTIN)[1].model_copy(update={"categories": ("dog",), "size": (64, 96)})
    save_model(tmp_path / "dogs.safetensors", state, info)
    seen: list[torch.Size] = []
    with load_embedder(str(tmp_path / "dogs.safetensors"), CPU, threads=1) as loaded:
        loaded.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
        loaded.embed([picture(0)], [some_boxes(0, 2)])
    assert seen == [torch.Size((2, 3, 64, 96))]
    assert loaded.info.categories == ("dog",)
