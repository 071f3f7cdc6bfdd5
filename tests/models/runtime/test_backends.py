"""Tests of inference backends: the same results as PyTorch, whatever else runs at the same time."""

import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

import tracker.cli.demo
from tracker.config import DetectorConfig, DetectorNetwork
from tracker.errors import InputError
from tracker.evaluation.detection.agreement import count_equal_boxes
from tracker.models.detection import build_detector, load_detector
from tracker.models.detection.compile import compile_detector
from tracker.models.reid import load_embedder
from tracker.models.runtime import BATCH_AXES, backends, choose_backend, compile_module, fold_batch_norm
from tracker.structures.types import Detections

CPU = torch.device("cpu")
CPU_FLAGS = Path("/proc/cpuinfo").read_text().split() if sys.platform == "linux" else ["avx512_fp16"]
needs_float16 = pytest.mark.skipif(
    not {"avx512_fp16", "amx_fp16", "fphp"} & set(CPU_FLAGS),
    reason="this CPU emulates float16, which takes minutes",
)


@pytest.fixture(params=["openvino", "onnxruntime"], scope="module")
def backend(request):
    for package in (request.param, "onnx"):
        pytest.importorskip(package, reason=f"the extra of {request.param} is not installed")
    return request.param


def demo_images():
    """Returns the demo's person and cat, and a crop of the first, RGB, of three sizes."""
    folder = Path(tracker.cli.demo.__file__).parent / "demo_images"
    images = [cv2.imread(str(folder / name))[:, :, ::-1] for name in ("astronaut.jpg", "cat.jpg")]
    return [np.ascontiguousarray(image) for image in (*images, images[0][:200, :150])]


def to_bytes(results):
    return [(d.boxes.tobytes(), d.scores.tobytes(), d.labels.tobytes()) for d in results]


def builtin_detector(backend, **config):
    return load_detector(DetectorConfig(**{"device": "cpu", "score": 0.05, "backend": backend, **config}))


# Equal results


@pytest.mark.smoke
def test_detections_equal_pytorchs(backend):
    many = {"score": 0.001}
    with builtin_detector("torch", **many) as reference, builtin_detector(backend, **many) as detector:
        assert detector.backend == backend
        detections, expected = detector.detect(demo_images()), reference.detect(demo_images())
    assert sum(map(len, expected)) > 10
    for one, other in zip(detections, expected, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.01)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)


def test_neither_batch_size_nor_threads_change_a_bit(backend):
    images = demo_images()
    with builtin_detector(backend, threads=1) as detector:
        expected = [detector.detect([image])[0] for image in images]
    with builtin_detector(backend, threads=3) as detector:
        assert to_bytes(detector.detect(images)) == to_bytes(expected)
        assert to_bytes(detector.detect(images[::-1] * 4)) == to_bytes(expected[::-1] * 4)


def test_rescored_boxes_equal_pytorchs(backend):
    image = demo_images()[0]
    boxes, labels = np.array([[100, 20, 400, 500], [0, 0, 60, 90]], np.float32), np.array([0, 3])
    results = []
    for name in ("torch", backend):
        with builtin_detector(name) as detector:
            (_,), (rescorer,) = detector.detect_with_features(detector.upload([image]))
            detector.detect(demo_images()[1:])  # other images must not change the cached features
            rescored = rescorer(boxes, labels)
            results.append((rescored.boxes, rescored.scores, rescorer.embed(boxes)))
    for actual, expected in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-3)


