"""Embeddings out of the detector's own maps: of every R-CNN, the same at any batch size, and of use to a tracker."""

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
from tracker import Config, Detector, InputError, Pipeline
from tracker.cli.app import main
from tracker.config import DetectorConfig, DetectorNetwork
from tracker.models.detection import build_detector, load_detector
from tracker.models.detection.roi_embeddings import NEUTRAL_DISTANCE
from tracker.models.model_file import ModelInfo
from video_clips import write_clip

Image = NDArray[np.uint8]

TINY = {"min_size": 64, "max_size": 128}
NARROW = {**TINY, "backbone": "resnet18", "fpn_channels": 32, "head_width": 32}
NETWORKS = {
    "builtin": ({}, 7 * 64),
    "fasterrcnn_fpn": (NARROW, 7 * 32),
    "maskrcnn_fpn": (NARROW, 7 * 32),
    "fasterrcnn_vgg16": ({**TINY, "backbone": "vgg11", "head_width": 32}, 7 * 512),
    "fasterrcnn_resnet50_c4": ({**TINY, "backbone": "resnet18", "roi_pooling": "crop"}, 7 * 256),
    "fasterrcnn_mobilenet_v3_large_320_fpn": (TINY, 7 * 256),
}


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    """What the test's own thread computes is computed as in the detector's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def untrained(name: str, threads: int = 0, **changes: Any) -> Detector:
    torch.manual_seed(0)
    network = DetectorNetwork(architecture=name, **{**NETWORKS[name][0], **changes})
    size = (128, 96) if name == "builtin" else (0, 0)
    info = ModelInfo(
        task="detection", architecture=name, categories=("a", "b"), size=size, license="", provenance=""
    )  # fmt: skip
    return Detector(build_detector(network, 2), info, torch.device("cpu"), threads=threads)


def pictures() -> list[Image]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (h, w, 3)).astype(np.uint8) for h, w in ((60, 90), (90, 60), (60, 90))]


def boxes(count: int) -> NDArray[np.float32]:
    draw = np.random.default_rng(count)
    corner = draw.uniform(0, 30, (count, 2))
    return np.concatenate([corner, corner + draw.uniform(2, 30, (count, 2))], 1).astype(np.float32)


def embedded(detector: Detector, images: Sequence[Image], rows: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    _, lookers = detector.detect_with_features(detector.upload(images))
    return [looker.embed(rows) for looker in lookers]


# What they are


@pytest.mark.parametrize("name", NETWORKS)
def test_every_rcnn_gives_unit_vectors(name: str) -> None:
    with untrained(name) as detector:
        for count in (0, 1, 5):
            (found,) = embedded(detector, pictures()[:1], boxes(count))
            assert found.shape == (count, NETWORKS[name][1]) and found.dtype == np.float32
            np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        assert np.ptp(found, axis=0).max() > 0.01  # five boxes, five vectors


def test_a_network_of_one_stage_says_that_it_has_none() -> None:
    info = ModelInfo(task="detection", architecture="ssd", categories=("a",), size=(0, 0), license="", provenance="")
    detector = Detector(torch.nn.Identity(), info, torch.device("cpu"))
    with detector, pytest.raises(InputError, match=r"^ssd has no RoI head .* appearance\.source to network"):
        detector.enable_feature_cache()


def test_they_are_standardised_maps_pooled_in_rows() -> None:
    """On one map, where torchvision's own function does the pooling, with sums in double precision."""
    with untrained("fasterrcnn_resnet50_c4", roi_pooling="align") as detector:
        image, rows = pictures()[0], boxes(6)
        _, (looker,) = detector.detect_with_features(detector.upload([image]))
        (features,) = looker.kept.maps.values()
        mean, deviation = features.double().mean((2, 3)), features.double().std((2, 3), correction=0)
        scaled = rows * np.tile(np.array(looker.kept.size[::-1], np.float32) / image.shape[1::-1], 2)
        cells = roi_align(features, [torch.from_numpy(scaled.astype(np.float32))], 7, 1 / 16, sampling_ratio=2)
        expected = ((cells.double() - mean[0, :, None, None]) / (deviation[0, :, None, None] + 1e-6)).mean(3).flatten(1)
        expected /= expected.norm(dim=1, keepdim=True)
        np.testing.assert_allclose(looker.embed(rows), expected.numpy(), atol=1e-4)


