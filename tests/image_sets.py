"""Small sets of colored shapes, drawn and written in each format of annotated images."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

NAMES = ("ball", "box")
COLORS = ((220, 40, 40), (40, 190, 60))  # of a ball, of a box
WIDTH, HEIGHT = 160, 120


@dataclass(frozen=True, eq=False)
class DrawnImage:
    """An image, uint8 (H, W, 3) RGB, with the boxes (N, 4) xyxy, labels and polygons (P, 2) of its N shapes."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: list[int]
    polygons: list[NDArray[np.float32]]

    @property
    def xywh(self) -> list[list[float]]:
        return [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in self.boxes.tolist()]


def draw_images(count: int, seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> list[DrawnImage]:
    """Draws gray, noisy images with one to three red balls and green boxes each, which do not overlap."""
    return [_draw(np.random.default_rng([seed, n]), width, height) for n in range(count)]


def _draw(rng: np.random.Generator, width: int, height: int) -> DrawnImage:
    image = rng.integers(100, 140, (height, width, 3)).astype(np.uint8)
    rows, columns = np.mgrid[:height, :width] + 0.5
    boxes: list[list[int]] = []
    labels: list[int] = []
    polygons: list[NDArray[np.float32]] = []
    for column in rng.permutation(3)[: rng.integers(1, 4)]:  # each shape has a third of the image to itself
        label = int(rng.integers(2))
        w, h = (int(side) for side in rng.integers(min(width // 6, height // 4), width // 3 - 4, 2))
        h = min(w if label == 0 else h, height - 4)
        x1 = int(column * (width // 3) + rng.integers(0, width // 3 - w))
        y1 = int(rng.integers(0, height - h))
        if label == 0:
            inside = ((columns - x1 - w / 2) / (w / 2)) ** 2 + ((rows - y1 - h / 2) / (h / 2)) ** 2 <= 1
            angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
            polygon = np.stack([x1 + w / 2 * (1 + np.cos(angle)), y1 + h / 2 * (1 + np.sin(angle))], 1)
        else:
            inside = (columns >= x1) & (columns < x1 + w) & (rows >= y1) & (rows < y1 + h)
            polygon = np.array([[x1, y1], [x1 + w, y1], [x1 + w, y1 + h], [x1, y1 + h]])
        image[inside] = COLORS[label]
        boxes.append([x1, y1, x1 + w, y1 + h])
        labels.append(label)
        polygons.append(polygon.astype(np.float32))
    return DrawnImage(image, np.array(boxes, np.float32), labels, polygons)


def _save(image: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def write_coco(folder: Path, count: int = 6, seed: int = 0, name: str = "train", **size: int) -> Path:
    """Writes NAME.json beside NAME/01.png and so on, with polygons; returns the path of the JSON."""
    coco: dict[str, list[dict[str, object]]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": n, "name": label} for n, label in enumerate(NAMES, 1)],
    }
    for number, drawing in enumerate(draw_images(count, seed, **size), 1):
        file = f"{name}/{number:02}.png"
        height, width = drawing.image.shape[:2]
        _save(drawing.image, folder / file)
        coco["images"].append({"id": number, "file_name": file, "width": width, "height": height})
        for box, label, polygon in zip(drawing.xywh, drawing.labels, drawing.polygons, strict=True):
            row = {"id": len(coco["annotations"]) + 1, "image_id": number, "category_id": label + 1, "iscrowd": 0}
            shape = {"bbox": box, "area": box[2] * box[3], "segmentation": [polygon.ravel().tolist()]}
            coco["annotations"].append({**row, **shape})
    path = folder / f"{name}.json"
    path.write_text(json.dumps(coco, indent=1))
    return path


def write_yolo(folder: Path, train: int = 6, val: int = 4, seed: int = 0, polygons: bool = False, **size: int) -> Path:
    """Writes data.yaml with images/train, images/val and their labels/; returns the path of the YAML file.

    Args:
        folder: Folder for all files.
        train: Number of images of this split.
        val: Number of images of this split.
        seed: Seed of the drawings.
        polygons: Write polygons instead of boxes.
        size: Width and height of the images.
    """
    for split, count, offset in (("train", train, 0), ("val", val, 1000)):
        for number, drawing in enumerate(draw_images(count, seed + offset, **size), 1):
            _save(drawing.image, folder / "images" / split / f"{number:02}.png")
            scale = np.array(drawing.image.shape[1::-1], np.float32)
            centered = [(x + w / 2, y + h / 2, w, h) for x, y, w, h in drawing.xywh]
            shapes = (
                [polygon / scale for polygon in drawing.polygons]
                if polygons
                else np.array(centered) / np.tile(scale, 2)
            )
            rows = [
                " ".join([str(label), *(f"{value:.6f}" for value in np.ravel(shape))])
                for label, shape in zip(drawing.labels, shapes, strict=True)
            ]
            labels = folder / "labels" / split / f"{number:02}.txt"
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text("\n".join(rows) + "\n")
    path = folder / "data.yaml"
    path.write_text(
        yaml.safe_dump({"path": ".", "train": "images/train", "val": "images/val", "names": dict(enumerate(NAMES))})
    )
    return path


VOC_OBJECT = """\
    <object>
        <name>{name}</name>
        <truncated>0</truncated>
        <difficult>0</difficult>
        <bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>
    </object>
"""


def write_voc(folder: Path, count: int = 6, seed: int = 0, split: str = "train", **size: int) -> Path:
    """Writes Annotations/ and JPEGImages/ of one split; returns the path of ImageSets/Main/SPLIT.txt."""
    stems = []
    for number, drawing in enumerate(draw_images(count, seed, **size), 1):
        stems.append(f"{split}{number:02}")
        _save(drawing.image, folder / "JPEGImages" / f"{stems[-1]}.png")
        height, width = drawing.image.shape[:2]
        objects = [
            VOC_OBJECT.format(name=NAMES[label], x1=int(x1) + 1, y1=int(y1) + 1, x2=int(x2), y2=int(y2))
            for (x1, y1, x2, y2), label in zip(drawing.boxes, drawing.labels, strict=True)
        ]
        xml = folder / "Annotations" / f"{stems[-1]}.xml"
        xml.parent.mkdir(parents=True, exist_ok=True)
        xml.write_text(
            f"<annotation>\n    <filename>{stems[-1]}.png</filename>\n"
            f"    <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
            f"{''.join(objects)}</annotation>\n"
        )
    path = folder / "ImageSets" / "Main" / f"{split}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(stems) + "\n")
    return path


def write_mot(folder: Path, count: int = 6, seed: int = 0, **size: int) -> Path:
    """Writes a sequence as MOT16 does: gt/gt.txt, where balls are persons and boxes cars, img1/ and seqinfo.ini."""
    rows = []
    drawings = draw_images(count, seed, **size)
    for frame, drawing in enumerate(drawings, 1):
        _save(drawing.image, folder / "img1" / f"{frame:06}.png")
        for number, ((x, y, w, h), label) in enumerate(zip(drawing.xywh, drawing.labels, strict=True), 1):
            rows.append(f"{frame},{number},{x + 1:g},{y + 1:g},{w:g},{h:g},1,{(1, 3)[label]},1.0")
    (folder / "gt").mkdir(parents=True)
    (folder / "gt" / "gt.txt").write_text("\n".join(rows) + "\n")
    height, width = drawings[0].image.shape[:2]
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname={folder.name}\nimDir=img1\nframeRate=10\nseqLength={count}\n"
        f"imWidth={width}\nimHeight={height}\nimExt=.png\n"
    )
    return folder


WRITERS = {
    "coco": write_coco,
    "yolo": lambda folder: Path(f"{write_yolo(folder)}:train"),
    "yolo polygons": lambda folder: Path(f"{write_yolo(folder, polygons=True)}:train"),
    "voc": write_voc,
    "mot": write_mot,
}
"""Writes six images in each format to a folder, and returns the path to read."""


def replace_text(file: Path, old: str, new: str) -> None:
    """Replaces the first occurrence of a text in a file."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
