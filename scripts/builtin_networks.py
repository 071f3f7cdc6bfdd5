#!/usr/bin/env python3
"""Prepares the trainings of the built-in networks, and the release of the detector.

scripts/builtin_networks.py data SHARED FOLDER       writes train.json, val.json, test.json and teacher.json for
                                                        the detector, and persons.json for the embedder
scripts/builtin_networks.py weights ONNX CONFIG FILE writes the weights that `pretrained` of the config names
scripts/builtin_networks.py average FIRST SECOND FILE writes the mean of two trainings' weights
scripts/builtin_networks.py release WEIGHTS IMAGES FILE writes trained weights in half precision, calibrated on IMAGES,
                                                        and beside FILE the graphs that compute them without PyTorch
scripts/builtin_networks.py graphs                      writes the graphs of the shipped detector and embedder anew

SHARED holds detection/, distill/ and reid/, whose sources the model cards list; ONNX is the teacher,
distill/centernet_512.onnx. The steps between `weights` and `average`:

track train detector configs/detector_builtin.yaml
track train detector configs/detector_builtin.yaml --pretrained runs/detector/model.safetensors --frozen-stages 3 \\
    --learning-rate 6e-4 --backbone-lr-factor 0.15 --folder runs/detector-2
"""

import gzip
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from tracker.config import DetectorConfig, DetectorEvalConfig, DetectorNetwork, detector_network, read_yaml
from tracker.data import read_image
from tracker.data.coco_file import category_entries
from tracker.data.duplicates import find_duplicates, thumbnail
from tracker.data.files import write_bytes, write_json
from tracker.data.image_files import list_images
from tracker.evaluation.detection.calibration import fit_calibration
from tracker.evaluation.detection.inference import detect_images, read_eval_images
from tracker.models import reid
from tracker.models.detection import BUILTIN, build_detector, load_detector, read_weights
from tracker.models.detection.class_maps import LOGIT_OFFSET, CenterNetNeck, ClassMapBackbone
from tracker.models.detection.graph_detector import graph_path
from tracker.models.detection.graph_export import detector_graphs
from tracker.models.detection.mobilenet_v3 import InvertedResidual, MobileNetV3
from tracker.models.detection.torch_factory import load_torch_detector
from tracker.models.model_file import ModelInfo, save_model
from tracker.models.reid import read_network
from tracker.models.reid.graph_export import embedder_graph

ANNOTATED = (
    *("person", "bicycle", "car", "motorcycle", "bus", "truck", "train"),
    *("bird", "cat", "dog", "horse", "sheep", "cow"),
)
"""The classes that people annotated."""
TAUGHT = (
    *("airplane", "boat", "elephant", "bear", "zebra", "giraffe"),
    *("backpack", "umbrella", "handbag", "suitcase", "sports ball", "skateboard"),
)
"""The classes that only the teacher knows."""
CATEGORIES = ANNOTATED + TAUGHT
HELD_OUT_SOURCE = "coco256"  # all of its images are for testing: nothing is trained or chosen on their kind
INPUT_SIZE = (640, 640)  # longest and shortest side, pixels, of `--size auto`
UNTESTED = ("backpack", "handbag", "skateboard")  # classes with less than ten objects that the teacher is sure of
LICENSE = """\
Weights: Apache-2.0, for what the project can grant; see the terms of the training images in the model card. Backbone,
neck and class maps started from weights of 610265158/mobilenetv3_centernet, which states no license, as found in the
package @vladmandic/human 3.3.6 (MIT, without life-critical decisions and surveillance without consent)."""
PROVENANCE = """\
Started from a CenterNet trained on COCO train2017. Pascal VOC 2007/2012 (subset), highway_od, Open Images vehicles,
PennFudan, street and classroom clips, football_indoor, peru_street, and 2,550 unlabeled images, in which that CenterNet
labeled what nobody had annotated; recipe: the model card and configs/detector_builtin.yaml."""
MIN_PERSON_SCORE = 0.2  # of the teacher, for an image that is known to show people
CERTAIN_SCORE = 0.36  # above the teacher_min_score of the config


