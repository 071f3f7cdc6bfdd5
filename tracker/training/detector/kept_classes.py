"""Settings of a training that adds classes to those of another detector, which is its teacher.

The layers of that detector keep their weights, and new classes get layers of their own beside them: with few images,
in which the kept classes are rare, a training of all layers would unlearn them. Its further classes are still told from
the background, so that no object of theirs is taken for one of a kept or new class. But a new class takes the place of
those as which it detects the new objects.

Source: Li and Hoiem 2016, Learning without forgetting, arXiv 1606.09282; Rusu et al. 2016, Progressive neural networks,
arXiv 1606.04671, for added layers beside frozen ones.
"""

import logging
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.config import DetectorConfig, DetectorTrainingConfig, detector_network
from tracker.data import ImageSet
from tracker.errors import InputError, did_you_mean
from tracker.models import detection
from tracker.models.model_file import ModelInfo, read_info
from tracker.structures.boxes import iou
from tracker.training.detector.teacher import TEACHER_FILE, read_teacher_detections

log = logging.getLogger(__name__)

SIMILAR_IOU = 0.5
"""Of a teacher's detection with an object from which on it is one of that object."""
SIMILAR_SHARE = 0.2
"""Mean score of the detections of a class on the objects of a new one from which on that class is similar."""
LEARNING_RATE, SIMILAR_LEARNING_RATE = 5e-4, 5e-5
"""Of the layers of added classes, unless another one is given; and where all classes start from a similar one: a faster
training, on images of the new class alone, would teach to find it everywhere."""


def with_kept_classes(config: DetectorTrainingConfig) -> DetectorTrainingConfig:
    """Returns the settings with the teacher, and with its weights and input size, if classes are to be kept.

    Raises:
        InputError: The teacher does not know one of the classes.
    """
    if not config.keep_classes:
        return config
    teacher = config.teacher or "builtin"
    names = [name.strip() for text in config.keep_classes for name in text.split(",") if name.strip()]
    changes: dict[str, object] = {"teacher": teacher}
    if not teacher.endswith(".json"):
        known = detection.detector_categories(DetectorConfig(weights="" if teacher == "builtin" else teacher))
        for name in names:
            if name not in known:
                raise InputError(f"keep_classes: unknown class {name!r}{did_you_mean(name, list(known))}")
        names.sort(key=known.index)  # added ones are the last ones
        changes["pretrained"] = config.pretrained or teacher
    config = config.model_copy(update={**changes, "keep_classes": tuple(dict.fromkeys(names))})
    info = _teacher_info(config)
    if info is None:
        return config
    return _with_defaults(config, size=info.size)


def with_added_classes(config: DetectorTrainingConfig, train_set: ImageSet) -> DetectorTrainingConfig:
    """Returns the settings with the teacher's network, to which layers for the classes that it lacks are added.

    Args:
        config: Settings that `with_kept_classes` returned.
        train_set: The training images, with the kept classes first, which the teacher has labelled.

    Raises:
        InputError: `similar_classes` names an unknown class.
    """
    info = _teacher_info(config)
    if info is None:
        return config
    own, categories = detection.first_layer_classes(info), train_set.categories
    added = [name for name in categories if name not in own or name not in config.keep_classes]
    if not added:
        return config
    similar = config.similar_classes or _find_similar_classes(config, train_set, info.categories)
    replaced = {name for names in similar.values() for name in names.split("/")}
    for name in sorted(replaced):
        if name not in info.categories:
            raise InputError(f"similar_classes: unknown class {name!r}{did_you_mean(name, list(info.categories))}")
    others = sum(name not in (*categories, *replaced) for name in own)
    counts = {"added_classes": len(added), "other_classes": others}
    values = {**info.network, **config.network.model_dump(exclude_unset=True), **counts}
    network = detector_network(values, "the network of the teacher")
    rate = SIMILAR_LEARNING_RATE if similar.keys() >= set(added) else LEARNING_RATE
    config = _with_defaults(config, learning_rate=rate)
    return config.model_copy(update={"network": network, "similar_classes": similar})


def _with_defaults(config: DetectorTrainingConfig, **defaults: object) -> DetectorTrainingConfig:
    """Returns the settings with other values for those that are not given."""
    given = config.model_fields_set
    return config.model_copy(update={name: value for name, value in defaults.items() if name not in given})


def _find_similar_classes(
    config: DetectorTrainingConfig, train_set: ImageSet, categories: tuple[str, ...]
) -> dict[str, str]:
    """Returns the classes as which the teacher detects the objects of each new class, the most frequent one first."""
    path = Path(config.folder) / TEACHER_FILE
    detections, _ = read_teacher_detections(path, categories) if path.is_file() else ({}, ())
    shares = defaultdict[int, NDArray[np.float64]](lambda: np.zeros(len(categories)))
    counts = Counter[int]()
    for image in train_set.images:
        new = np.array([train_set.categories[label] not in config.keep_classes for label in image.labels], bool)
        found = detections.get(image.name)
        counts.update(image.labels[new].tolist())
        if found is None or not len(found) or not new.any():
            continue
        same = iou(image.boxes[new], found.boxes) >= SIMILAR_IOU
        for label, matches in zip(image.labels[new].tolist(), same, strict=True):
            best = np.zeros(len(categories))
            np.maximum.at(best, found.labels[matches], found.scores[matches].astype(np.float64))
            shares[label] += best
    similar = {}
    for label, share in shares.items():
        names = [categories[n] for n in np.argsort(-share) if share[n] >= SIMILAR_SHARE * counts[label]]
        if names:
            similar[train_set.categories[label]] = "/".join(names)
            log.info("the teacher knows %s as %s, from which it starts", train_set.categories[label], ", ".join(names))
    return similar


def _teacher_info(config: DetectorTrainingConfig) -> ModelInfo | None:
    """Returns the description of the teacher, if layers can be added to it: one with class maps."""
    if not config.keep_classes or config.pretrained != config.teacher or config.recipe != "joint":
        return None
    path = detection.BUILTIN if config.teacher == "builtin" else Path(config.teacher)
    info = read_info(path) if path.suffix == ".safetensors" else None
    if info is None or not info.network.get("num_class_maps"):
        return None
    asked = config.network.model_dump(exclude_unset=True)
    return info if all(info.network.get(name) == value for name, value in asked.items()) else None
