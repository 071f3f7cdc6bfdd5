"""Tests of the detector: losses on partial labels, results at any batch size and thread count, and bad input."""

import urllib.error
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torchvision
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.ops import box_iou

import tracker.cli.demo
from tracker.config import DetectorConfig, DetectorNetwork
from tracker.errors import InputError
from tracker.models.detection import BUILTIN, build_detector, detector_categories, load_detector, torchvision_names
from tracker.models.detection.detector import resized_shape
from tracker.models.detection.losses import roi_box_loss
from tracker.models.detection.partial_labels import fraction_inside, unlabeled_categories
from tracker.models.model_file import load_model, save_model
from tracker.models.runtime import fold_batch_norm

MOBILE = "fasterrcnn_mobilenet_v3_large_320_fpn"


def demo_images():
    """Returns the demo's person and cat, RGB, of different sizes."""
    folder = Path(tracker.cli.demo.__file__).parent / "demo_images"
    return [np.ascontiguousarray(cv2.imread(str(folder / name))[:, :, ::-1]) for name in ("astronaut.jpg", "cat.jpg")]


def build_builtin(**settings):
    """Returns the built-in architecture, untrained, for three classes."""
    return build_detector(DetectorNetwork(**settings), 3)


def target(boxes=(), labels=(), ignore=(), unlabeled=(), classes=4, size=(96, 96)):
    unlabeled_mask = torch.zeros(1, classes, dtype=torch.bool)
    unlabeled_mask[0, list(unlabeled)] = True
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "ignore": torch.tensor(ignore, dtype=torch.float32).reshape(-1, 4),
        "regions": torch.tensor([[0.0, 0.0, size[1], size[0]]]),
        "unlabeled": unlabeled_mask,
        "uncertain": torch.zeros(0, 4),
        "uncertain_labels": torch.zeros(0, dtype=torch.int64),
    }


# --- losses on partially labeled images ---


def test_fraction_inside_equals_hand_computed_values():
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]])
    assert fraction_inside(boxes, torch.tensor([[0.0, 0, 10, 10]])).tolist() == [1.0, 0.5, 0.0]
    assert fraction_inside(boxes, torch.zeros(0, 4)).tolist() == [0, 0, 0]


def test_a_box_belongs_to_the_region_of_its_center():
    unlabeled = torch.tensor([[False, True], [True, False]])
    mosaic = {**target(), "regions": torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10]]), "unlabeled": unlabeled}
    boxes = torch.tensor([[0.0, 0, 9, 9], [8.0, 0, 18, 9]])
    assert unlabeled_categories(boxes, mosaic).tolist() == [[False, True], [True, False]]


def test_the_position_of_an_uncertain_box_is_background_for_other_categories_only():
    uncertain = {"uncertain": torch.tensor([[0.0, 0, 20, 40]]), "uncertain_labels": torch.tensor([2])}
    boxes = torch.tensor([[2.0, 0, 20, 40], [0, 0, 10, 10], [50, 50, 70, 90]])  # at it, inside it, elsewhere
    at_it, inside_it, elsewhere = unlabeled_categories(boxes, {**target(), **uncertain}).tolist()
    assert at_it == [False, False, True, False]
    assert inside_it == elsewhere == [False] * 4


def test_anchors_at_an_uncertain_box_are_not_background():
    rpn = build_builtin().rpn
    anchors = torch.tensor([[0.0, 0, 20, 20], [60, 60, 90, 90], [60, 60, 66, 66]])
    uncertain = {"uncertain": torch.tensor([[58.0, 58, 88, 88]]), "uncertain_labels": torch.tensor([2])}
    labels, _ = rpn.assign_targets_to_anchors([anchors], [{**target([[0, 0, 20, 20]], [1]), **uncertain}])
    assert labels[0].tolist() == [1, -1, 0]


def test_anchors_inside_a_crowd_are_not_background():
    rpn = build_builtin().rpn
    anchors = torch.tensor([[0.0, 0, 20, 20], [60, 60, 90, 90], [40, 0, 60, 20]])
    labels, _ = rpn.assign_targets_to_anchors(
        [anchors, anchors], [target([[0, 0, 20, 20]], [1], ignore=[[55, 55, 95, 95]]), target([[0, 0, 20, 20]], [1])]
    )
    assert labels[0].tolist() == [1, -1, 0]
    assert labels[1].tolist() == [1, 0, 0]


