"""Where the stages meet: frames, detections, embeddings, tracks, results."""

from collections.abc import Generator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tracker.appearance import embedder_path, load_embedder
from tracker.config import Config
from tracker.detection import Detector, load_detector, weights_path
from tracker.record import file_hash
from tracker.results import Looker, Outcome, Watcher, run_to_files
from tracker.stages import Perceived, Stages, check_source
from tracker.tracking import Rescorer, nothing_there
from tracker.types import Frame, Tracks
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
            if config.tracker.rescore:
                self.detector.enable_rescoring()
            name, threads = config.appearance.embedder, config.detector.threads
            if name != "none":
                embedder = load_embedder(name, self.detector.device, self.detector.half, threads)
                self.embedders.append(stack.enter_context(embedder))
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
            rescorers: list[Rescorer] = [nothing_there] * len(frames)
            if self.config.tracker.rescore:
                found, again = self.detector.detect_and_keep(images)
                rescorers = list(again)
            else:
                found = self.detector.detect_tensors(images)
        with self.timed("embed"):
            for embedder in self.embedders:
                return found, embedder.embed(images, [detections.boxes for detections in found]), rescorers
        return found, [np.zeros((len(detections), 0), np.float32) for detections in found], rescorers

    def describe(self) -> dict[str, Any]:
        """The device, and the files of the weights with their hashes."""
        weights = {"detector": weights_path(self.config.detector)}
        if self.config.appearance.embedder != "none":
            weights["embedder"] = embedder_path(self.config.appearance.embedder)
        return {
            "device": str(self.detector.device),
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
) -> Outcome:
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
        return run_to_files(opened, files, config, partial(Pipeline, config), watch, look)