def test_neither_batch_size_nor_threads_change_a_bit() -> None:
    rows = boxes(9)
    with untrained("builtin", threads=1) as detector:
        alone = [embedded(detector, [image], rows)[0].tobytes() for image in pictures()]
    for threads in (1, 3):
        with untrained("builtin", threads=threads) as detector:
            assert [found.tobytes() for found in embedded(detector, pictures(), rows)] == alone


# What they are good for


def scene(shift: int = 0) -> Image:
    """A grey wall with the demo's person and cat, both moved to the right."""
    folder = Path(tracker.cli.demo.__file__).parent / "demo_images"
    image = np.full((270, 480, 3), 180, np.uint8)
    for name, share, left in (("astronaut.jpg", 0.7, 20), ("cat.jpg", 0.5, 240)):
        part = cv2.imread(str(folder / name))[:, :, ::-1]
        size = round(part.shape[1] * share * 270 / part.shape[0]), round(share * 270)
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        image[-part.shape[0] :, left + shift : left + shift + part.shape[1]] = part
    return image


def test_the_same_object_elsewhere_is_nearer_than_another_one() -> None:
    with load_detector(DetectorConfig(device="cpu", score=0.8)) as detector:
        found, lookers = detector.detect_with_features(detector.upload([scene(), scene(23)]))
        before, after = (looker.embed(seen.boxes) for looker, seen in zip(lookers, found, strict=True))
    assert sorted(found[0].labels) == sorted(found[1].labels) and len(found[0]) == 2
    distance = 1 - before @ after.T
    same = found[0].labels[:, None] == found[1].labels
    assert distance[same].max() < distance[~same].min() / 2
    assert distance[same].max() < NEUTRAL_DISTANCE


# In a run


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tracker.pipeline.networks, "load_embedder", None)  # there is no second network
    return write_clip(Path("clip.mp4"), 8, 10, size=(480, 270), draw=lambda n, width, height: scene(3 * n))


def settings(**changes: Any) -> Config:
    values = {"device": "cpu", **changes.pop("detector", {})}
    return Config.model_validate({"detector": values, "appearance": {"embedding_source": "roi"}, **changes})


def test_a_run_needs_no_embedder_and_gives_the_same_at_any_batch_size(clip: Path) -> None:
    results = []
    for size in (1, 3):
        name = f"{size}.csv"
        outcome = tracker.track_to_files(
            clip, settings(detector={"batch_size": size}, output={"output": (name,), "overwrite": True})
        )
        assert outcome.seconds["embed"] > 0
        results.append(Path(name).read_bytes())
    assert results[0] == results[1] and results[0].count(b"\n") > 10


def test_all_classes_are_told_apart_at_a_distance_of_their_own(clip: Path) -> None:
    with Pipeline(settings()) as pipeline:
        assert pipeline.reid_class_ids == list(range(len(pipeline.categories)))
        assert pipeline.config.tracker.neutral_distance == NEUTRAL_DISTANCE
        assert pipeline.describe()["weights"].keys() == {"detector"}
    with Pipeline(settings(tracker={"neutral_cosine_distance": 0.1})) as pipeline:
        assert pipeline.config.tracker.neutral_distance == 0.1


def test_the_second_look_and_rescoring_go_with_it(clip: Path) -> None:
    config = settings(tracker={"offline": True, "rescore": 0.5, "min_detections": 2})
    assert sum(len(tracks) for _, tracks in tracker.track(clip, config)) > 10


def test_stored_detections_have_no_maps(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("found.csv").write_text("frame,class,score,x1,y1,x2,y2\n0,person,0.9,1,2,30,40\n")
    with pytest.raises(SystemExit) as end:
        main(["retrack", "found.csv", "--embedding-source", "roi"])
    assert end.value.code == 2
    assert "--embedding-source roi takes what the detector saw, which stored detections lack" in capsys.readouterr().err