def test_embeddings_are_the_same_for_any_number_of_crops(backend):
    rng = np.random.default_rng(0)
    images = [torch.from_numpy(rng.integers(0, 256, (3, 90, 120), dtype=np.uint8)) for _ in range(3)]
    corners = [rng.uniform(0, 40, (n, 2)) for n in (5, 0, 12)]
    boxes = [np.concatenate([corner, corner + 45], 1).astype(np.float32) for corner in corners]
    with (
        load_embedder("builtin", CPU) as reference,
        load_embedder("builtin", CPU, threads=2, backend=backend) as embedder,
    ):
        batched, expected = embedder.embed(images, boxes), reference.embed(images, boxes)
        single = [embedder.embed([i], [b])[0] for i, b in zip(images, boxes, strict=True)]
    for one, alone, other in zip(batched, single, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
        assert one.tobytes() == alone.tobytes()


NETWORKS = {
    "maskrcnn_fpn": {"backbone": "resnet18", "anchor_sizes": ((32,), (64,), (128,), (256,), (512,))},
    "fasterrcnn_resnet50_c4": {},
    "fasterrcnn_mobilenet_v3_large_320_fpn": {},
    "retinanet_resnet50_fpn": {},
    "fcos_resnet50_fpn": {},
    "ssdlite320_mobilenet_v3_large": {},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_of_each_part_equal_pytorchs(backend, name):
    torch.manual_seed(0)
    network = build_detector(DetectorNetwork(architecture=name, **NETWORKS[name]), 3).eval()
    image = torch.rand(1, 3, 352, 480)
    with torch.inference_mode():
        expected = part_outputs(network, image)
        compile_detector(network, backend, False, 1)
        actual = part_outputs(network, image)
    assert len(actual) >= 4
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
@needs_float16
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_of_each_part_are_close_in_half_precision(name):
    torch.manual_seed(0)
    network = build_detector(DetectorNetwork(architecture=name, **NETWORKS[name]), 3).eval()
    image = torch.rand(1, 3, 352, 480)
    with torch.inference_mode():
        expected = part_outputs(network, image)
        compile_detector(network, "torch", True, 1)
        actual = part_outputs(network, image)
    assert {p.dtype for p in network.backbone.parameters()} == {torch.float16}
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() <= 0.02 * other.norm() + 1e-4 * other.numel() ** 0.5


@needs_float16
def test_boxes_have_subpixel_precision_in_half_precision():
    """Beyond 1,024, float16 represents whole pixels only; under autocast all proposals are rounded to them."""
    torch.manual_seed(0)
    network = build_detector(DetectorNetwork(architecture="fasterrcnn_fpn", backbone="resnet18"), 3).eval()
    compile_detector(network, "torch", True, 1)
    with torch.inference_mode():
        images, _ = network.transform([255 * torch.rand(3, 720, 1280)])
        (proposals,), _ = network.rpn(images, network.backbone(images.tensors))
    right_edges = proposals[proposals[:, 2] > 1024, 2]
    assert len(right_edges) > 20
    assert (right_edges != right_edges.round()).float().mean() > 0.5


def test_half_precision_detects_the_same_objects():
    with builtin_detector("torch", score=0.5) as full, builtin_detector("torch", score=0.5, precision="half") as half:
        expected, detections = full.detect(demo_images()), half.detect(demo_images())
    assert sum(map(len, expected)) >= 2
    for one, other in zip(detections, expected, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=2)
        np.testing.assert_allclose(one.scores, other.scores, atol=0.02)


def part_outputs(network, image):
    """Returns the outputs of all parts of a network for an image, in a flat list."""
    feature_maps = network.backbone(image)
    roi_heads = getattr(network, "roi_heads", None)
    outputs = [feature_maps, (network.rpn.head if roi_heads else network.head)(list(feature_maps.values()))]
    for kind in ("box", "mask") if roi_heads else ():
        if pool := getattr(roi_heads, f"{kind}_roi_pool"):
            pooled = pool(feature_maps, [torch.tensor([[20.0, 30, 200, 300]] * 3)], [tuple(image.shape[2:])])
            outputs.append(getattr(roi_heads, f"{kind}_predictor")(getattr(roi_heads, f"{kind}_head")(pooled)))
    return torch.utils._pytree.tree_leaves(outputs)


def test_an_empty_batch_has_an_empty_output(backend):
    module = compile_module(torch.nn.Linear(4, 3), (torch.zeros(2, 4),), BATCH_AXES, backend, False, 1)
    assert module(torch.zeros(0, 4)).shape == (0, 3)
    assert module(torch.zeros(5, 4)).shape == (5, 3)


CONCURRENT_FIRST_INFERENCE = """
import sys, threading, torch
from tracker.models.runtime import BATCH_AXES, compile_module

module = compile_module(torch.nn.ReLU(), (torch.zeros(2, 4),), BATCH_AXES, sys.argv[1], False, 4)
barrier = threading.Barrier(8)

def work():
    barrier.wait()
    module(torch.zeros(3, 4))

def hold():  # the interpreter lock, so that the other threads wait for it at the same time
    while True:
        sum(range(50))

for _ in range(3):
    threading.Thread(target=hold, daemon=True).start()
workers = [threading.Thread(target=work) for _ in range(8)]
for worker in workers:
    worker.start()
for worker in workers:  # a process that ends while a thread is inside a runtime is aborted
    worker.join()
"""


@pytest.mark.slow
def test_first_inferences_in_several_threads_do_not_deadlock(backend):
    subprocess.run([sys.executable, "-c", CONCURRENT_FIRST_INFERENCE, backend], check=True, timeout=60)


NO_TELEMETRY = """
import sys, threading, torch
from tracker.models.runtime import BATCH_AXES, compile_module

compile_module(torch.nn.ReLU(), (torch.zeros(2, 4),), BATCH_AXES, sys.argv[1], False, 1)
assert threading.active_count() == 1, threading.enumerate()
"""


@pytest.mark.slow
def test_telemetry_is_off(tmp_path, backend):
    """Otherwise both send messages as soon as they are imported, and store an identifier in the home folder."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", NO_TELEMETRY, backend], check=True, timeout=60, env=environment | home)
    assert not list(tmp_path.iterdir())


# Choice of the backend


def test_auto_chooses_the_fastest_installed_backend(monkeypatch):
    installed = {"openvino", "onnxruntime", "onnx"}
    monkeypatch.setattr(backends, "find_spec", lambda name: name if name in installed else None)
    assert choose_backend("auto", CPU) == "onnxruntime"
    assert choose_backend("auto", CPU, "half") == "openvino"  # the only one that supports it
    assert choose_backend("auto", torch.device("cuda")) == "torch"
    installed.remove("onnxruntime")
    assert choose_backend("auto", CPU) == "openvino"
    installed.remove("openvino")
    assert choose_backend("auto", CPU) == "torch"
    installed.add("onnxruntime")
    installed.remove("onnx")
    assert choose_backend("auto", CPU) == "torch"
    for name, message in (
        ("openvino", r"needs the package openvino: pip install 'video-tracker\[openvino\]'"),
        ("onnxruntime", r"needs the package onnx: pip install 'video-tracker\[onnx\]'"),
    ):
        with pytest.raises(InputError, match=message):
            choose_backend(name, CPU)


def test_unsupported_devices_and_precisions_are_errors(monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda name: name)
    with pytest.raises(InputError, match="runs on the CPU, not on cuda"):
        choose_backend("openvino", torch.device("cuda"))
    with pytest.raises(InputError, match="full precision"):
        choose_backend("onnxruntime", CPU, "half")


def test_a_log_line_names_the_backend(backend, caplog):
    with caplog.at_level(logging.INFO, logger="tracker"), builtin_detector(backend):
        assert f"running the detector on cpu with {backend}" in caplog.text


# PyTorch


@pytest.mark.parametrize("norm", [torch.nn.BatchNorm2d, FrozenBatchNorm2d])
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "googlenet", "densenet121"])
def test_folding_batch_norms_keeps_the_outputs(name, norm):
    torch.manual_seed(0)
    options = {"resnet": {"norm_layer": norm}, "google": {"init_weights": True}}.get(name[:6], {})
    network = torchvision.models.get_model(name, weights=None, **options).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d | FrozenBatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    image = torch.rand(1, 3, 96, 96)
    with torch.inference_mode():
        expected, actual = network(image), fold_batch_norm(network)(image)
    torch.testing.assert_close(actual, expected, atol=1e-3, rtol=1e-3)
    if not name.startswith("densenet"):  # its batch norms come before the convolutions
        assert not any(isinstance(part, torch.nn.BatchNorm2d | FrozenBatchNorm2d) for part in network.modules())


COUNT_PAGE_FAULTS = """
import resource, torch
from tracker.models.runtime import inference_executor

def work(_):
    for _ in range(6):
        torch.zeros(10, 2**20).add_(1)  # so large that glibc returns it by default

with inference_executor(torch.device("cpu"), 2, "test") as workers:
    list(workers.map(work, range(2)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    list(workers.map(work, range(2)))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
@pytest.mark.slow
def test_memory_that_a_layer_frees_is_reused(monkeypatch):
    def page_faults():
        command = [sys.executable, "-c", COUNT_PAGE_FAULTS]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")  # the user has decided
    untuned = page_faults()
    monkeypatch.delenv("MALLOC_ARENA_MAX")
    if untuned < 10_000:
        pytest.skip("this C library returns no memory")
    assert page_faults() < 0.5 * untuned


# Agreement of detections


def test_boxes_are_counted_once():
    def detections(*rows):
        table = np.array(rows, np.float32).reshape(-1, 6)
        return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))

    one, twice = (0, 0, 100, 100, 0.9, 1), (0, 0, 100, 101, 0.9, 1)
    other_class, other_score, shifted = (*one[:5], 2), (*one[:4], 0.88, 1), (6, 0, 106, 100, 0.9, 1)
    assert count_equal_boxes([(detections(one), detections(one))]) == (1, 1)
    assert count_equal_boxes([(detections(one, twice), detections(one))]) == (1, 2)
    assert count_equal_boxes([(detections(one), detections(other_class, other_score, shifted))]) == (0, 3)
    assert count_equal_boxes([(detections(), detections()), (detections(), detections(one))]) == (0, 1)


@pytest.mark.long
def test_the_benchmark_measures_all_backends(tmp_path):
    from benchmarks.backends import compare_backends, installed_implementations

    results = compare_backends("builtin", (320, 192), number=48, threads=2, repetitions=1)
    assert [result.name for result in results] == installed_implementations()
    assert results[0].ratio == 1
    assert all(result.total_boxes > 50 and result.matching > 0.95 for result in results)
    with pytest.raises(InputError, match="did you mean 'builtin'"):
        compare_backends("builtn", (320, 192), 2, 2, 1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_an_interrupt_after_a_detector_was_closed_is_a_keyboard_interrupt() -> None:
    """OpenVINO's plugin, when it is unloaded, leaves a signal stack registered that was freed."""
    pytest.importorskip("openvino", reason="the extra [openvino] is not installed")
    code = """
import gc, os, signal
import numpy as np
from tracker.config import DetectorConfig
from tracker.models.detection import load_detector
with load_detector(DetectorConfig(device="cpu", backend="openvino")) as detector:
    detector.detect([np.zeros((90, 160, 3), np.uint8)])
del detector
gc.collect()
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "interrupted\n"), result.stderr


def test_modules_are_compiled_in_several_threads() -> None:
    """PyTorch's exporter has global state: without a lock, threads that load networks at once fail."""
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    example = torch.rand(1, 3, 8, 8)

    def difference(_: int) -> float:
        modules = [nn.Conv2d(3, 4, 3).requires_grad_(False) for _ in range(4)]
        compiled = [compile_module(module, (example,), (0, 2, 3), "onnxruntime", False, 1) for module in modules]
        return max(float((a(example) - b(example)).abs().max()) for a, b in zip(modules, compiled, strict=True))

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(difference, range(4))) < 1e-5
