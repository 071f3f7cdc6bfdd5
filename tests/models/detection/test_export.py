"""Tests of exported detectors: equal detections, a description in the file, and use as weights."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import tracker.cli.demo
from tracker.cli.app import main
from tracker.config import DetectorConfig, DetectorNetwork
from tracker.errors import InputError
from tracker.models.detection import BUILTIN, build_detector, detector_categories, export_detector, load_detector
from tracker.models.detection.torch_factory import load_torch_detector
from tracker.models.detection.transform import DetectionTransform
from tracker.models.model_file import ModelInfo, load_model, save_model
from tracker.models.runtime.compile import quiet_exporters

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".pt"}


def demo_images():
    """Returns the demo's person and cat, and a crop of the first, RGB, of three sizes."""
    folder = Path(tracker.cli.demo.__file__).parent / "demo_images"
    images = [cv2.imread(str(folder / name))[:, :, ::-1] for name in ("astronaut.jpg", "cat.jpg")]
    return [np.ascontiguousarray(image) for image in (*images, images[0][:200, :150])]


@pytest.fixture(scope="module")
def expected():
    with load_detector(DetectorConfig(device="cpu", score=0.05, backend="torch")) as detector:
        return detector.detect(demo_images())


@pytest.fixture(params=SUFFIXES, scope="module")
def exported(request, tmp_path_factory):
    """Returns the file that `track export builtin` writes in one of the formats."""
    packages = {"onnx": ["onnx", "onnxruntime"], "openvino": ["onnx", "openvino"], "torchscript": []}[request.param]
    for package in packages:
        pytest.importorskip(package, reason=f"the extra for {request.param} is not installed")
    path = tmp_path_factory.mktemp("exported") / f"model{SUFFIXES[request.param]}"
    with pytest.raises(SystemExit) as exit_info:
        main(["export", "builtin", "--format", request.param, "--output", str(path)])
    assert exit_info.value.code == 0
    return path


@pytest.mark.slow
@pytest.mark.smoke
def test_detections_are_equal_at_all_image_sizes(exported, expected):
    with load_detector(DetectorConfig(device="cpu", score=0.05, weights=str(exported))) as detector:
        for _ in range(3):  # TorchScript rewrites its program after the first runs
            detections = detector.detect(demo_images())
    for one, other in zip(detections, expected, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.01)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)


@pytest.mark.slow
def test_a_file_has_a_description_and_applies_the_config(exported, expected):
    config = DetectorConfig(device="cpu", weights=str(exported), score=0.5, max_detections=1, classes=("cat",))
    assert detector_categories(config) == load_model(BUILTIN)[1].categories
    with load_detector(config) as detector:
        assert detector.info.license
        person, cat, _ = detector.detect(demo_images())
    assert len(person) == 0
    np.testing.assert_allclose(cat.scores, expected[1].scores[:1], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"score": 0.01}, "was exported with --score 0.05"),
        ({"nms_iou": 0.6}, "was exported with --nms-iou 0.4"),
        ({"max_detections": 300}, "was exported with --max-detections 100"),
        ({"model": "fasterrcnn_resnet50_fpn"}, "is a builtin, not a fasterrcnn_resnet50_fpn: leave --model out"),
    ],
)
def test_stricter_thresholds_in_the_file_are_errors(exported, config, message):
    with pytest.raises(InputError, match=message):
        load_detector(DetectorConfig(device="cpu", weights=str(exported), **config))


@pytest.mark.slow
def test_unsupported_backends_are_errors(exported):
    unsupported = {".onnx": "torch", ".xml": "onnxruntime", ".pt": "openvino"}[exported.suffix]
    with pytest.raises(InputError, match=f"{unsupported}"):
        load_detector(DetectorConfig(device="cpu", weights=str(exported), backend=unsupported))
    if exported.suffix == ".pt":
        with pytest.raises(InputError, match="runs in full precision"):
            load_detector(DetectorConfig(device="cpu", weights=str(exported), precision="half"))


@pytest.mark.parametrize("suffix", SUFFIXES.values())
def test_missing_and_damaged_files_are_errors(suffix, tmp_path):
    path = tmp_path / f"model{suffix}"
    with pytest.raises(InputError, match="there is no model file"):
        load_detector(DetectorConfig(weights=str(path)))
    path.write_bytes(b"hello")
    with pytest.raises(InputError, match=r"is damaged|needs the package"):
        load_detector(DetectorConfig(weights=str(path)))


