"""Labels from a teacher: the detections of another detector take the place of annotations that are missing.

Source: Hinton et al. 2015, arXiv 1503.02531, for learning from another network; Sohn et al. 2020, arXiv 2005.04757, for
its confident detections as labels.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tracker.config import DetectorConfig, DetectorTrainingConfig
from tracker.data import AnnotatedImage, ImageSet
from tracker.data.coco_file import bbox_to_xyxy, category_entries, describe_error, xyxy_to_bbox
from tracker.data.files import write_json
from tracker.data.image_files import IMAGE_SUFFIXES
from tracker.errors import InputError
from tracker.evaluation.detection.inference import detect_images
from tracker.models.detection import load_detector
from tracker.parsing import read_json
from tracker.structures.boxes import iou
from tracker.structures.types import Detections

log = logging.getLogger(__name__)

TEACHER_FILE, VALIDATION_FILE = "teacher.json", "teacher-val.json"  # in the folder of the training
BATCH_SIZE = 8
SAME_OBJECT_IOU = 0.6  # of a teacher's detection with an annotated object from which on it shows that object


def add_unlabeled_images(train_set: ImageSet, folders: Iterable[str]) -> ImageSet:
    """Adds the images of folders and their subfolders, in which no class is annotated, to annotated images.

    Raises:
        InputError: A folder has no images.
    """
    labels = tuple(range(len(train_set.categories)))
    unlabeled = [_unlabeled_image(path, labels) for folder in folders for path in _list_images(Path(folder))]
    return replace(train_set, images=(*train_set.images, *unlabeled))


def keep_classes(image_set: ImageSet, names: Sequence[str]) -> ImageSet:
    """Returns images with further classes before their own, none of whose objects are annotated.

    Example:
        >>> keep_classes(ImageSet(("kitten",), ()), ["person"]).categories
        ('person', 'kitten')
    """
    return image_set.with_categories(tuple(dict.fromkeys((*names, *image_set.categories))))


def learn_from_teacher(train_set: ImageSet, config: DetectorTrainingConfig, file_name: str = TEACHER_FILE) -> ImageSet:
    """Labels what is not annotated in images with the teacher's detections.

    The detections of a network are written to a file in the folder of the training, so that a resumed training has the
    same; a teacher that is such a file is read.

    Args:
        train_set: The images, some of them without labels.
        config: `teacher`, `teacher_min_score` and `teacher_ignore_score`.
        file_name: Name of that file.

    Raises:
        InputError: The teacher cannot be loaded, or knows none of the classes.
    """
    path = Path(config.teacher)
    if path.suffix != ".json":
        path = Path(config.folder) / file_name
        images = tuple(image for image in train_set.images if image.unlabeled)
        if not _is_complete(path, images, config):
            _write_detections(path, replace(train_set, images=images), config)
    detections, known = read_teacher_detections(path, train_set.categories)
    if not known:
        raise InputError(f"the teacher {config.teacher} knows none of {', '.join(train_set.categories)}")
    return add_teacher_labels(train_set, detections, known, config.teacher_min_score, config.teacher_ignore_score)


def _list_images(folder: Path) -> list[Path]:
    images = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise InputError(f"there are no images in {folder}, which was given as unlabeled")
    return images


def _unlabeled_image(path: Path, labels: tuple[int, ...]) -> AnnotatedImage:
    no_boxes = np.zeros((0, 4), np.float32)
    return AnnotatedImage(str(path), path, no_boxes, np.zeros(0, np.int64), (), no_boxes, labels)


def _is_complete(path: Path, images: Sequence[AnnotatedImage], config: DetectorTrainingConfig) -> bool:
    """Returns True if a file holds the detections of the teacher of a config in these images."""
    if not path.is_file():
        return False
    content = read_json(path, "a COCO file")
    names = [entry.get("file_name") for entry in content.get("images", ())]
    return content.get("info") == _description(config) and names == [image.name for image in images]


def _description(config: DetectorTrainingConfig) -> dict[str, object]:
    return {"teacher": config.teacher, "min_score": config.teacher_ignore_score}


def _write_detections(path: Path, image_set: ImageSet, config: DetectorTrainingConfig) -> None:
    """Runs the teacher on images, and writes its detections."""
    log.info("the teacher %s detects objects in %d images", config.teacher, len(image_set.images))
    weights = "" if config.teacher == "builtin" else config.teacher
    device = "cpu" if config.accelerator == "cpu" else "auto"
    settings = DetectorConfig(weights=weights, score=config.teacher_ignore_score, device=device)
    with load_detector(settings) as detector:
        detections, _ = detect_images(detector, image_set, BATCH_SIZE, lambda done: None)
        categories = detector.info.categories
    content = {
        "info": _description(config),
        "images": [{"id": number, "file_name": image.name} for number, image in enumerate(image_set.images, 1)],
        "annotations": list(_annotations(detections)),
        "categories": category_entries(categories),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content)


def _annotations(detections: Sequence[Detections]) -> Iterable[dict[str, object]]:
    for image_id, each in enumerate(detections, 1):
        for box, score, label in zip(each.boxes.tolist(), each.scores.tolist(), each.labels.tolist(), strict=True):
            yield {"image_id": image_id, "category_id": label + 1, "bbox": xyxy_to_bbox(box), "score": score}


def read_teacher_detections(path: Path, categories: tuple[str, ...]) -> tuple[dict[str, Detections], tuple[int, ...]]:
    """Reads detections from a COCO file whose annotations have a `score`.

    Args:
        path: The file.
        categories: Class names by label; detections of other classes are left out.

    Returns:
        The detections by the image's `file_name`, and the labels of the classes that the file knows.

    Raises:
        InputError: The file cannot be read.
    """
    content = read_json(path, "a COCO file")
    try:
        names = {entry["id"]: entry["file_name"] for entry in content["images"]}
        labels = {
            entry["id"]: categories.index(entry["name"])
            for entry in content["categories"]
            if entry["name"] in categories
        }
        rows = defaultdict[str, list[tuple[float, ...]]](list)
        for entry in content["annotations"]:
            if entry["category_id"] in labels:
                box = bbox_to_xyxy(entry["bbox"])
                rows[names[entry["image_id"]]].append((*box, entry["score"], labels[entry["category_id"]]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no COCO file of detections: {describe_error(error)}") from None
    detections = {}
    for name in names.values():
        table = np.array(rows[name], np.float32).reshape(-1, 6)
        detections[name] = Detections(table[:, :4].copy(), table[:, 4].copy(), table[:, 5].astype(np.int64))
    return detections, tuple(sorted(set(labels.values())))


def add_teacher_labels(
    image_set: ImageSet,
    detections: Mapping[str, Detections],
    known_labels: tuple[int, ...],
    min_score: float,
    ignore_score: float,
) -> ImageSet:
    """Labels the classes that were not annotated in an image with a teacher's detections.

    Args:
        image_set: The images. Classes that were annotated in an image keep their annotations there.
        detections: The teacher's detections by image name; other images stay as they are.
        known_labels: The labels of the classes that the teacher knows.
        min_score: Score from which on a detection is an object.
        ignore_score: Score from which on a detection is uncertain: neither an object nor background.

    Returns:
        The images, in the same order.
    """
    images, added = [], 0
    for image in image_set.images:
        if image.name in detections and image.unlabeled:
            labeled = _label(image, detections[image.name], known_labels, min_score, ignore_score)
            added += len(labeled.labels) - len(image.labels)
            images.append(labeled)
        else:
            images.append(image)
    log.info("the teacher adds %d objects to the annotated ones", added)
    return ImageSet(image_set.categories, tuple(images))


def _label(
    image: AnnotatedImage, detections: Detections, known: tuple[int, ...], min_score: float, ignore_score: float
) -> AnnotatedImage:
    missing = [label for label in image.unlabeled if label in known]
    is_new = np.isin(detections.labels, missing) & (detections.scores >= ignore_score)
    is_new &= iou(detections.boxes, image.boxes).max(1, initial=0) < SAME_OBJECT_IOU
    new = detections[is_new & ((detections.boxes[:, 2:] - detections.boxes[:, :2]).min(1) > 0)]
    certain, uncertain = new[new.scores >= min_score], new[new.scores < min_score]
    return replace(
        image,
        boxes=np.concatenate([image.boxes, certain.boxes]),
        labels=np.concatenate([image.labels, certain.labels]),
        segmentations=(*image.segmentations, *[()] * len(certain)),
        unlabeled=tuple(label for label in image.unlabeled if label not in known),
        uncertain=np.concatenate([image.uncertain, uncertain.boxes]),
        uncertain_labels=np.concatenate([image.uncertain_labels, uncertain.labels]),
    )
