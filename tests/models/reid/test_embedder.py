"""Tests of the embedder: its results, its threads, and the errors for files that it cannot use."""

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


def random_image(seed: int, height: int = 120, width: int = 160) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, height, width), np.uint8))


def random_boxes(seed: int, count: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    corner = rng.uniform((0, 0), (100, 60), (count, 2))
    return np.concatenate([corner, corner + rng.uniform(4, 60, (count, 2))], 1).astype(np.float32)


@pytest.mark.smoke
def test_embeddings_have_length_one_and_the_order_of_the_boxes(embedder: Embedder) -> None:
    images, boxes = [random_image(0), random_image(1, 200, 180)], [random_boxes(0, 5), random_boxes(1, 3)]
    embeddings = embedder.embed(images, boxes)
    assert [e.shape for e in embeddings] == [(5, embedder.dimension), (3, embedder.dimension)]
    for image_embeddings in embeddings:
        assert image_embeddings.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(image_embeddings, axis=1), 1, atol=1e-5)
    single = embedder.embed(images[:1], [boxes[0][2:3]])[0]
    np.testing.assert_allclose(single[0], embeddings[0][2], atol=1e-4)


def test_images_without_boxes(embedder: Embedder) -> None:
    empty = np.zeros((0, 4), np.float32)
    embeddings = embedder.embed([random_image(0), random_image(1)], [empty, random_boxes(1, 2)])
    assert [e.shape for e in embeddings] == [(0, embedder.dimension), (2, embedder.dimension)]
    assert embeddings[0].dtype == np.float32
    assert embedder.embed([], []) == []


@pytest.mark.smoke
def test_the_same_bytes_at_any_batch_size_and_thread_count(embedder: Embedder) -> None:
    images, boxes = [random_image(n) for n in range(4)], [random_boxes(n, 3 + n) for n in range(4)]
    batched = embedder.embed(images, boxes)
    with load_embedder("builtin", CPU, threads=1) as one_thread:
        single = [one_thread.embed([i], [b])[0] for i, b in zip(images, boxes, strict=True)]
    assert [a.tobytes() for a in batched] == [b.tobytes() for b in single]


def test_boxes_of_less_than_a_pixel(embedder: Embedder) -> None:
    boxes = np.array([[5.2, 5.2, 5.3, 5.3], [159.5, 119.5, 160, 120], [0, 0, 160, 0.5]], np.float32)
    embeddings = embedder.embed([random_image(0)], [boxes])[0]
    assert np.isfinite(embeddings).all()


def test_only_the_pixels_of_the_box_matter(embedder: Embedder) -> None:
    image, box = random_image(0), np.array([[20, 30, 60, 90]], np.float32)
    changed = torch.zeros_like(image)
    changed[:, 30:90, 20:60] = image[:, 30:90, 20:60]
    assert np.array_equal(embedder.embed([image], [box])[0], embedder.embed([changed], [box])[0])


def test_an_uploaded_frame_need_not_be_contiguous(embedder: Embedder) -> None:
    image = random_image(0)
    interleaved = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    boxes = random_boxes(0, 3)
    actual, expected = embedder.embed([interleaved, image], [boxes, boxes])
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_folding_batch_norms_keeps_the_embeddings() -> None:
    unfolded = read_network(BUILTIN, "embedding")[0].eval()
    folded = fold_batch_norm(read_network(BUILTIN, "embedding")[0])
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    crops = torch.stack([random_image(n, 128, 64) for n in range(3)]).float()
    with torch.inference_mode():
        torch.testing.assert_close(folded(crops), unfolded(crops), atol=1e-5, rtol=0)


def test_unequal_numbers_of_images_and_box_arrays(embedder: Embedder) -> None:
    with pytest.raises(ValueError, match="number of images is 2"):
        embedder.embed([random_image(0), random_image(1)], [random_boxes(0, 1)])


def test_close_ends_the_threads() -> None:
    before = set(threading.enumerate())
    with load_embedder("builtin", CPU, threads=2) as loaded:
        loaded.embed([random_image(0), random_image(1)], [random_boxes(0, 1), random_boxes(1, 1)])
        assert set(threading.enumerate()) - before
    assert set(threading.enumerate()) <= before


def test_an_error_in_a_worker_thread_is_raised(embedder: Embedder) -> None:
    with pytest.raises((ValueError, RuntimeError)):
        embedder.embed([random_image(0)], [np.array([[500, 500, 510, 510]], np.float32)])
    assert len(embedder.embed([random_image(0)], [random_boxes(0, 2)])[0]) == 2


def test_the_builtin_model_has_a_description(embedder: Embedder) -> None:
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
    path = tmp_path / "cut.safetensors"
    path.write_bytes(BUILTIN.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"cut\.safetensors"):
        load_embedder(str(path), CPU)


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


def test_the_crop_size_comes_from_the_model_file(tmp_path: Path) -> None:
    network = build_embedder(EmbedderNetwork(), (64, 96))
    state = {key: value.numpy() for key, value in network.state_dict().items()}
    info = load_model(BUILTIN)[1].model_copy(update={"categories": ("dog",), "size": (64, 96)})
    save_model(tmp_path / "dogs.safetensors", state, info)
    shapes: list[torch.Size] = []
    with load_embedder(str(tmp_path / "dogs.safetensors"), CPU, threads=1) as loaded:
        loaded.function.model.register_forward_pre_hook(lambda module, inputs: shapes.append(inputs[0].shape))
        loaded.embed([random_image(0)], [random_boxes(0, 2)])
    assert shapes == [torch.Size((2, 3, 64, 96))]
    assert loaded.info.categories == ("dog",)
