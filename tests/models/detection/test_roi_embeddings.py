"""Tests of embeddings from the detector's feature maps: of every R-CNN, at any batch size, and in a tracking run."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.ops import roi_align

import tracker
import tracker.cli.demo
import tracker.pipeline.networks
from tracker import Config, InputError, NetworkAnalyzer, TrackingRun, open_source
from tracker.cli.app import main
from tracker.config import DetectorConfig, DetectorNetwork
from tracker.models.detection import TorchDetector, build_detector, load_detector
from tracker.models.detection.rescoring import NEUTRAL_DISTANCE
from tracker.models.model_file import ModelInfo
from video_clips import write_clip

Image = NDArray[np.uint8]

TINY = {"min_size": 64, "max_size": 128}
NARROW = {**TINY, "backbone": "resnet18", "fpn_channels": 32, "head_width": 32}
NETWORKS = {
    "builtin": ({}, 7 * 96),
    "fasterrcnn_fpn": (NARROW, 7 * 32),
    "maskrcnn_fpn": (NARROW, 7 * 32),
    "fasterrcnn_vgg16": ({**TINY, "backbone": "vgg11", "head_width": 32}, 7 * 512),
    "fasterrcnn_resnet50_c4": ({**TINY, "backbone": "resnet18", "roi_pooling": "crop"}, 7 * 256),
    "fasterrcnn_mobilenet_v3_large_320_fpn": (TINY, 7 * 256),
}


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    """Makes PyTorch use one core in the test's own thread, as in the detector's threads."""
    original = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(original)


def random_detector(name: str, threads: int = 0, **changes: Any) -> TorchDetector:
    torch.manual_seed(0)
    network = DetectorNetwork(architecture=name, **{**NETWORKS[name][0], **changes})
    size = (128, 96) if name == "builtin" else (0, 0)
    info = ModelInfo(
        task="detection", architecture=name, categories=("a", "b"), size=size, license="", provenance=""
    )  # fmt: skip
    return TorchDetector(build_detector(network, 2), info, torch.device("cpu"), threads=threads)


def random_images() -> list[Image]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (h, w, 3)).astype(np.uint8) for h, w in ((60, 90), (90, 60), (60, 90))]


def random_boxes(count: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(count)
    corner = rng.uniform(0, 30, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(2, 30, (count, 2))], 1).astype(np.float32)


def embed(detector: TorchDetector, images: Sequence[Image], boxes: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    _, rescorers = detector.detect_with_features(detector.upload(images))
    return [rescorer.embed(boxes) for rescorer in rescorers]


# Values


@pytest.mark.parametrize("name", NETWORKS)
def test_every_rcnn_gives_unit_vectors(name: str) -> None:
    with random_detector(name) as detector:
        for count in (0, 1, 5):
            (embeddings,) = embed(detector, random_images()[:1], random_boxes(count))
            assert embeddings.shape == (count, NETWORKS[name][1]) and embeddings.dtype == np.float32
            np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
        assert np.ptp(embeddings, axis=0).max() > 0.01  # the five boxes get different vectors


def test_a_one_stage_network_is_an_error() -> None:
    info = ModelInfo(task="detection", architecture="ssd", categories=("a",), size=(0, 0), license="", provenance="")
    detector = TorchDetector(torch.nn.Identity(), info, torch.device("cpu"))
    with detector, pytest.raises(InputError, match=r"^ssd has no RoI head .* appearance\.embedding_source to network"):
        detector.enable_feature_cache()


def test_embeddings_are_normalized_feature_maps_pooled_in_rows() -> None:
    """Compares with torchvision's pooling of a single feature map, with sums in double precision."""
    with random_detector("fasterrcnn_resnet50_c4", roi_pooling="align") as detector:
        image, boxes = random_images()[0], random_boxes(6)
        _, (rescorer,) = detector.detect_with_features(detector.upload([image]))
        (features,) = rescorer.features.feature_maps.values()
        mean, std = features.double().mean((2, 3)), features.double().std((2, 3), correction=0)
        size = np.array(rescorer.features.image_size[::-1], np.float32)
        scaled = boxes * np.tile(size / image.shape[1::-1], 2)
        pooled = roi_align(features, [torch.from_numpy(scaled.astype(np.float32))], 7, 1 / 16, sampling_ratio=2)
        expected = ((pooled.double() - mean[0, :, None, None]) / (std[0, :, None, None] + 1e-6)).mean(3).flatten(1)
        expected /= expected.norm(dim=1, keepdim=True)
        np.testing.assert_allclose(rescorer.embed(boxes), expected.numpy(), atol=1e-4)


