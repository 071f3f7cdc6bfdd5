"""What computes networks in PyTorch's stead: the same results, whatever else is computed beside them."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torchvision
from torchvision.ops import FrozenBatchNorm2d

import tracker.cli.demo
from tracker.config import DetectorConfig, DetectorNetwork
from tracker.errors import InputError
from tracker.evaluation.detection.agreement import count_equal
from tracker.models.detection import build_detector, load_detector
from tracker.models.detection.compile import compile_parts
from tracker.models.reid import load_embedder
from tracker.models.runtime import ROWS, backends, choose_backend, compiled, fold_batch_norm
from tracker.structures.types import Detections

CPU = torch.device("cpu")


@pytest.fixture(params=["openvino", "onnxruntime"], scope="module")
def backend(request):
    for package in (request.param, "onnx"):
        pytest.importorskip(package, reason=f"the extra of {request.param} is not installed")
    return request.param


def photographs():
    """The demo's person and cat, and a part of a picture, RGB, of three sizes."""
    folder = Path(tracker.cli.demo.__file__).parent / "demo_images"
    pictures = [cv2.imread(str(folder / name))[:, :, ::-1] for name in ("astronaut.jpg", "cat.jpg")]
    return [np.ascontiguousarray(picture) for picture in (*pictures, pictures[0][:200, :150])]


def bits(found):
    return [(d.boxes.tobytes(), d.scores.tobytes(), d.labels.tobytes()) for d in found]


def opened(backend, **config):
    return load_detector(DetectorConfig(**{"device": "cpu", "score": 0.05, "backend": backend, **config}))


# The same results


def test_the_builtin_detector_finds_the_same(backend):
    with opened("torch") as torchs, opened(backend) as ours:
        assert ours.backend == backend
        found, expected = ours.detect(photographs()), torchs.detect(photographs())
    assert sum(map(len, expected)) > 10
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.01)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)


def test_neither_batch_size_nor_threads_change_a_bit(backend):
    pictures = photographs()
    with opened(backend, threads=1) as alone:
        expected = [alone.detect([picture])[0] for picture in pictures]
    with opened(backend, threads=3) as together:
        assert bits(together.detect(pictures)) == bits(expected)
        assert bits(together.detect(pictures[::-1] * 4)) == bits(expected[::-1] * 4)


def test_a_second_look_at_boxes_says_the_same(backend):
    picture = photographs()[0]
    boxes, labels = np.array([[100, 20, 400, 500], [0, 0, 60, 90]], np.float32), np.array([0, 3])
    said = []
    for name in ("torch", backend):
        with opened(name) as detector:
            (_,), (look,) = detector.detect_with_features(detector.upload([picture]))
            detector.detect(photographs()[1:])  # what was kept of one picture is not touched by others
            judged = look(boxes, labels)
            said.append((judged.boxes, judged.scores, look.embed(boxes)))
    for found, expected in zip(*said, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_embeddings_are_the_same_for_any_number_of_crops(backend):
    rng = np.random.default_rng(0)
    pictures = [torch.from_numpy(rng.integers(0, 256, (3, 90, 120), dtype=np.uint8)) for _ in range(3)]
    corners = [rng.uniform(0, 40, (n, 2)) for n in (5, 0, 12)]
    boxes = [np.concatenate([corner, corner + 45], 1).astype(np.float32) for corner in corners]
    with load_embedder("builtin", CPU) as torchs, load_embedder("builtin", CPU, threads=2, backend=backend) as ours:
        found, expected = ours.embed(pictures, boxes), torchs.embed(pictures, boxes)
        apart = [ours.embed([picture], [rows])[0] for picture, rows in zip(pictures, boxes, strict=True)]
    for one, alone, other in zip(found, apart, expected, strict=True):
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
def test_parts_of_all_kinds_of_networks_say_the_same(backend, name):
    torch.manual_seed(0)
    network = build_detector(DetectorNetwork(architecture=name, **NETWORKS[name]), 3).eval()
    picture = torch.rand(1, 3, 352, 480)
    with torch.inference_mode():
        expected = parts_of(network, picture)
        compile_parts(network, backend, False, 1)
        found = parts_of(network, picture)
    assert len(found) >= 4
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_parts_of_all_kinds_of_networks_say_nearly_the_same_in_half_precision(name):
    torch.manual_seed(0)
    network = build_detector(DetectorNetwork(architecture=name, **NETWORKS[name]), 3).eval()
    picture = torch.rand(1, 3, 352, 480)
    with torch.inference_mode():
        expected = parts_of(network, picture)
        compile_parts(network, "torch", True, 1)
        found = parts_of(network, picture)
    assert {p.dtype for p in network.backbone.parameters()} == {torch.float16}
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() <= 0.02 * other.norm() + 1e-4 * other.numel() ** 0.5


def test_in_half_precision_boxes_are_still_told_finer_than_a_pixel():
    """Beyond 1,024 pixels, half precision knows whole ones alone; under autocast all that is proposed is rounded so."""
    torch.manual_seed(0)
    made_of = DetectorNetwork(architecture="fasterrcnn_fpn", backbone="resnet18")
    network = build_detector(made_of, 3).eval()
    compile_parts(network, "torch", True, 1)
    with torch.inference_mode():
        images, _ = network.transform([255 * torch.rand(3, 720, 1280)])
        (proposals,), _ = network.rpn(images, network.backbone(images.tensors))
    right = proposals[proposals[:, 2] > 1024, 2]
    assert len(right) > 20
    assert (right != right.round()).float().mean() > 0.5


def test_in_half_precision_the_same_objects_are_found():
    with opened("torch", score=0.5) as full, opened("torch", score=0.5, precision="half") as half:
        expected, found = full.detect(photographs()), half.detect(photographs())
    assert sum(map(len, expected)) >= 2
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=2)
        np.testing.assert_allclose(one.scores, other.scores, atol=0.02)


