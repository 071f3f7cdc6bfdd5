"""Masks: the network's own to the bit, in their right places, drawn, written, and on the right track."""

import json
from collections.abc import Iterator
from dataclasses import fields
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
from detection_streams import SIDE, bare, follow, seen, world
from stub_networks import SIZE, StubDetector, install, moving_clip
from tracker import Config, DeepSort, Detections, Detector, Frame, MaskedDetections, MaskedTracks, Tracks
from tracker.config import TrackerConfig
from tracker.models.model_file import ModelInfo
from tracker.output import Annotator
from tracker.output.drawing import colour_of
from tracker.structures.boxes import iou
from tracker.structures.masks import Patch, paste, patch, run_lengths
from tracker.tracking.offline import OfflineTracker

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own

coco = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
Image = NDArray[np.uint8]


def disc(side: int = 28) -> Image:
    """(S, S): the disc that touches the four edges of its box; a cell holds the share of it that is covered."""
    places = (np.arange(side * 16) + 0.5) / (side * 8) - 1
    inside = np.hypot(places[:, None], places) <= 1
    covered: Image = np.rint(inside.reshape(side, 16, side, 16).mean((1, 3)) * 255).astype(np.uint8)
    return covered


def in_ellipse(box: Any, width: int, height: int) -> NDArray[np.bool_]:
    """(H, W), True for the pixels whose centres are in the ellipse that fills a box."""
    x1, y1, x2, y2 = box
    x, y = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    inside: NDArray[np.bool_] = ((x - (x1 + x2) / 2) / (x2 - x1)) ** 2 + ((y - (y1 + y2) / 2) / (y2 - y1)) ** 2 <= 0.25
    return inside


def mask_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def tracks_of(*boxes: tuple[float, float, float, float], found: tuple[int, ...] = ()) -> Tracks:
    """Tracks 1, 2, ... with these boxes, of which the first took the first detection and so on."""
    n = len(boxes)
    return Tracks(
        np.arange(1, n + 1),
        np.array(boxes, np.float32).reshape(n, 4),
        np.full(n, 0.9, np.float32),
        np.zeros(n, np.int64),
        np.zeros((n, 2), np.float32),
        np.ones(n, np.float32),
        np.ones(n, np.bool_),
        np.array(found or range(n), np.int64),
    )


# From cells to pixels, and to run lengths


def some_masks(count: int) -> Iterator[tuple[Image, NDArray[np.float32], int, int]]:
    """Masks of noise, full ones and discs, in boxes inside, across and outside the edges of small pictures."""
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
    """Against PyTorch's grid_sample, at the centres of the pixels."""
    marked = 0
    for mask, box, width, height in some_masks(300):
        x1, y1, x2, y2 = box.astype(np.float64)
        x = (torch.arange(width).double() + 0.5 - x1) / (x2 - x1) * 2 - 1
        y = (torch.arange(height).double() + 0.5 - y1) / (y2 - y1) * 2 - 1
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
        sampled = functional.grid_sample(
            torch.from_numpy(mask)[None, None].double(), grid, align_corners=False
        ).numpy()[0, 0]
        sure = np.abs(sampled - 127.5) > 1e-6  # rounding decides the others
        pixels = paste(mask, box, width, height)
        np.testing.assert_array_equal(pixels[sure], (sampled > 127.5)[sure])
        marked += pixels.sum()
    assert marked > 50_000


def test_run_lengths_are_pycocotools_own() -> None:
    for mask, box, width, height in some_masks(300):
        pixels = paste(mask, box, width, height)
        counts = run_lengths(patch(mask, box, width, height), width, height)
        assert counts == coco.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"].decode()
        np.testing.assert_array_equal(coco.decode({"size": [height, width], "counts": counts}), pixels)