def test_neither_batch_size_nor_threads_change_a_bit() -> None:
    boxes = random_boxes(9)
    with random_detector("builtin", threads=1) as detector:
        expected = [embed(detector, [image], boxes)[0].tobytes() for image in random_images()]
    for threads in (1, 3):
        with random_detector("builtin", threads=threads) as detector:
            assert [embeddings.tobytes() for embeddings in embed(detector, random_images(), boxes)] == expected


# Distances


def scene(shift: int = 0) -> Image:
    """Returns a gray wall with the demo's person and cat, both shifted to the right."""
    folder = Path(tracker.cli.demo.__file__).parent / "demo_images"
    image = np.full((270, 480, 3), 180, np.uint8)
    for name, fraction, left in (("astronaut.jpg", 0.7, 20), ("cat.jpg", 0.5, 240)):
        patch = cv2.imread(str(folder / name))[:, :, ::-1]
        size = round(patch.shape[1] * fraction * 270 / patch.shape[0]), round(fraction * 270)
        patch = cv2.resize(patch, size, interpolation=cv2.INTER_AREA)
        image[-patch.shape[0] :, left + shift : left + shift + patch.shape[1]] = patch
    return image


def test_the_same_object_elsewhere_is_nearer_than_another_one() -> None:
    with load_detector(DetectorConfig(device="cpu", score=0.8)) as detector:
        detections, rescorers = detector.detect_with_features(detector.upload([scene(), scene(23)]))
        before, after = (rescorer.embed(d.boxes) for rescorer, d in zip(rescorers, detections, strict=True))
    assert sorted(detections[0].labels) == sorted(detections[1].labels) and len(detections[0]) == 2
    distance = 1 - before @ after.T
    same = detections[0].labels[:, None] == detections[1].labels
    assert distance[same].max() < distance[~same].min() / 2
    assert distance[same].max() < NEUTRAL_DISTANCE


# In a tracking run


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tracker.pipeline.networks, "load_embedder", None)  # must not be called
    return write_clip(Path("clip.mp4"), 8, 10, size=(480, 270), draw=lambda n, width, height: scene(3 * n))


def settings(**changes: Any) -> Config:
    values = {"device": "cpu", **changes.pop("detector", {})}
    return Config.model_validate({"detector": values, "appearance": {"embedding_source": "roi"}, **changes})


def test_a_run_needs_no_embedder_and_gives_the_same_at_any_batch_size(clip: Path) -> None:
    results = []
    for size in (1, 3):
        name = f"{size}.csv"
        result = tracker.track_to_files(
            clip, settings(detector={"batch_size": size}, output={"output": (name,), "overwrite": True})
        )
        assert result.seconds["embed"] > 0
        results.append(Path(name).read_bytes())
    assert results[0] == results[1] and results[0].count(b"\n") > 10


def test_all_classes_have_embeddings_and_the_neutral_distance_is_the_detectors(clip: Path) -> None:
    with open_source(clip, settings().source) as source, NetworkAnalyzer(settings()) as analyzer:
        assert analyzer.reid_class_ids == list(range(len(analyzer.categories)))
        assert TrackingRun(source, analyzer).config.tracker.neutral_distance == NEUTRAL_DISTANCE
        assert analyzer.describe()["weights"].keys() == {"detector"}
        config = settings(tracker={"neutral_cosine_distance": 0.1})
        assert TrackingRun(source, analyzer, config).config.tracker.neutral_distance == 0.1


def test_it_works_with_the_offline_tracker_and_rescoring(clip: Path) -> None:
    config = settings(tracker={"offline": True, "rescore": 0.5, "min_detections": 2})
    assert sum(len(tracks) for _, tracks in tracker.track(clip, config)) > 10


def test_stored_detections_have_no_feature_maps(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("detections.csv").write_text("frame,class,score,x1,y1,x2,y2\n0,person,0.9,1,2,30,40\n")
    with pytest.raises(SystemExit) as exit_info:
        main(["retrack", "detections.csv", "--embedding-source", "roi"])
    assert exit_info.value.code == 2
    assert "--embedding-source roi needs the detector, and stored detections have none" in capsys.readouterr().err
