"""Tracking frame by frame: the tracker, the camera's motion and the votes for finer classes of one source."""

from dataclasses import replace

from tracker.config import Config
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.class_voting import ClassVoter
from tracker.pipeline.frame_analysis import Embeddings, FrameAnalysis
from tracker.structures.boxes import Floats
from tracker.structures.types import Detections, Tracks
from tracker.tracking import DeepSort, Rescorer
from tracker.tracking.camera_motion import CameraMotion


class OnlineTracker:
    """The state of one source that is tracked in the order of its frames.

    Attributes:
        sort: The tracker.
    """

    def __init__(self, config: Config, analyzer: FrameAnalyzer, size: tuple[float, float]) -> None:
        """Starts without tracks; `size` is the width and height of the images, infinite where they are unknown."""
        self.sort = DeepSort(config.tracker, analyzer.reid_class_ids, size)
        self._analyzer = analyzer
        self._camera = CameraMotion(config.tracker.camera_motion)
        self._voter = class_voter(analyzer)
        self._saves_embeddings = config.appearance.save_embeddings

    def update(self, analysis: FrameAnalysis) -> Tracks:
        """Returns the tracks of the next frame."""
        with self._analyzer.timer.measure("associate"):
            tracks = self.sort.update(*self.inputs(analysis))
        return self.complete(analysis, tracks)

    def predict(self, time: float) -> Tracks:
        """Returns the tracks predicted for a frame at `time` seconds on which the detector did not run."""
        with self._analyzer.timer.measure("associate"):
            tracks = self.sort.predict(time)
        return self._voter.with_classes(replace(tracks, categories=self._analyzer.categories))

    def inputs(self, analysis: FrameAnalysis) -> tuple[Detections, Embeddings, float, Floats, Rescorer]:
        """Returns the arguments of `DeepSort.update` for the next frame, on which the detector ran."""
        frame, detections = analysis.frame, analysis.detections
        self.sort.limits.categories = self._analyzer.categories  # to which a program's detections may add
        motion = self._camera.update(frame.image, detections.boxes)
        return detections, analysis.embeddings, frame.time, motion, analysis.rescore

    def complete(self, analysis: FrameAnalysis, tracks: Tracks) -> Tracks:
        """Returns the tracks that `DeepSort.update` gave, with the class names, masks, embeddings and finer classes."""
        detections = analysis.detections
        tracks = replace(tracks, categories=self._analyzer.categories)
        if "masks" in detections.data:
            tracks = tracks.with_masks(detections.boxes, detections.data["masks"])
        if self._saves_embeddings and analysis.embeddings.shape[1]:
            tracks = tracks.with_embeddings(analysis.embeddings)
        self._voter.count(tracks, analysis.class_probs)
        self._voter.keep(self.sort.table.ids.tolist())
        return self._voter.with_classes(tracks)


def class_voter(analyzer: FrameAnalyzer) -> ClassVoter:
    """Returns the vote for the finer classes of an analyzer's classifier; one without classes if it has none."""
    return ClassVoter(analyzer.fine_categories, analyzer.fine_class_ids)
