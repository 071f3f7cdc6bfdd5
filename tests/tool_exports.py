"""Small sets of drawn shapes in the layouts that labelling tools export, all with the same boxes."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from image_sets import HEIGHT, NAMES, WIDTH, DrawnImage, draw_images

COUNT = 4  # images of a set


def drawings() -> list[DrawnImage]:
    return draw_images(COUNT, seed=5)


def names() -> list[str]:
    return [f"img_{n:04}.jpg" for n in range(COUNT)]


def save_images(folder: Path, files: list[str] | None = None) -> None:
    """Saves the images under the given names, in good quality, since boxes are compared and not pixels."""
    for name, drawing in zip(files or names(), drawings(), strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawing.image).save(folder / name)


def coco_content(file_names: list[str]) -> dict[str, Any]:
    images = [{"id": n, "file_name": name, "width": WIDTH, "height": HEIGHT} for n, name in enumerate(file_names, 1)]
    rows = [
        {"image_id": n, "category_id": label + 1, "bbox": box, "iscrowd": 0, "segmentation": [polygon.ravel().tolist()]}
        for n, drawing in enumerate(drawings(), 1)
        for box, label, polygon in zip(drawing.xywh, drawing.labels, drawing.polygons, strict=True)
    ]
    annotations = [{"id": n, **row} for n, row in enumerate(rows, 1)]
    categories = [{"id": n, "name": name} for n, name in enumerate(NAMES, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def yolo_rows(drawing: DrawnImage) -> str:
    rows = [
        f"{label} {(x + w / 2) / WIDTH:.6f} {(y + h / 2) / HEIGHT:.6f} {w / WIDTH:.6f} {h / HEIGHT:.6f}"
        for (x, y, w, h), label in zip(drawing.xywh, drawing.labels, strict=True)
    ]
    return "\n".join(rows) + "\n"


def write_labels(folder: Path, stems: list[str] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, drawing in zip(stems or [Path(name).stem for name in names()], drawings(), strict=True):
        (folder / f"{stem}.txt").write_text(yolo_rows(drawing))


def write_coco_beside(folder: Path) -> Path:
    """Roboflow's: the images beside the JSON."""
    save_images(folder)
    content = coco_content(names())
    content["categories"] = [
        {"id": 0, "name": "shapes", "supercategory": "none"},
        *({**category, "supercategory": "shapes"} for category in content["categories"]),
    ]
    (folder / "_annotations.coco.json").write_text(json.dumps(content))
    return folder


def write_coco_images(folder: Path) -> Path:
    """CVAT's: annotations/instances_default.json and images/."""
    save_images(folder / "images")
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances_default.json").write_text(json.dumps(coco_content(names())))
    return folder


def write_coco_of_label_studio(folder: Path) -> Path:
    """Label Studio's on Windows: result.json, and names such as images\\1a2b3c4d-NAME."""
    save_images(folder / "images")
    stated = [f"images\\1a2b3c4d-{name}" for name in names()]
    (folder / "result.json").write_text(json.dumps(coco_content(stated)))
    return folder


def write_coco_of_fiftyone(folder: Path) -> Path:
    """FiftyOne's: labels.json and data/."""
    save_images(folder / "data")
    (folder / "labels.json").write_text(json.dumps(coco_content(names())))
    return folder


