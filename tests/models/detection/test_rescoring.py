"""The second look: what torchvision's own forward says of its proposals, and what a track's predicted box needs."""

import itertools
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torchvision

import tracker.cli.demo
from tracker.config import DetectorConfig
from tracker.errors import InputError
from tracker.models.detection import load_detector
from tracker.structures.boxes import iou

ONE_STAGE = "ssdlite320_mobilenet_v3_large"
PERSON, CAT = 0, 8  # labels of the built-in detector
WALL = np.array([[260, 30, 400, 190], [260, 150, 330, 350], [300, 20, 330, 90]], np.float32)


def scene(width=640, height=360):
    """A grey wall; the demo's person stands at its left, and its cat sits at its right."""
    folder = Path(tracker.cli.demo.__file__).parent / "demo_images"
    image = np.full((height, width, 3), 180, np.uint8)
    for name, share, right in (("astronaut.jpg", 0.7, False), ("cat.jpg", 0.4, True)):
        part = cv2.imread(str(folder / name))[:, :, ::-1]
        size = round(part.shape[1] * share * height / part.shape[0]), round(share * height)
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        left = width - part.shape[1] - 15 if right else 25
        image[-part.shape[0] :, left : left + part.shape[1]] = part
    return image


@pytest.fixture(scope="module")
def builtin():
    with load_detector(DetectorConfig(device="cpu", score=0.8)) as detector:  # what would start a track
        yield detector