def test_proposals_inside_a_crowd_are_not_sampled_unless_they_are_an_object():
    heads = build_builtin().roi_heads
    proposals = torch.tensor([[60.0, 60, 90, 90], [0, 0, 20, 20], [58, 58, 88, 88]])
    crowd = target([[0, 0, 20, 20]], [1], ignore=[[55, 55, 95, 95], [0, 0, 30, 30]])
    (sampled,), _, _, _ = heads.select_training_samples([proposals], [crowd])
    assert [box for box in sampled.tolist() if box[0] > 30] == []
    assert [0, 0, 20, 20] in sampled.tolist()


def test_shifted_boxes_of_objects_are_sampled_as_these_objects():
    heads = build_builtin(shifted_boxes=3).roi_heads
    objects = target([[0, 0, 20, 40], [40, 40, 90, 90]], [1, 2])
    torch.manual_seed(0)
    (sampled,), _, (labels,), _ = heads.select_training_samples([torch.zeros(0, 4)], [objects])
    overlaps = box_iou(sampled, objects["boxes"])
    assert len(sampled) == 8 and ((overlaps > 0.3).sum(1) == 1).all()
    assert torch.equal(labels, torch.where(overlaps.max(1).values >= 0.5, overlaps.argmax(1) + 1, 0))


def class_gradients(unlabeled):
    """Returns the gradient of the classifier's biases on an image without any labeled object."""
    torch.manual_seed(0)
    model = build_builtin().train()
    image = torch.rand(3, 96, 96) * 255
    losses = model([image], [target(unlabeled=unlabeled)])
    losses["loss_classifier"].backward()
    return model.roi_heads.box_predictor.cls_score.bias.grad


def test_background_gives_no_gradient_to_classes_that_were_not_annotated():
    fully_labeled, partially_labeled = class_gradients([]), class_gradients([2])
    assert (fully_labeled[1:] > 0).all()
    assert partially_labeled[2] == 0
    assert (partially_labeled[[1, 3]] > 0).all()


def test_box_loss_equals_torchvisions():
    torch.manual_seed(1)
    logits, offsets, targets = torch.randn(40, 5), torch.randn(40, 20), torch.randn(40, 4)
    labels = torch.randint(0, 5, (40,))
    _, expected = fastrcnn_loss(logits, offsets, [labels], [targets])
    heads = build_builtin().roi_heads
    actual = roi_box_loss(offsets, targets, labels, torch.zeros(40, 4), heads.box_coder, heads.network)
    torch.testing.assert_close(actual, expected)


# --- inference ---


def test_folding_batch_norms_keeps_the_feature_maps():
    torch.manual_seed(2)
    model = build_builtin()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        expected = model.eval().backbone(image)
        actual = fold_batch_norm(model).backbone(image)
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())


def to_bytes(results):
    return [(d.boxes.tobytes(), d.scores.tobytes(), d.labels.tobytes()) for d in results]


def test_neither_batch_size_nor_threads_change_a_bit():
    images = [*demo_images(), demo_images()[0][:200, :150].copy()]
    with load_detector(DetectorConfig(score=0.05, threads=1)) as detector:
        expected = [detector.detect([image])[0] for image in images]
    assert sum(map(len, expected)) > 3
    with load_detector(DetectorConfig(score=0.05, threads=3)) as detector:
        assert to_bytes(detector.detect(images)) == to_bytes(expected)
        assert to_bytes(detector.detect(images[::-1])) == to_bytes(expected[::-1])


@pytest.mark.smoke
def test_boxes_are_in_pixels_of_the_original_image():
    image = cv2.resize(demo_images()[0], (360, 634), interpolation=cv2.INTER_CUBIC)
    double = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)  # the network sees both at one size
    with load_detector(DetectorConfig(score=0.3)) as detector:
        small, large = detector.detect([image, double])
    np.testing.assert_allclose(large.boxes[0], 2 * small.boxes[0], atol=0.02 * image.shape[1])
    assert (large.boxes[:, 2] <= double.shape[1]).all()


@pytest.mark.smoke
def test_the_builtin_detector_detects_the_demos_person_and_cat():
    with load_detector(DetectorConfig()) as detector:
        person, cat = detector.detect(demo_images())
        names = detector.info.categories
    assert names[person.labels[0]] == "person"
    assert names[cat.labels[0]] == "cat"


@pytest.mark.smoke
def test_only_the_requested_classes_are_detected():
    with load_detector(DetectorConfig(classes=("cat", "dog"), score=0.05)) as detector:
        detections = detector.detect(demo_images())
        class_ids = {detector.info.categories.index(name) for name in ("cat", "dog")}
    assert set(np.concatenate([d.labels for d in detections]).tolist()) <= class_ids
    assert len(detections[1]) > 0


