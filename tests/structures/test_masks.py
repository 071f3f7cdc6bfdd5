"""Masks: equality with the network's, pixels and run lengths, assignment to tracks, drawing, and output."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torchvision.models import resnet18
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.models.detection.roi_heads import paste_masks_in_image

import tracker
import tracker.pipeline.networks
from detection_streams import IMAGE_SIDE, make_detections, no_embeddings, random_stream, run_tracker
from stub_networks import SIZE, StubDetector, install, moving_clip
from tracker import Config, DeepSort, Detections, Frame, Tracks
from tracker.config import ResultConfig, TrackerConfig
from tracker.models.detection import TorchDetector
from tracker.models.model_file import ModelInfo
from tracker.output import Annotator
from tracker.output.drawing import track_color
from tracker.structures.boxes import iou
from tracker.structures.masks import Patch, paste, patch, run_lengths
from tracker.tracking.offline import OfflineTracker

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # raised in pycocotools

coco = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
Image = NDArray[np.uint8]


def disc(side: int = 28) -> Image:
    """Returns (S, S): a disc that touches the four edges of its box, as the covered fraction of each cell."""
    positions = (np.arange(side * 16) + 0.5) / (side * 8) - 1
    inside = np.hypot(positions[:, None], positions) <= 1
    covered: Image = np.rint(inside.reshape(side, 16, side, 16).mean((1, 3)) * 255).astype(np.uint8)
    return covered


def in_ellipse(box: Any, width: int, height: int) -> NDArray[np.bool_]:
    """Returns (H, W), True for the pixels whose centers are in the ellipse that fills a box."""
    x1, y1, x2, y2 = box
    x, y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    inside: NDArray[np.bool_] = ((x - (x1 + x2) / 2) / (x2 - x1)) ** 2 + ((y - (y1 + y2) / 2) / (y2 - y1)) ** 2 <= 0.25
    return inside


def mask_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def make_tracks(*boxes: tuple[float, float, float, float], detection_index: tuple[int, ...] = ()) -> Tracks:
    """Returns tracks 1, 2, ... with these boxes, matched to the detections in order unless given otherwise."""
    n = len(boxes)
    return Tracks(
        np.arange(1, n + 1),
        np.array(boxes, np.float32).reshape(n, 4),
        np.full(n, 0.9, np.float32),
        np.zeros(n, np.int64),
        np.zeros((n, 2), np.float32),
        np.ones(n, np.float32),
        np.ones(n, np.bool_),
        np.array(detection_index or range(n), np.int64),
    )


# Pixels and run lengths


def random_masks(count: int) -> Iterator[tuple[Image, NDArray[np.float32], int, int]]:
    """Yields noise, full masks and discs, in boxes inside, across and outside the borders of small images."""
    rng = np.random.default_rng(0)
    for n in range(count):
        side, width, height = (int(value) for value in rng.integers(1, (30, 80, 60)))
        mask = (rng.integers(0, 256, (side, side)).astype(np.uint8), np.full((side, side), 255, np.uint8), disc())[
            n % 3
        ]
        corner = rng.uniform(-20, 80, 2)
        box = np.concatenate([corner, corner + rng.uniform(0.1, 90, 2)])
        if n % 7 == 0:
            box = np.array([0, 0, width, height])
        yield mask, box.astype(np.float32), width, height


def test_pixels_are_those_of_bilinear_sampling() -> None:
    """Compares with PyTorch's grid_sample at the centers of the pixels."""
    total = 0
    for mask, box, width, height in random_masks(300):
        x1, y1, x2, y2 = box.astype(np.float64)
        x = (torch.arange(width).double() + 0.5 - x1) / (x2 - x1) * 2 - 1
        y = (torch.arange(height).double() + 0.5 - y1) / (y2 - y1) * 2 - 1
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
        sampled = functional.grid_sample(
            torch.from_numpy(mask)[None, None].double(), grid, align_corners=False
        ).numpy()[0, 0]
        clear = np.abs(sampled - 127.5) > 1e-6  # the others depend on rounding
        pixels = paste(mask, box, width, height)
        np.testing.assert_array_equal(pixels[clear], (sampled > 127.5)[clear])
        total += pixels.sum()
    assert total > 50_000