class Image(NamedTuple):
    """An entry of a COCO file, the path of its image, and its annotations."""

    path: str
    entry: dict[str, Any]
    annotations: list[dict[str, Any]]


def write_data(shared: Path, folder: Path) -> None:
    """Writes the annotated and the unlabeled images for training, two sets of other ones, and the teacher's labels."""
    folder.mkdir(parents=True, exist_ok=True)
    training, validation = (list(read_annotated(shared / "detection", name)) for name in ("train", "val"))
    selected, test = split_validation(training, validation)
    test += [image for image in training if image.entry["source"] == HELD_OUT_SOURCE]
    training = [image for image in training if image.entry["source"] != HELD_OUT_SOURCE]
    pictures = read_gzip(shared / "distill" / "teacher_pictures.json.gz")
    unlabeled = [
        Image(str(shared / "distill" / entry["file_name"]), {**entry, "unlabelled": ANNOTATED}, [])
        for entry in pictures["images"]
    ]
    for name, images in (("train", [*training, *unlabeled]), ("val", selected), ("test", test)):
        write_coco(folder / f"{name}.json", images)
    labels = read_gzip(shared / "distill" / "teacher_train.json.gz")
    teacher = [*teacher_images(pictures, shared / "distill"), *teacher_images(labels, shared / "detection")]
    write_coco(folder / "teacher.json", teacher)
    write_persons(folder / "persons.json", [*training, *unlabeled], teacher, shared / "reid" / "bounding_box_train")


def read_gzip(path: Path) -> Any:
    with gzip.open(path) as file:
        return json.load(file)


