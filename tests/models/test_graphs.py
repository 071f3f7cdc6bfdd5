"""The built-in networks as graphs of ONNX Runtime: they belong to the weights, equal PyTorch's, and need no PyTorch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tracker.cli.demo import draw_clip
from tracker.config import DetectorConfig
from tracker.data import read_image
from tracker.errors import InputError
from tracker.models import detection, reid
from tracker.models.detection import load_detector
from tracker.models.detection.graph_detector import DETECT, EMBED, SCORE, graph_path
from tracker.models.model_file import load_model
from tracker.models.reid import load_embedder
from tracker.models.runtime import find_device
from video_clips import write_clip

DEMO_IMAGES = Path(detection.__file__).parents[2] / "cli" / "demo_images"
COMMAND = """
import sys
{block}
from tracker.cli.app import main
try:
    main(sys.argv[1:])
finally:
    loaded = {{"torch", "torchvision"}} & {{name for name, module in sys.modules.items() if module}}
    print("loaded:", *loaded)
"""
NO_TORCH = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name in ("torch", "torchvision") else find(name, *rest)
"""


def named_weights(graph: Path) -> dict[str, list[int]]:
    """Returns the shapes of the weights that a graph names without holding them."""
    onnx = pytest.importorskip("onnx", reason="the extra [onnx] is not installed")
    initializers = onnx.load(graph, load_external_data=False).graph.initializer
    return {each.name: list(each.dims) for each in initializers if each.external_data}


def shapes(weights: Path, prefix: str = "") -> dict[str, list[int]]:
    state, _ = load_model(weights)
    return {
        k: list(v.shape) for k, v in state.items() if k.startswith(prefix) and not k.endswith("num_batches_tracked")
    }


def test_the_graphs_belong_to_the_shipped_weights():
    """`scripts/builtin_networks.py release` and `graphs` write them."""
    builtin = detection.BUILTIN
    assert named_weights(graph_path(builtin, DETECT)) == shapes(builtin)
    assert named_weights(graph_path(builtin, SCORE)) == shapes(builtin, "roi_heads.")
    assert named_weights(graph_path(builtin, EMBED)) == {}
    assert named_weights(reid.BUILTIN.with_suffix(".onnx")) == shapes(reid.BUILTIN)


@pytest.mark.parametrize("side", [None, 320, 100])
def test_detections_equal_pytorchs_at_all_sizes(side):
    images = [read_image(DEMO_IMAGES / name) for name in ("astronaut.jpg", "cat.jpg")]
    images += [images[0][:200, :150], images[1][::3, ::2], images[0][:31, :17]]
    settings = {"device": "cpu", "score": 0.001, "size": side or "auto"}
    with (
        load_detector(DetectorConfig(**settings, backend="torch")) as reference,
        load_detector(DetectorConfig(**settings)) as detector,
    ):
        assert (reference.backend, detector.backend) == ("torch", "onnxruntime")
        expected, actual = reference.detect(images), detector.detect(images)
    assert sum(map(len, expected)) > 20
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


def test_a_small_first_image_does_not_change_the_next_ones():
    """The strides of the feature maps are found at the first image; its padding must not count."""
    image, small = read_image(DEMO_IMAGES / "cat.jpg"), np.zeros((33, 17, 3), np.uint8)
    results = []
    for first in (image, small):
        with load_detector(DetectorConfig(device="cpu", score=0.001, backend="torch", threads=1)) as detector:
            detector.detect([first])
            results.append(detector.detect([image])[0])
    assert results[0].boxes.tobytes() == results[1].boxes.tobytes()


def test_images_of_either_kind_are_embedded():
    """A detector may be computed by PyTorch and the embedder without it, or the other way round."""
    image, boxes = read_image(DEMO_IMAGES / "astronaut.jpg"), np.array([[10, 20, 90, 200]], np.float32)
    networks = [load_embedder("builtin", find_device("cpu"), backend=backend) for backend in ("torch", "auto")]
    results = [one.embed(other.upload([image]), [boxes])[0] for one in networks for other in networks]
    for network in networks:
        network.close()
    assert [network.backend for network in networks] == ["torch", "onnxruntime"]
    assert results[0].tobytes() == results[1].tobytes() and results[2].tobytes() == results[3].tobytes()
    np.testing.assert_allclose(results[0], results[2], atol=1e-5)


def run(folder: Path, block: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", COMMAND.format(block=block), *map(str, arguments)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def read_table(path: Path) -> list[list[str]]:
    return [line.split(",") for line in path.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.smoke
def test_a_run_with_the_builtin_networks_needs_no_pytorch_and_writes_the_same(tmp_path):
    draw_clip(tmp_path / "clip.mp4")
    common = ("clip.mp4", "--end", 1, "--quiet", "--output")
    for number, block in enumerate(("", NO_TORCH)):
        result = run(tmp_path, block, *common, f"{number}.csv")
        assert (result.returncode, result.stdout) == (0, "loaded:\n"), result.stderr
    result = run(tmp_path, "", *common, "torch.csv", "--backend", "torch")
    assert result.returncode == 0 and "torch" in result.stdout
    assert (tmp_path / "0.csv").read_bytes() == (tmp_path / "1.csv").read_bytes()
    actual, expected = (read_table(tmp_path / name) for name in ("0.csv", "torch.csv"))
    assert len(actual) == len(expected) > 10
    for one, other in zip(actual[1:], expected[1:], strict=True):
        assert one[2:4] == other[2:4]
        np.testing.assert_allclose([*map(float, one[4:])], [*map(float, other[4:])], atol=0.011)  # rounded to 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--backend", "torch"), "the backend torch needs the package torch"),
        (("--device", "cuda"), "the device cuda needs the package torch"),
        (("--weights", "mine.safetensors"), "a detector other than the built-in one needs the package torch"),
        (("--embedder", "mine.safetensors"), "an embedder other than the built-in one needs the package torch"),
        (("export", "builtin"), "export needs the package torch"),
    ],
)
def test_what_needs_pytorch_says_so(tmp_path, arguments, message):
    write_clip(tmp_path / "clip.mp4", 3)
    shutil.copy(detection.BUILTIN, tmp_path / "mine.safetensors")
    result = run(tmp_path, NO_TORCH, *arguments, *([] if arguments[0] == "export" else ["clip.mp4"]))
    assert result.returncode == 2
    assert result.stderr == f"track: {message}: pip install torch torchvision\n"


def test_no_gpu_is_looked_for_where_the_cpu_is_asked_for():
    assert str(find_device("cpu")) == "cpu" and find_device("cpu").type == "cpu"
    with pytest.raises(InputError, match="unknown device"):
        find_device("gpu")
