"""Where the stages meet: frames, detections, embeddings, tracks, results."""

from collections.abc import Generator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from tracker.config import Config
from tracker.models.detection import Detector, load_detector, weights_path
from tracker.models.detection.roi_embeddings import NEUTRAL_DISTANCE
from tracker.models.reid import embedder_path, load_classifier, load_embedder
from tracker.models.runtime import in_half
from tracker.pipeline.analyzer import Stages, check_source
from tracker.pipeline.file_run import Looker, RunResult, Watcher, run_to_files
from tracker.pipeline.frame_sampler import Perceived
from tracker.pipeline.run_record import file_hash
from tracker.structures.types import Frame, Tracks
from tracker.tracking import Rescorer, no_rescoring
from tracker.video import open_source


class Pipeline(Stages):
    """The networks of a config, loaded once; each run over a source has a tracker of its own.

    Attributes:
        detector: Finds objects.
    """

    def __init__(self, config: Config) -> None:
        """Loads the networks.

        Raises:
            InputError: A network, its weights, a class or the device is unknown or cannot be had.
        """
        super().__init__(config)
        with ExitStack() as stack:
            self.detector: Detector = stack.enter_context(load_detector(config.detector))
            self._of_regions = config.appearance.embedding_source == "roi"
            self._keeps_maps = self._of_regions or config.tracker.rescore > 0
            if self._keeps_maps:
                self.detector.enable_feature_cache()
            if self._of_regions:
                self.with_neutral_distance(NEUTRAL_DISTANCE)
            device, half = self.detector.device, in_half(config.detector.precision, self.detector.device)
            where = device, half, config.detector.threads, self.detector.backend
            if not self._of_regions and config.appearance.embedder != "none":
                self.set_embedder(stack.enter_context(load_embedder(config.appearance.embedder, *where)))
            if config.appearance.classify:
                classifier = load_classifier(Path(config.appearance.classify), *where)
                self.set_classifier(stack.enter_context(classifier))
            self._resources = stack.pop_all()

    def close(self) -> None:
        """Ends the networks' threads."""
        self._resources.close()

    @property
    def categories(self) -> tuple[str, ...]:
        """Class names, by label."""
        return self.detector.info.categories

    def perceive(self, frames: list[Frame]) -> Perceived:
        """What the networks see in some frames."""
        with self.timed("detect"):
            images = self.detector.upload([frame.image for frame in frames])
            if self._keeps_maps:
                found, again = self.detector.detect_with_features(images)
            else:
                found, again = self.detector.detect_tensors(images), []
        boxes = [detections.boxes for detections in found]
        with self.timed("embed"):
            if self._of_regions:
                embeddings = [looker.embed(rows) for looker, rows in zip(again, boxes, strict=True)]
            else:
                embeddings = self.embedded(images, boxes)
        class_probs = self.judged(images, boxes, found)
        rescorers: list[Rescorer] = [no_rescoring] * len(frames)
        return found, embeddings, list(again) if self.config.tracker.rescore else rescorers, class_probs

    @property
    def reid_class_ids(self) -> list[int]:
        """Labels of the classes whose individuals embeddings can tell apart: the detector's features know no others."""
        return list(range(len(self.categories))) if self._of_regions else super().reid_class_ids

    def describe(self) -> dict[str, Any]:
        """The device, and the files of the weights with their hashes."""
        weights = {"detector": weights_path(self.config.detector)}
        appearance = self.config.appearance
        if self.embedders:
            weights["embedder"] = embedder_path(appearance.embedder)
        if self.classifiers:
            weights["classifier"] = Path(appearance.classify)
        return {
            "device": str(self.detector.device),
            "backend": self.detector.backend,
            "weights": {kind: {"file": path.name, "sha256": file_hash(path)} for kind, path in weights.items()},
        }


def track(source: str | Path | int, config: Config | None = None) -> Generator[tuple[Frame, Tracks]]:
    """Tracks what moves through a video.

    Args:
        source: A file, a folder or glob of images, a URL, or a camera's number.
        config: Settings; None for the defaults.

    Yields:
        Each frame and its confirmed tracks; with `offline` their final ones, once the source was read to its end.
        Leaving the loop early closes everything.

    Raises:
        InputError: The source or the config cannot be used.
    """
    config = config or Config()
    with open_source(source, config.source, config.detector.threads) as opened:
        check_source(config, opened)
        with Pipeline(config) as pipeline:
            yield from pipeline.run(opened)


def track_to_files(
    source: str | Path | int, config: Config, watch: Watcher = lambda *_: True, look: Looker = lambda *_: True
) -> RunResult:
    """Tracks a source and writes the results that `config.output` asks for.

    Args:
        source: As `track`.
        config: Settings.
        watch: Called after each frame with the source, the frame and its tracks; False ends the run, and what was
            written up to there is finished properly.
        look: With `offline`, called after each frame of the first look with the source and the frame; False ends that
            look, and what was seen up to there becomes the result.

    Raises:
        InputError: The source, the config or an output cannot be used. What was written before it went wrong is kept
            and plays; where not one frame was written, no file is left.
    """
    with open_source(source, config.source, config.detector.threads) as opened:
        files = [opened.media_path] if opened.media_path else []
        config = config.naming(opened.name)
        return run_to_files(opened, files, config, partial(Pipeline, config), watch, look)