def parts_of(network, picture):
    """All that the parts of a network say of a picture, in a row."""
    maps = network.backbone(picture)
    heads = getattr(network, "roi_heads", None)
    said = [maps, (network.rpn.head if heads else network.head)(list(maps.values()))]
    for kind in ("box", "mask") if heads else ():
        if pool := getattr(heads, f"{kind}_roi_pool"):
            regions = pool(maps, [torch.tensor([[20.0, 30, 200, 300]] * 3)], [tuple(picture.shape[2:])])
            said.append(getattr(heads, f"{kind}_predictor")(getattr(heads, f"{kind}_head")(regions)))
    return torch.utils._pytree.tree_leaves(said)


def test_no_rows_go_in_and_none_come_out(backend):
    part = compiled(torch.nn.Linear(4, 3), (torch.zeros(2, 4),), ROWS, backend, False, 1)
    assert part(torch.zeros(0, 4)).shape == (0, 3)
    assert part(torch.zeros(5, 4)).shape == (5, 3)


FIRST = """
import sys, threading, torch
from tracker.models.runtime import ROWS, compiled

part = compiled(torch.nn.ReLU(), (torch.zeros(2, 4),), ROWS, sys.argv[1], False, 4)
together = threading.Barrier(8)

def work():
    together.wait()
    part(torch.zeros(3, 4))

def hold():  # the interpreter, so that the others meet where they wait for it
    while True:
        sum(range(50))

for _ in range(3):
    threading.Thread(target=hold, daemon=True).start()
workers = [threading.Thread(target=work) for _ in range(8)]
for worker in workers:
    worker.start()
for worker in workers:  # a process that ends while one is inside a runtime is aborted
    worker.join()
"""


@pytest.mark.slow
def test_threads_that_compute_first_at_once_do_not_wait_for_each_other(backend):
    subprocess.run([sys.executable, "-c", FIRST, backend], check=True, timeout=60)


QUIET = """
import sys, threading, torch
from tracker.models.runtime import ROWS, compiled

compiled(torch.nn.ReLU(), (torch.zeros(2, 4),), ROWS, sys.argv[1], False, 1)
assert threading.active_count() == 1, threading.enumerate()
"""


@pytest.mark.slow
def test_nobody_is_told_that_it_is_used(tmp_path, backend):
    """Both would send messages as soon as they are imported, and leave the user's number in the home folder."""
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", QUIET, backend], check=True, timeout=60, env=kept | home)
    assert not list(tmp_path.iterdir())


# The choice