def read_annotated(folder: Path, name: str) -> Iterator[Image]:
    content = json.loads((folder / f"{name}.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    annotations: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for each in content["annotations"]:
        label = CATEGORIES.index(names[each["category_id"]]) + 1
        annotations[each["image_id"]].append({"category_id": label, "bbox": each["bbox"], "iscrowd": each["iscrowd"]})
    for entry in content["images"]:
        yield Image(str(folder / entry["file_name"]), entry, annotations[entry["id"]])


def split_validation(training: list[Image], validation: list[Image]) -> tuple[list[Image], list[Image]]:
    """Splits the validation images in halves, of which the second one is for testing.

    What looks like a training image is left out; what looks alike comes into the same half.
    """
    images = [*training, *validation]
    thumbnails = np.array([thumbnail(read_image(Path(image.path))) for image in images])
    digests = [hashlib.md5(Path(image.path).read_bytes()).digest() for image in images]
    parents = list(range(len(images)))

    def root(index: int) -> int:
        while parents[index] != index:
            index = parents[index]
        return index

    in_training = set()
    for each in find_duplicates(thumbnails, digests, [0] * len(training) + [1] * len(validation)):
        parents[root(each.duplicate)] = root(each.original)
        if each.original < len(training):
            in_training.add(each.duplicate)
    halves: tuple[list[Image], list[Image]] = ([], [])
    for index, image in enumerate(validation, len(training)):
        if index not in in_training:
            name = Path(images[root(index)].path).name
            halves[int(hashlib.md5(name.encode()).hexdigest(), 16) % 2].append(image)
    return halves


def teacher_images(content: Any, folder: Path) -> Iterator[Image]:
    """Yields images with the teacher's detections, persons more certain where a person is known to be."""
    names = {category["id"]: category["name"] for category in content["categories"]}
    annotations: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    people = {entry["id"]: entry.get("people", False) for entry in content["images"]}
    for each in content["annotations"]:
        name, score = names[each["category_id"]], each["score"]
        if name in CATEGORIES:
            if name == "person" and people[each["image_id"]] and score >= MIN_PERSON_SCORE:
                score = max(score, CERTAIN_SCORE)
            label = CATEGORIES.index(name) + 1
            annotations[each["image_id"]].append({"category_id": label, "bbox": each["bbox"], "score": score})
    for entry in content["images"]:
        yield Image(str(folder / entry["file_name"]), entry, annotations[entry["id"]])


def write_coco(path: Path, images: list[Image]) -> None:
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(images, 1):
        keys = ("width", "height", "source")
        entry = {"id": number, "file_name": image.path, **{key: image.entry.get(key) for key in keys}}
        entry["unlabelled"] = sorted({*image.entry.get("unlabelled", ()), *TAUGHT})
        entries.append(entry)
        for each in image.annotations:
            annotations.append({"id": len(annotations) + 1, "image_id": number, **each})
    categories = category_entries(CATEGORIES)
    write_json(path, {"images": entries, "annotations": annotations, "categories": categories})
    print(f"{path}: {len(entries)} images, {len(annotations)} objects")


def write_persons(path: Path, images: list[Image], teacher: list[Image], crops: Path) -> None:
    """Writes the persons in images, where nobody annotated one those that the teacher is sure of, and whole crops."""
    label = CATEGORIES.index("person") + 1
    taught = {image.path: image for image in teacher}
    persons = []
    for image in images:
        objects = [each for each in image.annotations if each["category_id"] == label]
        if not objects and image.path in taught:
            certain = (each for each in taught[image.path].annotations if each["score"] >= CERTAIN_SCORE)
            objects = [{**each, "iscrowd": 0} for each in certain if each["category_id"] == label]
        if objects:
            persons.append(Image(image.path, image.entry, objects))
    for file in list_images(crops):
        height, width = read_image(file).shape[:2]
        entry = {"width": width, "height": height, "source": "crops"}
        persons.append(Image(str(file), entry, [{"category_id": label, "bbox": [0, 0, width, height], "iscrowd": 0}]))
    write_coco(path, persons)


def write_weights(onnx_file: Path, network: DetectorNetwork, path: Path) -> None:
    """Writes a detector with the teacher's backbone, neck and class maps, and otherwise random weights."""
    torch.manual_seed(0)
    model = build_detector(network, len(CATEGORIES))
    load_centernet(onnx_file, model.backbone)  # type: ignore[arg-type]
    predictor: Any = model.get_submodule("roi_heads.box_predictor")
    with torch.no_grad():  # each class starts with the logit in its class map
        width = network.head_width
        predictor.cls_score.weight *= 0.2
        predictor.cls_score.weight[:, width:] = 0
        predictor.cls_score.weight[1:, width:] = torch.eye(len(CATEGORIES))
        predictor.cls_score.bias[:] = -LOGIT_OFFSET
        predictor.cls_score.bias[0] = 0
    info = ModelInfo(
        task="detection",
        architecture="builtin",
        categories=CATEGORIES,
        size=(0, 0),
        network=network.model_dump(mode="json"),
    )
    save_model(path, {key: value.numpy() for key, value in model.state_dict().items()}, info)


def write_average(first: Path, second: Path, path: Path) -> None:
    """Writes the mean of the weights of a network before and after its further training.

    Source: Wortsman et al. 2022, Robust fine-tuning of zero-shot models, arXiv 2109.01903.
    """
    (before, info), (after, _) = read_weights(first), read_weights(second)
    save_model(path, {key: ((before[key] + after[key]) / 2).numpy() for key in after}, info)


def write_release(weights: Path, images: Path, path: Path) -> None:
    """Writes a trained detector in half precision, with scores that are calibrated on annotated images."""
    state, info = read_weights(weights)
    kept = [number for number, name in enumerate(info.categories) if name not in UNTESTED]
    for key in ("weight", "bias"):
        rows = state[f"roi_heads.box_predictor.cls_score.{key}"]
        state[f"roi_heads.box_predictor.cls_score.{key}"] = rows[[0, *(1 + number for number in kept)]]
    half = {key: value.half().numpy() for key, value in state.items()}
    changes = {"categories": tuple(info.categories[n] for n in kept), "size": INPUT_SIZE, "calibration": ()}
    texts = {"license": LICENSE.replace("\n", " "), "provenance": PROVENANCE.replace("\n", " ")}
    info = info.model_copy(update=changes | texts)
    save_model(path, half, info)
    with load_detector(DetectorEvalConfig(weights=str(path), device="cpu")) as detector:
        dataset = read_eval_images(detector, images, {})
        predictions, _ = detect_images(detector, dataset, 1, lambda done: None)
    calibration = fit_calibration(predictions, dataset.images, len(info.categories))
    save_model(path, half, info.model_copy(update={"calibration": calibration}))
    write_graphs(path)


def write_graphs(weights: Path) -> None:
    """Writes the graphs of a detector beside its weights."""
    with load_torch_detector(DetectorConfig(weights=str(weights), device="cpu", backend="torch")) as detector:
        for kind, content in detector_graphs(detector.model).items():
            write_bytes(graph_path(weights, kind), content)


def write_shipped_graphs() -> None:
    """Writes the graphs of the built-in detector and of the built-in embedder."""
    write_graphs(BUILTIN)
    network, info = read_network(reid.BUILTIN, "embedding")
    write_bytes(reid.BUILTIN.with_suffix(".onnx"), embedder_graph(network, info.size))


def load_centernet(path: Path, backbone: ClassMapBackbone) -> None:
    """Loads the teacher's weights into body and neck, and the rows of our classes into its class maps."""
    import onnx

    graph = onnx.load(path).graph
    arrays = {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    arrays |= {tensor.name: tensor for tensor in graph.initializer}
    weights = [
        [torch.from_numpy(onnx.numpy_helper.to_array(arrays[name]).astype(np.float32)) for name in node.input[1:]]
        for node in graph.node
        if node.op_type == "Conv"
    ]
    neck = CenterNetNeck(backbone.body.channels, len(COCO_CATEGORIES))
    for module, tensors in zip(convolutions(backbone.body, neck), weights, strict=True):
        weight, bias = [*tensors, torch.zeros(len(tensors[0]))][:2]
        module.load_state_dict({"weight": weight, "bias": bias})
    state = neck.state_dict()
    rows = [COCO_CATEGORIES.index(name) for name in CATEGORIES]
    state |= {key: state[key][rows] for key in ("class_project.weight", "class_project.bias")}
    backbone.neck.load_state_dict(state)


def convolutions(body: MobileNetV3, neck: CenterNetNeck) -> Iterator[nn.Module]:
    """Yields the convolutions of body and neck in the order of the teacher's graph."""
    yield body.stages[0].get_submodule("0")
    for block in (block for stage in body.stages for block in stage.children()):
        if isinstance(block, InvertedResidual):
            squeeze = [block.squeeze.fc1, block.squeeze.fc2] if block.squeeze else []
            yield from [*([block.expand] if block.expand else []), block.depthwise, *squeeze, block.project]
    yield neck.expand
    for merge in (neck.merge16, neck.merge8, neck.merge4):
        yield from (merge.depthwise5, merge.project5, merge.depthwise3, merge.project3)
        yield from (merge.reduce, merge.fine_depthwise, merge.fine)
    yield from (neck.fc1, neck.fc2, neck.class_depthwise, neck.class_project, neck.side_depthwise, neck.side_project)


COCO_CATEGORIES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard"),
    *("cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors"),
    *("teddy bear", "hair drier", "toothbrush"),
)
"""The teacher's classes, in the order of its class maps."""


def main(arguments: list[str]) -> None:
    match arguments:
        case ["data", shared, folder]:
            write_data(Path(shared), Path(folder))
        case ["weights", onnx_file, config, path]:
            network = detector_network(read_yaml(Path(config)).get("network", {}), config)
            write_weights(Path(onnx_file), network, Path(path))
        case ["average", first, second, path]:
            write_average(Path(first), Path(second), Path(path))
        case ["release", weights, images, path]:
            write_release(Path(weights), Path(images), Path(path))
        case ["graphs"]:
            write_shipped_graphs()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