def write_darknet(folder: Path) -> Path:
    """CVAT's YOLO 1.1: obj.data, obj.names, train.txt, images and labels side by side."""
    save_images(folder / "obj_train_data")
    write_labels(folder / "obj_train_data")
    (folder / "obj.names").write_text("\n".join(NAMES) + "\n")
    (folder / "train.txt").write_text("".join(f"data/obj_train_data/{name}\n" for name in names()))
    (folder / "obj.data").write_text("classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    return folder


def write_ultralytics(folder: Path) -> Path:
    """Ultralytics' data.yaml with an absolute path of another machine, and a list of images."""
    save_images(folder / "images" / "train")
    write_labels(folder / "labels" / "train")
    (folder / "list.txt").write_text("".join(f"/content/set/images/train/{name}\n" for name in names()))
    (folder / "data.yaml").write_text("path: /content/set\ntrain: list.txt\nnames:\n  0: ball\n  1: box\n")
    return folder


def write_yolo_folders(folder: Path) -> Path:
    """Label Studio's YOLO: images/, labels/, classes.txt and notes.json."""
    save_images(folder / "images")
    write_labels(folder / "labels")
    (folder / "classes.txt").write_text("\r\n".join(NAMES))
    (folder / "notes.json").write_text('{"categories": []}')
    return folder


def write_yolo_flat(folder: Path) -> Path:
    """LabelImg's YOLO: images, labels and classes.txt in one folder."""
    save_images(folder)
    write_labels(folder)
    (folder / "classes.txt").write_text("\n".join(NAMES) + "\n")
    return folder


def voc_xml(name: str, drawing: DrawnImage) -> str:
    objects = "".join(
        f"<object><name>{NAMES[label]}</name><difficult>0</difficult><bndbox><xmin>{int(x1) + 1}</xmin>"
        f"<ymin>{int(y1) + 1}</ymin><xmax>{int(x2)}</xmax><ymax>{int(y2)}</ymax></bndbox></object>\n"
        for (x1, y1, x2, y2), label in zip(drawing.boxes, drawing.labels, strict=True)
    )
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    return f"<annotation><folder>x</folder><filename>{name}</filename>{size}\n{objects}</annotation>\n"


def write_voc(folder: Path, images: str, annotations: str, suffix: str = ".jpg") -> Path:
    save_images(folder / images)
    (folder / annotations).mkdir(parents=True, exist_ok=True)
    for name, drawing in zip(names(), drawings(), strict=True):
        stem = Path(name).stem
        (folder / annotations / f"{stem}.xml").write_text(voc_xml(stem + suffix, drawing))
    return folder


def cvat_shapes(drawing: DrawnImage) -> str:
    return "".join(
        f'<box label="{NAMES[label]}" source="manual" occluded="0" xtl="{x1:.2f}" ytl="{y1:.2f}" xbr="{x2:.2f}" '
        f'ybr="{y2:.2f}" z_order="0"></box>\n'
        for (x1, y1, x2, y2), label in zip(drawing.boxes, drawing.labels, strict=True)
    )


CVAT_META = (
    "<meta><task><size>{count}</size><mode>{mode}</mode><labels><label><name>ball</name><type>any</type></label>"
    "<label><name>box</name><type>any</type></label></labels><segments><segment><start>0</start><stop>{last}</stop>"
    "</segment></segments><original_size><width>160</width><height>120</height></original_size></task></meta>"
)


def write_cvat_images(folder: Path) -> Path:
    """CVAT for images 1.1: annotations.xml and images/."""
    save_images(folder / "images")
    images = "".join(
        f'<image id="{n}" name="{name}" width="{WIDTH}" height="{HEIGHT}">\n{cvat_shapes(drawing)}</image>\n'
        for n, (name, drawing) in enumerate(zip(names(), drawings(), strict=True))
    )
    meta = CVAT_META.format(count=COUNT, mode="annotation", last=COUNT - 1)
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{meta}{images}</annotations>'
    (folder / "annotations.xml").write_text(text)
    return folder


def cvat_track_box(frame: int, box: Sequence[float], outside: bool = False, key_frame: bool = True) -> str:
    x1, y1, x2, y2 = box
    state = f'outside="{int(outside)}" occluded="0" keyframe="{int(key_frame)}"'
    return f'<box frame="{frame}" {state} xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}" z_order="0"></box>\n'


def cvat_video(tracks: str, count: int) -> str:
    """Returns the XML of a video of so many frames, which has a size of 160 x 120."""
    meta = CVAT_META.format(count=count, mode="interpolation", last=count - 1)
    return f"<annotations><version>1.1</version>{meta}{tracks}</annotations>"


def write_cvat_video(folder: Path) -> Path:
    """CVAT for video 1.1: a track of one frame for each object, and images/frame_000000.jpg."""
    save_images(folder / "images", [f"frame_{n:06}.jpg" for n in range(COUNT)])
    tracks = "".join(
        f'<track id="{n}{k}" label="{NAMES[label]}" source="manual">{cvat_track_box(n, box)}'
        f"{cvat_track_box(n + 1, box, outside=True)}</track>\n"
        for n, drawing in enumerate(drawings())
        for k, (box, label) in enumerate(zip(drawing.boxes.tolist(), drawing.labels, strict=True))
    )
    (folder / "annotations.xml").write_text(cvat_video(tracks, COUNT))
    return folder


def label_studio_regions(drawing: DrawnImage) -> list[dict[str, Any]]:
    return [
        {
            "id": f"r{n}", "type": "rectanglelabels", "original_width": WIDTH, "original_height": HEIGHT,
            "value": {
                "x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 100 * w / WIDTH, "height": 100 * h / HEIGHT,
                "rotation": 0, "rectanglelabels": [NAMES[label]],
            },
        }
        for n, ((x, y, w, h), label) in enumerate(zip(drawing.xywh, drawing.labels, strict=True))
    ]  # fmt: skip


def write_label_studio(folder: Path) -> Path:
    """Label Studio's JSON, with images that were uploaded or in local storage."""
    save_images(folder / "pictures")
    tasks = []
    for n, (name, drawing) in enumerate(zip(names(), drawings(), strict=True)):
        image = f"/data/upload/1/1a2b3c4d-{name}" if n % 2 else f"/data/local-files/?d=my%20data%2Fpictures%2F{name}"
        annotation = {"result": label_studio_regions(drawing), "was_cancelled": False, "updated_at": "2024-01-01"}
        tasks.append({"id": n, "data": {"image": image}, "annotations": [annotation], "predictions": []})
    (folder / "project-1.json").write_text(json.dumps(tasks))
    return folder / "project-1.json"


def write_label_studio_min(folder: Path) -> Path:
    """Label Studio's JSON-MIN."""
    save_images(folder / "images")
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    tasks = []
    for n, (name, drawing) in enumerate(zip(names(), drawings(), strict=True)):
        regions = [{**region["value"], **size} for region in label_studio_regions(drawing)]
        tasks.append({"id": n, "image": f"/data/upload/1/{name}", "annotation_id": n, "label": regions})
    (folder / "project-1-min.json").write_text(json.dumps(tasks))
    return folder / "project-1-min.json"


def fiftyone_detections(drawing: DrawnImage) -> list[dict[str, Any]]:
    return [
        {"label": NAMES[label], "bounding_box": [x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT]}
        for (x, y, w, h), label in zip(drawing.xywh, drawing.labels, strict=True)
    ]


def write_fiftyone(folder: Path) -> Path:
    """FiftyOneImageDetectionDataset: labels.json and data/."""
    save_images(folder / "data")
    labels = {Path(name).stem: fiftyone_detections(one) for name, one in zip(names(), drawings(), strict=True)}
    (folder / "labels.json").write_text(json.dumps({"classes": list(NAMES), "labels": labels}))
    return folder


def write_fiftyone_dataset(folder: Path) -> Path:
    """FiftyOneDataset: samples.json, metadata.json and data/."""
    save_images(folder / "data")
    samples = []
    for name, drawing in zip(names(), drawings(), strict=True):
        truth = fiftyone_detections(drawing)
        predicted = [{**truth[0], "confidence": 0.5, "bounding_box": [0, 0, 1, 1]}]
        fields = {"ground_truth": {"detections": truth}, "predictions": {"detections": predicted}}
        samples.append({"filepath": f"data/{name}", "metadata": {"width": WIDTH, "height": HEIGHT}, **fields})
    (folder / "samples.json").write_text(json.dumps({"samples": samples}))
    (folder / "metadata.json").write_text("{}")
    return folder


def write_labelme(folder: Path) -> Path:
    """LabelMe's: a JSON beside each image, with rectangles and polygons."""
    save_images(folder)
    for name, drawing in zip(names(), drawings(), strict=True):
        shapes = []
        for n, (box, label, polygon) in enumerate(zip(drawing.boxes, drawing.labels, drawing.polygons, strict=True)):
            corners = box.reshape(2, 2).tolist() if n % 2 else polygon.tolist()
            kind = "rectangle" if n % 2 else "polygon"
            shapes.append({"label": NAMES[label], "points": corners, "shape_type": kind, "flags": {}, "group_id": None})
        shapes.append({"label": "box", "points": [[3, 3]], "shape_type": "point"})
        size = {"imageWidth": WIDTH, "imageHeight": HEIGHT}
        content = {"version": "5.4", "shapes": shapes, "imagePath": f"..\\pictures\\{name}", "imageData": None, **size}
        (folder / Path(name).with_suffix(".json")).write_text(json.dumps(content))
    return folder


EXPORTS: Mapping[str, Callable[[Path], Path]] = {
    "coco beside": write_coco_beside,
    "coco images": write_coco_images,
    "coco label studio": write_coco_of_label_studio,
    "coco fiftyone": write_coco_of_fiftyone,
    "darknet": write_darknet,
    "ultralytics": write_ultralytics,
    "yolo folders": write_yolo_folders,
    "yolo flat": write_yolo_flat,
    "voc": lambda folder: write_voc(folder, "JPEGImages", "Annotations"),
    "voc label studio": lambda folder: write_voc(folder, "images", "Annotations"),
    "voc fiftyone": lambda folder: write_voc(folder, "data", "labels"),
    "voc flat": lambda folder: write_voc(folder, ".", ".", suffix=""),
    "cvat images": write_cvat_images,
    "cvat video": write_cvat_video,
    "label studio": write_label_studio,
    "label studio min": write_label_studio_min,
    "fiftyone": write_fiftyone,
    "fiftyone dataset": write_fiftyone_dataset,
    "labelme": write_labelme,
}
"""Writes four images in each layout to a folder, and returns the path to read."""


def write_export(name: str, folder: Path) -> Path:
    """Writes a layout into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return EXPORTS[name](folder)
