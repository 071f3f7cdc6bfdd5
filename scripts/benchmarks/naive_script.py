"""The script that a user would write instead, of OpenCV, torchvision and deep-sort-realtime."""

import csv
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np

from benchmarks.backends import Job, reference
from tracker.structures.types import Detections

GREEN = (0, 220, 0)


def naive_pipeline(job: Job, clip: str, folder: Path) -> None:
    """Tracks a clip as examples on the web do, frame by frame, into video.mp4 and tracks.csv of a folder.

    Args:
        job: The network, which computes as torchvision's own does; its pictures are not used.
        clip: A video file.
        folder: Where the results go.
    """
    find = reference(job)
    tracker = import_module("deep_sort_realtime.deepsort_tracker").DeepSort(embedder="mobilenet", embedder_gpu=False)
    capture = cv2.VideoCapture(clip)
    size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    code = cv2.VideoWriter.fourcc(*"mp4v")
    video = cv2.VideoWriter(str(folder / "video.mp4"), code, capture.get(cv2.CAP_PROP_FPS), size)
    with (folder / "tracks.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        number = 0
        while True:
            good, picture = capture.read()
            if not good:
                break
            found = find([cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)])[0]
            for track in tracker.update_tracks(_rows(found), frame=picture):
                if track.is_confirmed() and track.time_since_update == 0:
                    box = [round(float(value)) for value in track.to_ltrb()]
                    table.writerow([number, track.track_id, *box])
                    cv2.rectangle(picture, box[:2], box[2:], GREEN, 2)
                    cv2.putText(picture, str(track.track_id), box[:2], cv2.FONT_HERSHEY_SIMPLEX, 0.6, GREEN, 2)
            video.write(picture)
            number += 1
    video.release()
    capture.release()


def _rows(found: Detections) -> list[tuple[list[float], float, int]]:
    """Left, top, width and height; score; class."""
    corners = found.boxes.tolist()
    boxes = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in corners]
    return list(zip(boxes, found.scores.tolist(), found.labels.tolist(), strict=True))