def test_the_fastest_that_is_installed_is_chosen(monkeypatch):
    installed = {"openvino", "onnxruntime", "onnx"}
    monkeypatch.setattr(backends, "find_spec", lambda name: name if name in installed else None)
    assert choose_backend("auto", CPU) == "onnxruntime"
    assert choose_backend("auto", CPU, "half") == "openvino"  # the only one of them that can
    assert choose_backend("auto", torch.device("cuda")) == "torch"
    installed.remove("onnxruntime")
    assert choose_backend("auto", CPU) == "openvino"
    installed.remove("openvino")
    assert choose_backend("auto", CPU) == "torch"
    installed.add("onnxruntime")
    installed.remove("onnx")
    assert choose_backend("auto", CPU) == "torch"
    for name, said in (
        ("openvino", r"needs the package openvino: pip install 'tracker\[openvino\]'"),
        ("onnxruntime", r"needs the package onnx: pip install 'tracker\[onnx\]'"),
    ):
        with pytest.raises(InputError, match=said):
            choose_backend(name, CPU)


def test_what_cannot_be_done_is_said(monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda name: name)
    with pytest.raises(InputError, match="computes on the CPU, not on cuda"):
        choose_backend("openvino", torch.device("cuda"))
    with pytest.raises(InputError, match="full precision"):
        choose_backend("onnxruntime", CPU, "half")


def test_a_log_line_names_the_backend(backend, caplog):
    with caplog.at_level(logging.INFO, logger="tracker"), opened(backend):
        assert f"{backend} computes the detector on cpu" in caplog.text


# PyTorch itself


@pytest.mark.parametrize("norm", [torch.nn.BatchNorm2d, FrozenBatchNorm2d])
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "googlenet", "densenet121"])
def test_folding_keeps_what_classification_networks_say(name, norm):
    torch.manual_seed(0)
    more = {"norm_layer": norm} if name.startswith("resnet") else {"init_weights": True} if name == "googlenet" else {}
    network = torchvision.models.get_model(name, weights=None, **more).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d | FrozenBatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    picture = torch.rand(1, 3, 96, 96)
    with torch.inference_mode():
        expected, found = network(picture), fold_batch_norm(network)(picture)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    if not name.startswith("densenet"):  # whose batch norms come before the convolutions
        assert not any(isinstance(part, torch.nn.BatchNorm2d | FrozenBatchNorm2d) for part in network.modules())


FAULTS = """
import resource, torch
from tracker.models.runtime import picture_workers

def work(_):
    for _ in range(6):
        torch.zeros(10, 2**20).add_(1)  # so large that glibc never keeps it by itself

with picture_workers(torch.device("cpu"), 2, "test") as workers:
    list(workers.map(work, range(2)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    list(workers.map(work, range(2)))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc alone")
@pytest.mark.slow
def test_memory_that_a_layer_gives_back_is_kept_for_the_next_one(monkeypatch):
    def faults():
        return int(subprocess.run([sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True).stdout)

    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")  # the user has decided
    left_alone = faults()
    monkeypatch.delenv("MALLOC_ARENA_MAX")
    if left_alone < 10_000:
        pytest.skip("this C library returns no memory")
    assert faults() < 0.5 * left_alone


# How equality is counted


def test_boxes_are_counted_once():
    def found(*rows):
        table = np.array(rows, np.float32).reshape(-1, 6)
        return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))

    one, twice = (0, 0, 100, 100, 0.9, 1), (0, 0, 100, 101, 0.9, 1)
    other_class, other_score, moved = (*one[:5], 2), (*one[:4], 0.88, 1), (6, 0, 106, 100, 0.9, 1)
    assert count_equal([(found(one), found(one))]) == (1, 1)
    assert count_equal([(found(one, twice), found(one))]) == (1, 2)
    assert count_equal([(found(one), found(other_class, other_score, moved))]) == (0, 3)
    assert count_equal([(found(), found()), (found(), found(one))]) == (0, 1)


@pytest.mark.slow
def test_the_benchmark_finds_the_same_in_all_ways(tmp_path):
    from benchmarks.backends import compare_ways, installed_ways

    ways = compare_ways("builtin", (320, 192), number=2, threads=2, repetitions=1)
    assert [way.name for way in ways] == installed_ways()
    assert ways[0].ratio == 1
    assert all(way.boxes > 50 and way.equal > 0.95 for way in ways)
    with pytest.raises(InputError, match="did you mean 'builtin'"):
        compare_ways("builtn", (320, 192), 2, 2, 1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no interrupts to send")
def test_an_interrupt_after_a_detector_was_closed_is_only_an_interrupt() -> None:
    """OpenVINO's plugin, when it is unloaded, leaves signals a stack that is there no more."""
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
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "interrupted\n"), run.stderr