def test_run_lengths_worked_by_hand() -> None:
    # A picture 4 wide and 3 high; down its columns: 4 of background, 5 of the object, 3 of background. Each is below
    # 16, one group of bits, from "0" on; from the fourth run on they would be differences.
    pixels = np.array([[0, 1, 0], [1, 1, 0], [1, 1, 0]], np.bool_)
    assert run_lengths(Patch(1, 0, pixels), 4, 3) == "453"


@pytest.mark.parametrize("box", [(5, 5, 5, 20), (100, 5, 120, 20), (-30, 5, -1, 20)])
def test_a_box_without_a_part_in_the_picture_has_no_pixels(box: Any) -> None:
    assert not patch(disc(), np.array(box, np.float32), 64, 48).pixels.size
    assert not paste(disc(), np.array(box, np.float32), 64, 48).any()


# The network's masks


def small_mask_rcnn() -> Any:
    """A Mask R-CNN of small pictures whose weights are noise, loud enough that masks have both kinds of pixels."""
    torch.manual_seed(1)
    pyramid = _resnet_fpn_extractor(resnet18(weights=None), 3)
    few = {"rpn_pre_nms_top_n_test": 50, "rpn_post_nms_top_n_test": 20, "box_detections_per_img": 6}
    model = MaskRCNN(pyramid, 4, min_size=120, max_size=160, box_score_thresh=0.0, image_std=[60.0] * 3, **few)
    for name, values in model.roi_heads.named_parameters():
        if name.startswith(("mask", "box")) and name.endswith("weight"):
            nn.init.normal_(values, std=1.6 / values[0].numel() ** 0.5)
    return model.eval()


@pytest.fixture(scope="module")
def network() -> Any:
    return small_mask_rcnn()


@pytest.fixture(scope="module")
def pictures() -> list[Image]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (h, w, 3)).astype(np.uint8) for h, w in ((96, 128), (150, 120), (96, 128), (300, 200))]


INFO = ModelInfo(
    task="detection", architecture="small", categories=("a", "b", "c"), size=(0, 0), license="", provenance=""
)


def detector_of(network: Any, **options: Any) -> Detector:
    return Detector(network, INFO, torch.device("cpu"), **options)


@pytest.fixture
def one_core() -> Iterator[None]:
    """What the test's own thread computes is computed as in the detector's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_core")
def test_masks_are_the_networks_own(network: Any, pictures: list[Image]) -> None:
    """Pasted by torchvision they are what torchvision's own forward gives, but for the rounding to 256 values."""
    with detector_of(network) as detector:
        found = detector.detect(pictures)
    for picture, detections in zip(pictures, found, strict=True):
        assert isinstance(detections, MaskedDetections) and len(detections)
        with torch.inference_mode():
            image = torch.from_numpy(picture).permute(2, 0, 1).float()
            (expected,) = network.to(memory_format=torch.channels_last)([image])
        np.testing.assert_allclose(detections.boxes, expected["boxes"], atol=1e-4)
        cells = torch.from_numpy(detections.masks)[:, None].float() / 255
        pasted = paste_masks_in_image(cells, expected["boxes"], picture.shape[:2])
        assert (pasted - expected["masks"]).abs().max() <= 0.51 / 255
        assert 0.2 < (detections.masks > 127).mean() < 0.8  # there is something to see
        for mask, box, theirs in zip(detections.masks, detections.boxes, expected["masks"][:, 0] >= 0.5, strict=True):
            # Theirs are moved by up to a pixel, since they round boxes off.
            assert not paste(mask, box, picture.shape[1], picture.shape[0])[~around(theirs.numpy())].any()