def test_run_lengths_equal_pycocotools() -> None:
    for mask, box, width, height in random_masks(300):
        pixels = paste(mask, box, width, height)
        counts = run_lengths(patch(mask, box, width, height), width, height)
        assert counts == coco.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"].decode()
        np.testing.assert_array_equal(coco.decode({"size": [height, width], "counts": counts}), pixels)


def test_run_lengths_by_hand() -> None:
    # An image of 4x3 pixels; column by column: 4 of background, 5 of the object, 3 of background. Each number is below
    # 16, one group of bits, counted from "0"; from the fourth run on they would be differences.
    pixels = np.array([[0, 1, 0], [1, 1, 0], [1, 1, 0]], np.bool_)
    assert run_lengths(Patch(1, 0, pixels), 4, 3) == "453"


@pytest.mark.parametrize("box", [(5, 5, 5, 20), (100, 5, 120, 20), (-30, 5, -1, 20)])
def test_a_box_outside_the_image_has_no_pixels(box: Any) -> None:
    assert not patch(disc(), np.array(box, np.float32), 64, 48).pixels.size
    assert not paste(disc(), np.array(box, np.float32), 64, 48).any()


# The network's masks


def small_mask_rcnn() -> Any:
    """Returns a Mask R-CNN for small images with random weights, large enough for masks with both kinds of pixels."""
    torch.manual_seed(1)
    backbone = _resnet_fpn_extractor(resnet18(weights=None), 3)
    limits = {"rpn_pre_nms_top_n_test": 50, "rpn_post_nms_top_n_test": 20, "box_detections_per_img": 6}
    model = MaskRCNN(backbone, 4, min_size=120, max_size=160, box_score_thresh=0.0, image_std=[60.0] * 3, **limits)
    for name, values in model.roi_heads.named_parameters():
        if name.startswith(("mask", "box")) and name.endswith("weight"):
            nn.init.normal_(values, std=1.6 / values[0].numel() ** 0.5)
    return model.eval()


@pytest.fixture(scope="module")
def network() -> Any:
    return small_mask_rcnn()


@pytest.fixture(scope="module")
def images() -> list[Image]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (h, w, 3)).astype(np.uint8) for h, w in ((96, 128), (150, 120), (96, 128), (300, 200))]


INFO = ModelInfo(
    task="detection", architecture="small", categories=("a", "b", "c"), size=(0, 0), license="", provenance=""
)


def make_detector(network: Any, **options: Any) -> TorchDetector:
    return TorchDetector(network, INFO, torch.device("cpu"), **options)


@pytest.mark.usefixtures("one_thread")  # as in the detector's threads
def test_masks_equal_the_networks(network: Any, images: list[Image]) -> None:
    """Pasted by torchvision, they equal the result of its forward pass up to the rounding to 256 values."""
    with make_detector(network) as detector:
        results = detector.detect(images)
    for image, detections in zip(images, results, strict=True):
        assert len(detections)
        with torch.inference_mode():
            tensor = torch.from_numpy(image).permute(2, 0, 1).float()
            (expected,) = network.to(memory_format=torch.channels_last)([tensor])
        np.testing.assert_allclose(detections.boxes, expected["boxes"], atol=1e-4)
        probabilities = torch.from_numpy(detections.data["masks"])[:, None].float() / 255
        pasted = paste_masks_in_image(probabilities, expected["boxes"], image.shape[:2])
        assert (pasted - expected["masks"]).abs().max() <= 0.51 / 255
        assert 0.2 < (detections.data["masks"] > 127).mean() < 0.8  # pixels of both kinds
        for mask, box, reference in zip(
            detections.data["masks"], detections.boxes, expected["masks"][:, 0] >= 0.5, strict=True
        ):
            # Torchvision rounds boxes, which moves its masks by up to a pixel.
            assert not paste(mask, box, image.shape[1], image.shape[0])[~dilate(reference.numpy())].any()