@pytest.fixture(autouse=True)
def cores():
    """Sets how many cores PyTorch may use for what the test's own thread computes: at first one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch.set_num_threads
    torch.set_num_threads(before)


def kept(detector, image):
    """Detections of one picture, and its Rescorer."""
    (found,), (rescore,) = detector.detect_with_features(detector.upload([image]))
    return found, rescore


def some_boxes(n, width=640, height=360):
    rng = np.random.default_rng(n)
    corner = rng.uniform(0, (width - 80, height - 140), (n, 2))
    return np.concatenate([corner, corner + rng.uniform(20, (80, 140), (n, 2))], 1).astype(np.float32)


def bits(detections):
    return detections.boxes.tobytes(), detections.scores.tobytes(), detections.labels.tobytes()


# What torchvision says


def untrained(monkeypatch, name, **config):
    """A torchvision detector by name whose weights are noise."""
    torch.manual_seed(0)
    weights = torchvision.models.get_model_weights(name).DEFAULT
    model = torchvision.models.get_model(name, weights=None, weights_backbone=None)
    monkeypatch.setattr(type(weights), "get_state_dict", lambda self, **options: model.state_dict())
    return load_detector(DetectorConfig(model=name, weights="coco", device="cpu", **config))


def assert_detections_are_rescored_proposals(detector, network, image):
    """A detection is a proposal that the head has judged: the Rescorer, asked for that proposal, must say the same."""
    proposals = []

    def watch(rpn, given, output):
        scale = torch.tensor([given[0].image_sizes[0][axis] / image.shape[axis] for axis in (1, 0, 1, 0)])
        proposals.append((output[0][0] / scale).numpy())

    with network.rpn.register_forward_hook(watch):
        found, rescore = kept(detector, image)
    assert len(found) > 1
    for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True):
        judged = rescore(proposals[0], np.full(len(proposals[0]), label))
        same = np.abs(judged.boxes - box).max(1) < 0.02
        assert same.any()
        np.testing.assert_allclose(judged.scores[same].max(), score, rtol=1e-3)


@pytest.mark.parametrize("size", [(640, 360), (333, 500)])
def test_the_builtin_detections_are_rescored_proposals(size):
    with load_detector(DetectorConfig(device="cpu", score=0.2)) as detector:
        assert_detections_are_rescored_proposals(detector, detector.model, scene(*size))


def test_torchvisions_detections_are_rescored_proposals(monkeypatch):
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"  # it resizes pictures itself
    with untrained(monkeypatch, name, score=0.0, max_detections=6) as detector:
        assert_detections_are_rescored_proposals(detector, detector.model, scene(333, 500))


@pytest.mark.slow
def test_mask_rcnns_detections_are_rescored_proposals(monkeypatch):
    with untrained(monkeypatch, "maskrcnn_resnet50_fpn", score=0.0, max_detections=5) as detector:
        detector.model.transform.min_size = (160,)  # 800 takes ten seconds
        assert_detections_are_rescored_proposals(detector, detector.model, scene(200, 150))


# What a tracker needs


def test_a_predicted_box_on_an_object_is_believed_and_pulled_towards_it(builtin):
    found, rescore = kept(builtin, scene())
    assert sorted(found.labels.tolist()) == [PERSON, CAT]
    size = found.boxes[:, 2:] - found.boxes[:, :2]
    for x, y in itertools.product((-0.15, 0.15), (-0.1, 0.1)):
        predicted = found.boxes + np.tile(size * np.array([x, y], np.float32), 2)
        judged = rescore(predicted, found.labels)
        assert (judged.scores > 0.6).all()
        before, after = (np.diag(iou(boxes, found.boxes)) for boxes in (predicted, judged.boxes))
        assert (after > before + 0.1).all()


def test_a_box_on_the_wall_or_of_another_class_is_not(builtin):
    found, rescore = kept(builtin, scene())
    for label in (PERSON, CAT):
        assert (rescore(WALL, np.full(len(WALL), label)).scores < 0.02).all()
    assert (rescore(found.boxes, found.labels[::-1].copy()).scores < 0.2).all()


def test_half_precision_says_much_the_same(builtin):
    """PyTorch's float16; OpenVINO's bfloat16 is coarser."""
    found, rescore = kept(builtin, scene())
    with load_detector(DetectorConfig(device="cpu", precision="half", backend="torch")) as half:
        _, coarse = kept(half, scene())
        judged = coarse(found.boxes, found.labels)
    exact = rescore(found.boxes, found.labels)
    np.testing.assert_allclose(judged.scores, exact.scores, atol=0.01)
    np.testing.assert_allclose(judged.boxes, exact.boxes, atol=1.0)


# Odd boxes


def test_no_boxes(builtin):
    _, rescore = kept(builtin, scene())
    judged = rescore(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    assert len(judged) == 0


def test_what_cannot_be_judged_scores_0_and_keeps_its_box(builtin):
    found, rescore = kept(builtin, scene())
    odd = [
        ([700, 10, 760, 90], PERSON),  # right of the picture
        ([50, -90, 90, 0], PERSON),  # above it
        ([90, 90, 90, 150], PERSON),  # no width
        ([150, 150, 90, 90], PERSON),  # inside out
        ([np.nan, 10, 50, 90], PERSON),
        ([60, 160, 160, 340], len(builtin.info.categories)),  # no such class
        ([60, 160, 160, 340], -1),  # the network's background
    ]
    boxes = np.array([box for box, _ in odd], np.float32)
    labels = np.array([label for _, label in odd], np.int64)
    judged = rescore(np.insert(boxes, 3, found.boxes[0], 0), np.insert(labels, 3, found.labels[0]))
    rest = np.arange(len(odd) + 1) != 3
    np.testing.assert_array_equal(judged.boxes[rest], boxes)
    assert (judged.scores[rest] == 0).all() and judged.scores[3] > 0.9
    assert judged.labels.tolist() == np.insert(labels, 3, found.labels[0]).tolist()
    assert bits(judged[~rest]) == bits(rescore(found.boxes[:1], found.labels[:1]))
    np.testing.assert_array_equal(rescore(boxes, labels).boxes, boxes)  # none is left to judge


def test_a_box_half_outside_is_cut_to_the_picture(builtin):
    found, rescore = kept(builtin, scene())
    x1, y1, x2, _ = found.boxes[0].tolist()
    judged = rescore(np.array([[x1, y1, x2, 5000]], np.float32), found.labels[:1])
    assert judged.scores[0] > 0.9 and judged.boxes[0, 3] <= 360


def test_the_given_arrays_are_left_alone(builtin):
    _, rescore = kept(builtin, scene())
    boxes, labels = some_boxes(9), np.zeros(9, np.int64)
    before = boxes.copy(), labels.copy()
    rescore(boxes, labels)
    np.testing.assert_array_equal(boxes, before[0])
    np.testing.assert_array_equal(labels, before[1])


# One answer


def test_neither_batch_size_nor_threads_change_a_bit(cores):
    images = [scene(), scene(333, 500), scene()[:, ::-1].copy()]
    boxes, labels = some_boxes(50), np.arange(50) % 13  # of fewer, two cores make the same bits as one
    with load_detector(DetectorConfig(device="cpu", threads=1)) as detector:
        plain = [bits(detector.detect([image])[0]) for image in images]
        alone = [bits(kept(detector, image)[1](boxes, labels)) for image in images]
    for threads, order in ((3, [0, 1, 2]), (2, [2, 1, 0]), (1, [1, 2, 0])):
        cores(threads)
        with load_detector(DetectorConfig(device="cpu", threads=threads)) as detector:
            found, rescorers = detector.detect_with_features(detector.upload([images[n] for n in order]))
            assert [bits(d) for d in found] == [plain[n] for n in order]
            assert [bits(rescore(boxes, labels)) for rescore in rescorers] == [alone[n] for n in order]


def test_pictures_that_are_computed_together_keep_their_own_maps(builtin):
    """As on a GPU, where a batch goes through the network at once."""
    builtin.enable_feature_cache()
    images = [image.float() for image in builtin.upload([scene(), scene()[:, ::-1].copy()])]
    with torch.inference_mode():
        together = [output["kept"].maps for output in builtin.model(images)]
        alone = [builtin.model([image])[0]["kept"].maps for image in images]
    for many, one in zip(together, alone, strict=True):
        assert many.keys() == one.keys()
        for name in many:
            torch.testing.assert_close(many[name], one[name], atol=1e-3, rtol=1e-3)


def test_a_box_is_judged_the_same_in_any_company():
    """Not to the bit: the head multiplies one row by other means than fifty. Of other backends this is not promised."""
    with load_detector(DetectorConfig(device="cpu", backend="torch")) as detector:
        _, rescore = kept(detector, scene())
        boxes, labels = some_boxes(50), np.arange(50) % len(detector.info.categories)
        together = rescore(boxes, labels)
        for n in range(50):
            alone = rescore(boxes[n : n + 1], labels[n : n + 1])
            np.testing.assert_allclose(alone.scores, together.scores[n : n + 1], atol=1e-6)
            np.testing.assert_allclose(alone.boxes, together.boxes[n : n + 1], atol=1e-3, rtol=1e-5)


# What it costs


def test_the_trunk_runs_once(builtin):
    runs = []
    with builtin.model.backbone.register_forward_hook(lambda *_: runs.append(1)):
        _, rescore = kept(builtin, scene())
        rescore(WALL, np.zeros(len(WALL), np.int64))
        rescore(WALL, np.ones(len(WALL), np.int64))
    assert len(runs) == 1


def test_the_feature_maps_go_with_the_rescorer(builtin):
    _, rescore = kept(builtin, scene())
    rescore(WALL, np.zeros(len(WALL), np.int64))
    maps = [weakref.ref(tensor) for tensor in rescore.kept.maps.values()]
    assert maps and all(ref() is not None for ref in maps)
    del rescore
    assert all(ref() is None for ref in maps)


def test_a_closed_detector_leaves_its_network_as_it_was():
    with load_detector(DetectorConfig(device="cpu")) as detector:
        detector.enable_feature_cache()
        network, (image,) = detector.model, detector.upload([scene()])
    assert network([image.float()])[0].keys() == {"boxes", "labels", "scores"}


# Networks of one stage


def test_a_network_without_a_roi_head_says_so_at_once(monkeypatch):
    with untrained(monkeypatch, ONE_STAGE, score=0.0, max_detections=3) as detector:
        with pytest.raises(InputError, match=f"^{ONE_STAGE} has no RoI head to rescore"):
            detector.enable_feature_cache()
        with pytest.raises(InputError, match="set rescore to 0"):
            detector.detect_with_features(detector.upload([scene()]))
        assert len(detector.detect([scene()])[0]) <= 3
