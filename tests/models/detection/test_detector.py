"""The detector: its partial losses by hand, its answers at any batch size and thread count, its bad input."""

import urllib.error
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torchvision
from torchvision.models.detection.roi_heads import fastrcnn_loss

import tracker.cli.demo
from tracker.config import DetectorConfig, DetectorNetwork
from tracker.errors import InputError
from tracker.models.detection import BUILTIN, build_detector, categories_of, load_detector, torchvision_names
from tracker.models.detection.detector import resized
from tracker.models.detection.losses import region_box_loss
from tracker.models.detection.partial_labels import share_inside, unlabelled_at
from tracker.models.model_file import load_model, save_model
from tracker.models.runtime import fold_batch_norm

MOBILE = "fasterrcnn_mobilenet_v3_large_320_fpn"


def photographs():
    """The demo's person and cat, RGB, of different sizes."""
    folder = Path(tracker.cli.demo.__file__).parent / "demo_images"
    return [np.ascontiguousarray(cv2.imread(str(folder / name))[:, :, ::-1]) for name in ("astronaut.jpg", "cat.jpg")]


def build_builtin():
    """The built-in architecture, untrained, for three classes."""
    return build_detector(DetectorNetwork(), 3)


def target(boxes=(), labels=(), ignore=(), unlabelled=(), classes=4, size=(96, 96)):
    hidden = torch.zeros(1, classes, dtype=torch.bool)
    hidden[0, list(unlabelled)] = True
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "ignore": torch.tensor(ignore, dtype=torch.float32).reshape(-1, 4),
        "regions": torch.tensor([[0.0, 0.0, size[1], size[0]]]),
        "unlabelled": hidden,
    }


# --- what a picture with incomplete labels teaches ---


def test_share_inside_by_hand():
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]])
    assert share_inside(boxes, torch.tensor([[0.0, 0, 10, 10]])).tolist() == [1.0, 0.5, 0.0]
    assert share_inside(boxes, torch.zeros(0, 4)).tolist() == [0, 0, 0]


def test_a_box_belongs_to_the_region_of_its_centre():
    hidden = torch.tensor([[False, True], [True, False]])
    parts = {"regions": torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10]]), "unlabelled": hidden}
    boxes = torch.tensor([[0.0, 0, 9, 9], [8.0, 0, 18, 9]])
    assert unlabelled_at(boxes, parts).tolist() == [[False, True], [True, False]]


def test_anchors_inside_a_crowd_are_no_background():
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
    assert [row for row in sampled.tolist() if row[0] > 30] == []
    assert [0, 0, 20, 20] in sampled.tolist()


def class_gradients(unlabelled):
    """Gradient of the classifier's biases on a picture without any labelled object."""
    torch.manual_seed(0)
    model = build_builtin().train()
    image = torch.rand(3, 96, 96) * 255
    losses = model([image], [target(unlabelled=unlabelled)])
    losses["loss_classifier"].backward()
    return model.roi_heads.box_predictor.cls_score.bias.grad


def test_background_says_nothing_about_classes_that_were_not_annotated():
    everything, partly = class_gradients([]), class_gradients([2])
    assert (everything[1:] > 0).all()
    assert partly[2] == 0
    assert (partly[[1, 3]] > 0).all()


def test_box_loss_equals_torchvisions():
    torch.manual_seed(1)
    logits, offsets, targets = torch.randn(40, 5), torch.randn(40, 20), torch.randn(40, 4)
    labels = torch.randint(0, 5, (40,))
    _, expected = fastrcnn_loss(logits, offsets, [labels], [targets])
    heads = build_builtin().roi_heads
    found = region_box_loss(offsets, targets, labels, torch.zeros(40, 4), heads.box_coder, heads.network)
    torch.testing.assert_close(found, expected)


# --- the network at work ---


def test_folding_batch_norm_keeps_the_function():
    torch.manual_seed(2)
    model = build_builtin()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        before = model.eval().backbone(image)
        after = fold_batch_norm(model).backbone(image)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())


def bits(found):
    return [(d.boxes.tobytes(), d.scores.tobytes(), d.labels.tobytes()) for d in found]


def test_neither_batch_size_nor_threads_change_a_bit():
    images = [*photographs(), photographs()[0][:200, :150].copy()]
    with load_detector(DetectorConfig(score=0.05, threads=1)) as alone:
        expected = [alone.detect([image])[0] for image in images]
    assert sum(map(len, expected)) > 3
    with load_detector(DetectorConfig(score=0.05, threads=3)) as together:
        assert bits(together.detect(images)) == bits(expected)
        assert bits(together.detect(images[::-1])) == bits(expected[::-1])


def test_boxes_are_in_pixels_of_the_given_picture():
    image = photographs()[1]
    double = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    with load_detector(DetectorConfig(score=0.3)) as detector:
        small, large = detector.detect([image, double])
    np.testing.assert_allclose(large.boxes[0], 2 * small.boxes[0], atol=0.05 * image.shape[1])
    assert (large.boxes[:, 2] <= double.shape[1]).all()