def dilate(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns the pixels and those within two of them."""
    return functional.max_pool2d(torch.from_numpy(pixels)[None].float(), 5, 1, 2)[0].bool().numpy()


def test_masks_are_the_same_bytes_in_any_batch(network: Any, images: list[Image]) -> None:
    with make_detector(network, threads=2) as detector:
        batch = detector.detect(images)
        (single,) = zip(*(detector.detect([image]) for image in images), strict=True)
        (cached, _), (cached_part, _) = (detector.detect_with_features(detector.upload(images[n:])) for n in (0, 2))
    for one, two in zip([*batch, *batch, *batch[2:]], [*single, *cached, *cached_part], strict=True):
        for name in ("boxes", "scores", "labels"):
            assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
        assert one.data["masks"].tobytes() == two.data["masks"].tobytes()


def test_no_mask_is_pasted_into_an_image(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pasting would take 8 MB for each object in an image of 1920x1080 pixels."""
    monkeypatch.delattr("torchvision.models.detection.transform.paste_masks_in_image")
    with make_detector(network) as detector:
        (detections,) = detector.detect([np.zeros((48, 64, 3), np.uint8)])
    assert "masks" in detections.data


def test_masks_can_be_left_out(network: Any, images: list[Image], monkeypatch: pytest.MonkeyPatch) -> None:
    with make_detector(network) as detector:
        with_masks = detector.detect(images)
    with monkeypatch.context() as patched, make_detector(network, masks=False) as detector:
        patched.setattr(network.roi_heads.mask_head, "forward", None)  # is not computed
        without_masks = detector.detect(images)
    for one, two in zip(with_masks, without_masks, strict=True):
        assert not two.data
        np.testing.assert_array_equal(one.boxes, two.boxes)
    with make_detector(network) as detector:  # the network is unchanged afterwards
        assert "masks" in detector.detect(images)[0].data


def test_masks_of_some_classes_and_of_no_detections(network: Any, images: list[Image]) -> None:
    with make_detector(network) as detector:
        (detections,) = detector.detect(images[:1])
    label = int(detections.labels[0])
    with make_detector(network, class_ids=[label]) as detector:
        (selected,) = detector.detect(images[:1])
    np.testing.assert_array_equal(selected.data["masks"], detections.data["masks"][detections.labels == label])
    network.roi_heads.score_thresh = 1.0
    try:
        with make_detector(network) as detector:
            (empty,) = detector.detect(images[:1])
    finally:
        network.roi_heads.score_thresh = 0.0
    assert empty.data["masks"].shape == (0, 28, 28)


# Matched detections


@pytest.mark.parametrize("seed", range(3))
def test_tracks_have_the_index_of_the_matched_detection(seed: int) -> None:
    """With a detection weight of 1, a box equals that of the matched row, in any order of the rows."""
    config = TrackerConfig(detection_weight=1, max_coast=0.5, association="iou", recover_iou=0.3)
    rng, matched, predicted = np.random.default_rng(seed), 0, 0
    size = (IMAGE_SIDE, IMAGE_SIDE)
    online, offline = DeepSort(config, (), size), OfflineTracker(config, (), size)
    video = []
    for n, (detections, _) in enumerate(random_stream(seed, doubled=True)):
        video.append(detections[rng.permutation(len(detections))])
        tracks = online.update(video[-1], no_embeddings(video[-1]), n / 25)
        offline.update(video[-1], no_embeddings(video[-1]), n / 25)
        matched, predicted = matched + check_matches(tracks, video[-1]), predicted + (tracks.detection_index < 0).sum()
    assert matched > 50 and predicted > 5
    final = list(offline.finish())
    matched = sum(check_matches(tracks, detections) for tracks, detections in zip(final, video, strict=True))
    assert matched > 50 and sum((tracks.detection_index < 0).sum() for tracks in final) > 5


def check_matches(tracks: Tracks, detections: Detections) -> int:
    np.testing.assert_array_equal(tracks.detection_index >= 0, tracks.observed)
    rows = tracks.detection_index[tracks.observed]
    assert len(np.unique(rows)) == len(rows)
    np.testing.assert_allclose(tracks.boxes[tracks.observed], detections.boxes[rows], rtol=0, atol=1e-3)
    np.testing.assert_array_equal(tracks.scores[tracks.observed], detections.scores[rows])
    return len(rows)


def test_a_track_observed_by_rescoring_has_no_detection() -> None:
    def rescore(boxes: NDArray[np.float32], labels: NDArray[np.int64]) -> Detections:
        return Detections(boxes, np.full(len(boxes), 0.9, np.float32), labels)

    one = make_detections((100, 100, 50, 120))
    config = TrackerConfig(n_init=1, rescore=0.5, offline=True, min_detections=1)
    frames = [one, one, make_detections(), one]
    online = run_tracker(DeepSort(config), frames, rescore=rescore)
    assert [tracks.detection_index.tolist() for tracks in online] == [[0], [0], [-1], [0]]
    assert all(tracks.observed.all() for tracks in online)
    offline = OfflineTracker(config)
    run_tracker(offline, frames, rescore=rescore)
    assert [tracks.detection_index.tolist() for tracks in offline.finish()] == [[0], [0], [-1], [0]]


def test_masks_follow_their_detections() -> None:
    masks = np.stack([disc(4), np.full((4, 4), 7, np.uint8)])
    boxes = np.array([[1, 2, 3, 4], [10, 20, 30, 40]], np.float32)
    tracks = make_tracks((9, 19, 31, 41), (0, 0, 5, 5), (1, 2, 3, 5), detection_index=(1, -1, 0)).with_masks(
        boxes, masks
    )
    np.testing.assert_array_equal(tracks.data["masks"], [masks[1], np.zeros((4, 4)), masks[0]])
    np.testing.assert_array_equal(tracks.data["mask_boxes"], [boxes[1], [0, 0, 0, 0], boxes[0]])
    selected = tracks[np.array([False, True, True])]
    assert selected.ids.tolist() == [2, 3]
    np.testing.assert_array_equal(selected.data["masks"], tracks.data["masks"][1:])
    with pytest.raises(ValueError, match="masks"):
        Detections(boxes, np.ones(2, np.float32), np.zeros(2, np.int64), {"masks": masks[:1]})


# Drawing


def test_a_mask_is_drawn_in_the_color_of_the_track() -> None:
    image, box = np.full((240, 320, 3), 90, np.uint8), (100, 60, 200, 180)
    tracks = make_tracks((90, 50, 210, 190)).with_masks(np.array([box], np.float32), disc()[None])
    frame = Frame(0, 0.0, 0, image)
    drawn = Annotator(["person"], 320, 240, ResultConfig(trail=0)).annotate(frame, tracks)
    without_mask = Annotator(["person"], 320, 240, ResultConfig(trail=0)).annotate(
        frame, make_tracks((90, 50, 210, 190))
    )
    changed = (drawn != without_mask).any(2)
    assert mask_iou(changed, in_ellipse(box, 320, 240)) > 0.95  # the outline is half a pixel outside
    inner = in_ellipse((110, 70, 190, 170), 320, 240)
    assert (drawn[inner] == np.rint(90 * 0.6 + np.array(track_color(1)) * 0.4)).all()
    outline = changed & ~in_ellipse((102, 62, 198, 178), 320, 240)
    assert (drawn[outline][:, 2] > drawn[inner][0, 2]).mean() > 0.4  # id 1 is blue
    assert (image == 90).all()


def test_predicted_tracks_and_masks_outside_draw_nothing() -> None:
    frame, boxes = Frame(0, 0.0, 0, np.full((240, 320, 3), 90, np.uint8)), np.array([[400, 60, 500, 90]], np.float32)
    two = make_tracks((20, 20, 60, 60), (300, 60, 400, 90), detection_index=(-1, 0))
    drawn = Annotator(["person"], 320, 240, ResultConfig(trail=0)).annotate(frame, two.with_masks(boxes, disc()[None]))
    np.testing.assert_array_equal(drawn, Annotator(["person"], 320, 240, ResultConfig(trail=0)).annotate(frame, two))


# Whole runs


class DiscDetector(StubDetector):
    """A stub detector in which the mask of each rectangle is an ellipse that fills its box."""

    def _detect(self, image: Image) -> Detections:
        detections = super()._detect(image)
        return detections.with_data(masks=np.stack([disc()] * len(detections)))


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("load_detector", "load_embedder"):
        monkeypatch.setattr(tracker.pipeline.networks, name, getattr(tracker.pipeline.networks, name))
    install(tracker.pipeline.networks)
    monkeypatch.setattr(tracker.pipeline.networks, "load_detector", lambda config: DiscDetector())
    return moving_clip(Path("clip.mp4"))


def settings(*outputs: str, **tracking: Any) -> Config:
    return Config.model_validate({"output": {"output": outputs, "overwrite": True}, "tracker": tracking})


@pytest.mark.parametrize("tracking", [{}, {"offline": True}, {"max_coast": 1.0, "n_init": 1}])
def test_a_run_writes_and_yields_masks(clip: Path, tracking: dict[str, Any]) -> None:
    tracker.track_to_files(clip, settings("out.json", "out.mp4", **tracking))
    annotations = json.loads(Path("out.json").read_text())["annotations"]
    boxes = [StubDetector()._detect(frame.image).boxes for frame, _ in tracker.track(clip)]
    assert len(annotations) > 50
    for annotation in annotations:
        segmentation = annotation["segmentation"]
        assert segmentation["size"] == [SIZE[1], SIZE[0]]
        pixels = coco.decode(segmentation).astype(bool)
        assert annotation["area"] == pixels.sum() == coco.area(segmentation)
        x, y, width, height = annotation["bbox"]
        overlaps = iou(np.array([[x, y, x + width, y + height]]), boxes[annotation["image_id"] - 1])[0]
        assert overlaps.max() > 0.7
        assert mask_iou(pixels, in_ellipse(boxes[annotation["image_id"] - 1][overlaps.argmax()], *SIZE)) > 0.95
    frames = [tracks for _, tracks in tracker.track(clip, settings(**tracking))]
    assert all("masks" in tracks.data for tracks in frames)
    written = [
        {row["track_id"]: row["segmentation"]["counts"] for row in annotations if row["image_id"] == n + 1}
        for n in range(len(frames))
    ]
    assert written == [
        {
            int(i): run_lengths(patch(mask, box, *SIZE), *SIZE)
            for i, mask, box in zip(tracks.ids, tracks.data["masks"], tracks.data["mask_boxes"], strict=True)
        }
        for tracks in frames
    ]


def test_rows_without_a_mask(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mask of a predicted box is empty; rows of a network without masks have none."""
    detect, calls = DiscDetector._detect, iter(range(1000))

    def detect_with_misses(self: DiscDetector, image: Image) -> Detections:
        detections = detect(self, image)
        return detections[:0] if next(calls) % 10 == 5 else detections

    monkeypatch.setattr(DiscDetector, "_detect", detect_with_misses)
    tracker.track_to_files(clip, settings("out.json", max_coast=1.0))
    rows = json.loads(Path("out.json").read_text())["annotations"]
    assert sum(not row["observed"] for row in rows) > 3
    assert all(row["observed"] == coco.decode(row["segmentation"]).any() for row in rows)
    for row in rows:
        if not row["observed"]:
            assert row["area"] == pytest.approx(row["bbox"][2] * row["bbox"][3], rel=0.01)
    monkeypatch.setattr(tracker.pipeline.networks, "load_detector", lambda config: StubDetector())
    tracker.track_to_files(clip, settings("without.json"))
    assert "segmentation" not in Path("without.json").read_text()
    assert not any(tracks.data for _, tracks in tracker.track(clip))


def test_written_tracks_are_tracked_again_without_masks(clip: Path) -> None:
    tracker.track_to_files(clip, settings("out.json"))
    retracked = [tracks for _, tracks in tracker.retrack("out.json", settings(n_init=1))]
    assert sum(map(len, retracked)) > 40 and not any(tracks.data for tracks in retracked)


def test_masks_of_an_offline_run_are_small(clip: Path) -> None:
    """Checks the size that the docstring of `MaskBuffer` states."""
    from tracker.pipeline.offline_buffer import MaskBuffer

    buffer = MaskBuffer()
    for frame, _ in tracker.track(clip):
        buffer.add(DiscDetector()._detect(frame.image))
    assert 0 < sum(len(packed) for *_, packed in buffer._frames) < 300 * 60