def around(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels and those within two of them."""
    return functional.max_pool2d(torch.from_numpy(pixels)[None].float(), 5, 1, 2)[0].bool().numpy()


def test_masks_are_the_same_bytes_in_any_batch(network: Any, pictures: list[Image]) -> None:
    with detector_of(network, threads=2) as detector:
        together = detector.detect(pictures)
        (alone,) = zip(*(detector.detect([picture]) for picture in pictures), strict=True)
        (kept, _), (again, _) = (detector.detect_with_features(detector.upload(pictures[n:])) for n in (0, 2))
    for one, two in zip([*together, *together, *together[2:]], [*alone, *kept, *again], strict=True):
        for field in fields(MaskedDetections):
            assert getattr(one, field.name).tobytes() == getattr(two, field.name).tobytes()


def test_no_mask_is_pasted_into_a_whole_picture(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which would take 8 MB for each object in a picture of 1920x1080."""
    monkeypatch.delattr("torchvision.models.detection.transform.paste_masks_in_image")
    with detector_of(network) as detector:
        (found,) = detector.detect([np.zeros((48, 64, 3), np.uint8)])
    assert isinstance(found, MaskedDetections)


def test_masks_can_be_left_out(network: Any, pictures: list[Image], monkeypatch: pytest.MonkeyPatch) -> None:
    with detector_of(network) as detector:
        whole = detector.detect(pictures)
    with monkeypatch.context() as patched, detector_of(network, masks=False) as detector:
        patched.setattr(network.roi_heads.mask_head, "forward", None)  # is not computed
        bare_ones = detector.detect(pictures)
    for one, two in zip(whole, bare_ones, strict=True):
        assert type(two) is Detections
        np.testing.assert_array_equal(one.boxes, two.boxes)
    with detector_of(network) as detector:  # the network was given back as it was
        assert isinstance(detector.detect(pictures)[0], MaskedDetections)


def test_empty_pictures_and_chosen_classes(network: Any, pictures: list[Image]) -> None:
    with detector_of(network) as detector:
        (whole,) = detector.detect(pictures[:1])
    kept = int(whole.labels[0])
    with detector_of(network, keep=[kept]) as detector:
        (some,) = detector.detect(pictures[:1])
    np.testing.assert_array_equal(some.masks, whole.masks[whole.labels == kept])
    network.roi_heads.score_thresh = 1.0
    try:
        with detector_of(network) as detector:
            (none,) = detector.detect(pictures[:1])
    finally:
        network.roi_heads.score_thresh = 0.0
    assert none.masks.shape == (0, 28, 28)


# Which detection a track took


@pytest.mark.parametrize("seed", range(3))
def test_tracks_say_which_detection_they_took(seed: int) -> None:
    """A box that is all detection and no estimate is the box of that row, in whatever order the rows come."""
    config = TrackerConfig(detection_weight=1, max_coast=0.5, association="iou", recover_iou=0.3)
    rng, took, missed = np.random.default_rng(seed), 0, 0
    online, offline = DeepSort(config, (), (SIDE, SIDE)), OfflineTracker(config, (), (SIDE, SIDE))
    video = []
    for n, (detections, _) in enumerate(world(seed, doubled=True)):
        video.append(detections[rng.permutation(len(detections))])
        tracks = online.update(video[-1], bare(video[-1]), n / 25)
        offline.update(video[-1], bare(video[-1]), n / 25)
        took, missed = took + check_found(tracks, video[-1]), missed + (tracks.found < 0).sum()
    assert took > 50 and missed > 5
    final = list(offline.finish())
    took = sum(check_found(tracks, detections) for tracks, detections in zip(final, video, strict=True))
    assert took > 50 and sum((tracks.found < 0).sum() for tracks in final) > 5


def check_found(tracks: Tracks, detections: Detections) -> int:
    np.testing.assert_array_equal(tracks.found >= 0, tracks.observed)
    rows = tracks.found[tracks.observed]
    assert len(np.unique(rows)) == len(rows)
    np.testing.assert_allclose(tracks.boxes[tracks.observed], detections.boxes[rows], rtol=0, atol=1e-3)
    np.testing.assert_array_equal(tracks.scores[tracks.observed], detections.scores[rows])
    return len(rows)


def test_a_track_found_by_rescoring_took_no_detection() -> None:
    def there(boxes: NDArray[np.float32], labels: NDArray[np.int64]) -> Detections:
        return Detections(boxes, np.full(len(boxes), 0.9, np.float32), labels)

    one = seen((100, 100, 50, 120))
    config = TrackerConfig(n_init=1, rescore=0.5, offline=True, min_detections=1)
    frames = [one, one, seen(), one]
    online = follow(DeepSort(config), frames, rescore=there)
    assert [tracks.found.tolist() for tracks in online] == [[0], [0], [-1], [0]]
    assert all(tracks.observed.all() for tracks in online)
    look = OfflineTracker(config)
    follow(look, frames, rescore=there)
    assert [tracks.found.tolist() for tracks in look.finish()] == [[0], [0], [-1], [0]]


def test_masks_follow_their_detections() -> None:
    masks = np.stack([disc(4), np.full((4, 4), 7, np.uint8)])
    boxes = np.array([[1, 2, 3, 4], [10, 20, 30, 40]], np.float32)
    tracks = MaskedTracks.of(tracks_of((9, 19, 31, 41), (0, 0, 5, 5), (1, 2, 3, 5), found=(1, -1, 0)), boxes, masks)
    np.testing.assert_array_equal(tracks.masks, [masks[1], np.zeros((4, 4)), masks[0]])
    np.testing.assert_array_equal(tracks.mask_boxes, [boxes[1], [0, 0, 0, 0], boxes[0]])
    later = tracks[np.array([False, True, True])]
    assert isinstance(later, MaskedTracks) and later.ids.tolist() == [2, 3]
    np.testing.assert_array_equal(later.masks, tracks.masks[1:])
    with pytest.raises(ValueError, match="masks"):
        MaskedDetections(boxes, np.ones(2, np.float32), np.zeros(2, np.int64), masks[:1])


# Drawn


def test_a_mask_is_a_stain_in_the_colour_of_the_track() -> None:
    picture, box = np.full((240, 320, 3), 90, np.uint8), (100, 60, 200, 180)
    tracks = MaskedTracks.of(tracks_of((90, 50, 210, 190)), np.array([box], np.float32), disc()[None])
    frame = Frame(0, 0.0, 0, picture)
    drawn = Annotator(["person"], 320, 240, 0).draw(frame, tracks)
    plain = Annotator(["person"], 320, 240, 0).draw(frame, tracks_of((90, 50, 210, 190)))
    stained = (drawn != plain).any(2)
    assert mask_iou(stained, in_ellipse(box, 320, 240)) > 0.95  # the outline is half a pixel outside
    inner = in_ellipse((110, 70, 190, 170), 320, 240)
    assert (drawn[inner] == np.rint(90 * 0.6 + np.array(colour_of(1)) * 0.4)).all()
    outline = stained & ~in_ellipse((102, 62, 198, 178), 320, 240)
    assert (drawn[outline][:, 2] > drawn[inner][0, 2]).mean() > 0.4  # id 1 is blue
    assert (picture == 90).all()


def test_predicted_tracks_and_masks_outside_draw_nothing() -> None:
    frame, boxes = Frame(0, 0.0, 0, np.full((240, 320, 3), 90, np.uint8)), np.array([[400, 60, 500, 90]], np.float32)
    two = tracks_of((20, 20, 60, 60), (300, 60, 400, 90), found=(-1, 0))
    drawn = Annotator(["person"], 320, 240, 0).draw(frame, MaskedTracks.of(two, boxes, disc()[None]))
    np.testing.assert_array_equal(drawn, Annotator(["person"], 320, 240, 0).draw(frame, two))


# Whole runs


class DiscDetector(StubDetector):
    """Gives each rectangle the mask of a disc, stretched over its box."""

    def _detect(self, image: Image) -> MaskedDetections:
        found = super()._detect(image)
        return MaskedDetections(found.boxes, found.scores, found.labels, np.stack([disc()] * len(found)))


@pytest.fixture
def discs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("load_detector", "load_embedder"):
        monkeypatch.setattr(tracker.pipeline.networks, name, getattr(tracker.pipeline.networks, name))
    install(tracker.pipeline.networks)
    monkeypatch.setattr(tracker.pipeline.networks, "load_detector", lambda config: DiscDetector())
    return moving_clip(Path("clip.mp4"))


def settings(*outputs: str, **follow_how: Any) -> Config:
    return Config.model_validate({"output": {"output": outputs, "overwrite": True}, "tracker": follow_how})


@pytest.mark.parametrize("how", [{}, {"offline": True}, {"max_coast": 1.0, "n_init": 1}])
def test_a_run_writes_and_gives_its_masks(discs: Path, how: dict[str, Any]) -> None:
    tracker.track_to_files(discs, settings("out.json", "out.mp4", **how))
    annotations = json.loads(Path("out.json").read_text())["annotations"]
    boxes = [found for frame, _ in tracker.track(discs) for found in [StubDetector()._detect(frame.image).boxes]]
    assert len(annotations) > 50
    for annotation in annotations:
        segmentation = annotation["segmentation"]
        assert segmentation["size"] == [SIZE[1], SIZE[0]]
        pixels = coco.decode(segmentation).astype(bool)
        assert annotation["area"] == pixels.sum() == coco.area(segmentation)
        x, y, width, height = annotation["bbox"]
        near = iou(np.array([[x, y, x + width, y + height]]), boxes[annotation["image_id"] - 1])[0]
        assert near.max() > 0.7
        assert mask_iou(pixels, in_ellipse(boxes[annotation["image_id"] - 1][near.argmax()], *SIZE)) > 0.95
    given = [tracks for _, tracks in tracker.track(discs, settings(**how))]
    assert all(isinstance(tracks, MaskedTracks) for tracks in given)
    written = [
        {row["track_id"]: row["segmentation"]["counts"] for row in annotations if row["image_id"] == n + 1}
        for n in range(len(given))
    ]
    assert written == [
        {
            int(i): run_lengths(patch(mask, box, *SIZE), *SIZE)
            for i, mask, box in zip(tracks.ids, tracks.masks, tracks.mask_boxes, strict=True)
        }
        for tracks in given
    ]


def test_rows_without_a_mask(discs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a predicted box is empty; those of a network without masks say nothing of them."""
    seen_all, calls = DiscDetector._detect, iter(range(1000))

    def blinking(self: DiscDetector, image: Image) -> MaskedDetections:
        found = seen_all(self, image)
        return found[np.zeros(len(found), np.bool_)] if next(calls) % 10 == 5 else found

    monkeypatch.setattr(DiscDetector, "_detect", blinking)
    tracker.track_to_files(discs, settings("out.json", max_coast=1.0))
    rows = json.loads(Path("out.json").read_text())["annotations"]
    assert sum(not row["observed"] for row in rows) > 3
    assert all(row["observed"] == coco.decode(row["segmentation"]).any() for row in rows)
    for row in rows:
        if not row["observed"]:
            assert row["area"] == pytest.approx(row["bbox"][2] * row["bbox"][3], rel=0.01)
    monkeypatch.setattr(tracker.pipeline.networks, "load_detector", lambda config: StubDetector())
    tracker.track_to_files(discs, settings("bare.json"))
    assert "segmentation" not in Path("bare.json").read_text()
    assert all(type(tracks) is Tracks for _, tracks in tracker.track(discs))


def test_what_was_written_is_tracked_again_without_masks(discs: Path) -> None:
    tracker.track_to_files(discs, settings("out.json"))
    again = [tracks for _, tracks in tracker.retrack("out.json", settings(n_init=1))]
    assert sum(map(len, again)) > 40 and all(type(tracks) is Tracks for tracks in again)


def test_masks_of_a_second_look_stay_small(discs: Path) -> None:
    """As the docstring of what keeps them says."""
    from tracker.pipeline.offline_buffer import Masks

    kept = Masks()
    for frame, _ in tracker.track(discs):
        kept.add(DiscDetector()._detect(frame.image))
    assert 0 < sum(len(packed) for *_, packed in kept._frames) < 300 * 60