def test_score_and_number_are_limited():
    with load_detector(DetectorConfig(score=0.0, max_detections=7)) as detector:
        (detections,) = detector.detect(demo_images()[:1])
    assert len(detections) <= 7
    assert (np.diff(detections.scores) <= 0).all()


def test_portrait_and_landscape_images_are_resized_to_fit():
    assert resized_shape(720, 1280, 512, 320) == (288, 512)
    assert resized_shape(1280, 720, 512, 320) == (512, 288)
    assert resized_shape(480, 640, 512, 320) == (320, 427)
    assert resized_shape(1, 5000, 512, 320) == (1, 512)


# --- models by name ---


def test_the_builtin_model_is_small_and_has_a_description():
    state, info = load_model(BUILTIN)
    assert BUILTIN.stat().st_size < 10_000_000
    assert "person" in info.categories
    assert info.license
    assert info.provenance
    assert BUILTIN.with_suffix(".md").is_file()
    assert state
    assert detector_categories(DetectorConfig()) == info.categories


@pytest.mark.parametrize("name", [MOBILE, "ssdlite320_mobilenet_v3_large"])
@pytest.mark.smoke
def test_torchvisions_detectors_work_by_name(monkeypatch, name):
    weights = torchvision.models.get_model_weights(name).DEFAULT
    model = torchvision.models.get_model(name, weights=None, weights_backbone=None)
    monkeypatch.setattr(type(weights), "get_state_dict", lambda self, **options: model.state_dict())
    with load_detector(DetectorConfig(model=name, weights="coco", score=0.0, max_detections=5)) as detector:
        (detections,) = detector.detect(demo_images()[:1])
        assert detector.info.categories[0] == "person"
    assert len(detections) <= 5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model": "fasterrcnn_resnet50_fnp"}, "did you mean 'fasterrcnn_resnet50_fpn'"),
        ({"model": MOBILE}, "needs --weights coco"),
        ({"model": "fasterrcnn_vgg16"}, "needs --weights FILE"),
        ({"model": "fasterrcnn_vgg16", "weights": "coco"}, "has no weights 'coco'"),
        ({"model": MOBILE, "weights": str(BUILTIN)}, "is a builtin, not a fasterrcnn_mobilenet"),
        ({"weights": "coco"}, "has no weights 'coco'"),
        ({"weights": "gone.safetensors"}, "there is no model file"),
        ({"classes": ("persn",)}, "did you mean 'person'"),
        ({"device": "gpu"}, "unknown device"),
        ({"device": "cuda:99"}, "has no device"),
    ],
)
def test_a_mistake_gets_one_sentence(config, message):
    with pytest.raises(InputError, match=message):
        load_detector(DetectorConfig(**config))


def test_torchvisions_weights_are_not_available_offline(monkeypatch):
    weights = torchvision.models.get_model_weights(MOBILE).DEFAULT

    def offline(self, **options):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(type(weights), "get_state_dict", offline)
    with pytest.raises(InputError, match="cannot download"):
        load_detector(DetectorConfig(model=MOBILE, weights="coco"))


@pytest.mark.smoke
def test_damaged_and_foreign_model_files_are_errors(tmp_path):
    content = BUILTIN.read_bytes()
    for name, truncated, message in [
        ("cut.safetensors", content[: len(content) // 2], "not a readable"),
        ("text.safetensors", b"hello", "not a readable"),
        ("empty.safetensors", b"", "not a readable"),
    ]:
        path = tmp_path / name
        path.write_bytes(truncated)
        with pytest.raises(InputError, match=message):
            load_detector(DetectorConfig(weights=str(path)))


def test_a_model_of_another_shape_or_task_is_an_error(tmp_path):
    state, info = load_model(BUILTIN)
    path = tmp_path / "model.safetensors"
    save_model(path, dict(list(state.items())[1:]), info)
    with pytest.raises(InputError, match="does not fit"):
        load_detector(DetectorConfig(weights=str(path)))
    save_model(path, state, info.model_copy(update={"task": "embedding"}))
    with pytest.raises(InputError, match="is a model for embedding"):
        load_detector(DetectorConfig(weights=str(path)))


def test_torchvisions_box_detectors_are_available():
    assert {"fasterrcnn_resnet50_fpn_v2", "retinanet_resnet50_fpn", "fcos_resnet50_fpn", "ssd300_vgg16"} <= set(
        torchvision_names()
    )