def test_the_shipped_detector_sees_the_demos_person_and_cat():
    with load_detector(DetectorConfig()) as detector:
        person, cat = detector.detect(photographs())
        names = detector.info.categories
    assert names[person.labels[0]] == "person"
    assert names[cat.labels[0]] == "cat"


def test_only_the_wanted_classes_come():
    with load_detector(DetectorConfig(classes=("cat", "dog"), score=0.05)) as detector:
        found = detector.detect(photographs())
        wanted = {detector.info.categories.index(name) for name in ("cat", "dog")}
    assert set(np.concatenate([d.labels for d in found]).tolist()) <= wanted
    assert len(found[1]) > 0


def test_score_and_number_are_limited():
    with load_detector(DetectorConfig(score=0.0, max_detections=7)) as detector:
        (found,) = detector.detect(photographs()[:1])
    assert len(found) <= 7
    assert (np.diff(found.scores) <= 0).all()


def test_a_picture_is_fitted_whichever_way_up():
    assert resized(720, 1280, 512, 320) == (288, 512)
    assert resized(1280, 720, 512, 320) == (512, 288)
    assert resized(480, 640, 512, 320) == (320, 427)
    assert resized(1, 5000, 512, 320) == (1, 512)


# --- models by name ---


def test_the_shipped_model_is_small_and_says_what_it_is():
    state, info = load_model(BUILTIN)
    assert BUILTIN.stat().st_size < 10_000_000
    assert "person" in info.categories
    assert info.license
    assert info.provenance
    assert BUILTIN.with_suffix(".md").is_file()
    assert state
    assert categories_of(DetectorConfig()) == info.categories


@pytest.mark.parametrize("name", [MOBILE, "ssdlite320_mobilenet_v3_large"])
def test_torchvisions_detectors_work_by_name(monkeypatch, name):
    weights = torchvision.models.get_model_weights(name).DEFAULT
    model = torchvision.models.get_model(name, weights=None, weights_backbone=None)
    monkeypatch.setattr(type(weights), "get_state_dict", lambda self, **options: model.state_dict())
    with load_detector(DetectorConfig(model=name, weights="coco", score=0.0, max_detections=5)) as detector:
        (found,) = detector.detect(photographs()[:1])
        assert detector.info.categories[0] == "person"
    assert len(found) <= 5


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model": "fasterrcnn_resnet50_fnp"}, "did you mean 'fasterrcnn_resnet50_fpn'"),
        ({"model": MOBILE}, "needs --weights coco"),
        ({"model": "fasterrcnn_vgg16"}, "needs --weights FILE"),
        ({"model": "fasterrcnn_vgg16", "weights": "coco"}, "has no weights 'coco'"),
        ({"model": MOBILE, "weights": str(BUILTIN)}, "is of builtin, not of fasterrcnn_mobilenet"),
        ({"weights": "coco"}, "has no weights 'coco'"),
        ({"weights": "gone.safetensors"}, "there is no model file"),
        ({"classes": ("persn",)}, "did you mean 'person'"),
        ({"device": "gpu"}, "unknown device"),
        ({"device": "cuda:99"}, "has no device"),
    ],
)
def test_a_mistake_gets_one_sentence(config, said):
    with pytest.raises(InputError, match=said):
        load_detector(DetectorConfig(**config))


def test_torchvisions_weights_are_not_to_be_had_offline(monkeypatch):
    weights = torchvision.models.get_model_weights(MOBILE).DEFAULT

    def offline(self, **options):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(type(weights), "get_state_dict", offline)
    with pytest.raises(InputError, match="cannot download"):
        load_detector(DetectorConfig(model=MOBILE, weights="coco"))


def test_damaged_and_foreign_model_files_are_refused(tmp_path):
    whole = BUILTIN.read_bytes()
    for name, content, said in [
        ("cut.safetensors", whole[: len(whole) // 2], "not a readable"),
        ("text.safetensors", b"hello", "not a readable"),
        ("empty.safetensors", b"", "not a readable"),
    ]:
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError, match=said):
            load_detector(DetectorConfig(weights=str(path)))


def test_a_model_of_another_shape_or_task_is_refused(tmp_path):
    state, info = load_model(BUILTIN)
    path = tmp_path / "model.safetensors"
    save_model(path, dict(list(state.items())[1:]), info)
    with pytest.raises(InputError, match="does not fit"):
        load_detector(DetectorConfig(weights=str(path)))
    save_model(path, state, info.model_copy(update={"task": "embedding"}))
    with pytest.raises(InputError, match="is a model for embedding"):
        load_detector(DetectorConfig(weights=str(path)))


def test_all_of_torchvisions_box_detectors_are_known():
    assert {"fasterrcnn_resnet50_fpn_v2", "retinanet_resnet50_fpn", "fcos_resnet50_fpn", "ssd300_vgg16"} <= set(
        torchvision_names()
    )