def test_a_file_of_another_program_is_an_error(tmp_path):
    onnx = pytest.importorskip("onnx", reason="the extra [onnx] is not installed")
    graph = onnx.helper.make_graph([], "empty", [], [])
    path = tmp_path / "other.onnx"
    onnx.save(onnx.helper.make_model(graph), path)
    with pytest.raises(InputError, match="was not written by"):
        detector_categories(DetectorConfig(weights=str(path)))


def test_a_traced_transform_resizes_images_to_the_same_size():
    transform = DetectionTransform(320, 512, [0.5] * 3, [0.25] * 3)

    def resize(image):
        return transform.resize(image)[0]

    with quiet_exporters():
        traced = torch.jit.trace(resize, torch.rand(3, 320, 448), check_trace=False)
    rng = np.random.default_rng(0)
    for height, width in [(400, 640), (640, 400), (200, 320), (720, 1280), *rng.integers(100, 900, (60, 2)).tolist()]:
        image = torch.rand(3, height, width)
        torch.testing.assert_close(traced(image), resize(image), atol=0.01, rtol=0)


@pytest.mark.slow
def test_masks_are_exported_too(tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    network = DetectorNetwork(
        architecture="maskrcnn_fpn",
        backbone="resnet18",
        anchor_sizes=((32,), (64,), (128,), (256,), (512,)),
        min_size=128,
        max_size=160,
    )
    info = ModelInfo(
        task="detection", architecture="maskrcnn_fpn", categories=("a", "b"), size=(0, 0), license="", provenance="",
        network=network.model_dump(mode="json"),
    )  # fmt: skip
    weights, path = tmp_path / "mask.safetensors", tmp_path / "mask.onnx"
    save_model(weights, {k: v.numpy() for k, v in build_detector(network, 2).state_dict().items()}, info)
    config = DetectorConfig(device="cpu", weights=str(weights), score=0.0, max_detections=5, backend="torch")
    with load_torch_detector(config) as detector:
        (expected,) = detector.detect(demo_images()[:1])
        export_detector(detector, config, path, "onnx")
    with load_detector(config.model_copy(update={"weights": str(path), "backend": "onnxruntime"})) as detector:
        (detections,) = detector.detect(demo_images()[:1])
    assert len(detections) == len(expected) > 0
    np.testing.assert_allclose(detections.scores, expected.scores, atol=1e-4)
    assert np.abs(detections.data["masks"].astype(int) - expected.data["masks"]).max() <= 1


# `track export`


def run_export(capsys, *arguments):
    """Runs `track export` and returns its exit code and output."""
    with pytest.raises(SystemExit) as exit_info:
        main(["export", *map(str, arguments)])
    return exit_info.value.code, capsys.readouterr()


@pytest.mark.slow
def test_the_command_prints_a_summary_and_overwrites_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, output = run_export(capsys, "builtin", "--format", "torchscript", "--score", 0.3)
    assert code == 0 and output.err == ""
    assert "wrote builtin.pt" in output.out and "scores from 0.3" in output.out
    assert "track video.mp4 --weights builtin.pt" in output.out
    assert [file.name for file in tmp_path.iterdir()] == ["builtin.pt"]
    code, output = run_export(capsys, "builtin", "--format", "torchscript")
    assert code == 2 and "exists" in output.err
    code, output = run_export(capsys, "builtin.pt", "--format", "torchscript", "-o", "again.pt")
    assert code == 2 and "was exported already" in output.err
    Image.new("RGB", (64, 48)).save(tmp_path / "0.png")
    with pytest.raises(SystemExit) as exit_info:
        main([str(tmp_path), "--weights", "builtin.pt", "--embedder", "none", "--output", "tracks.csv", "--quiet"])
    assert exit_info.value.code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("builtn",), "did you mean 'builtin'"),
        (("fasterrcnn_resnet50_fpn",), "needs --weights coco"),
        (("gone.safetensors",), "there is no model file"),
        (("builtin", "--output", "model.pt"), "must end with .onnx"),
        (("builtin", "--output", "gone/model.onnx"), "there is no folder"),
    ],
)
def test_a_mistake_gets_one_sentence(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, output = run_export(capsys, *arguments)
    assert code == 2 and message in output.err and output.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
