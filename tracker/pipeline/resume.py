"""Going on with a run that was killed, stopped or failed: its folder, its settings, and its stored detections."""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tracker.config import Config
from tracker.config.run import merge_config
from tracker.data.fingerprint import fingerprint
from tracker.data.store import RECORD, PartReader, StoredFrame, has_parts
from tracker.errors import InputError
from tracker.output.paths import DEFAULT_ROOT, numbered_names
from tracker.parsing import read_json
from tracker.pipeline.analyzer import FrameAnalyzer
from tracker.pipeline.frame_analysis import FrameAnalysis
from tracker.structures.types import Frame
from tracker.video import Source, redact_password, source_name


@dataclass(frozen=True)
class StartedRun:
    """A run whose folder exists.

    Attributes:
        folder: The folder.
        record: The content of its run.json.
    """

    folder: Path
    record: dict[str, Any]

    @property
    def is_finished(self) -> bool:
        """True if it came to the end of its source."""
        return bool(self.record["status"] == "finished")

    @property
    def source(self) -> str:
        """The source, as it was named if it is still found by that name."""
        known = self.record["source"]
        name, path = str(known["name"]), str(known.get("path") or known["name"])
        return name if os.path.exists(name) and os.path.abspath(name) == path else path

    @property
    def config(self) -> Config:
        """The settings of the run, whose folder may be written to."""
        return merge_config(self.record["config"], {}, where=str(self.folder / RECORD)).with_overwrite()

    def has_settings(self, config: Config) -> bool:
        """Checks whether given settings are those of this run, or none; it does not matter whether it may overwrite."""
        return config == Config() or config.with_overwrite() == self.config

    def check_source(self, source: Source) -> None:
        """Checks that a source is still the one of this run.

        Raises:
            InputError: It changed, or is not on disk, so that nobody can tell.
        """
        known = self.record["source"].get("fingerprint")
        if not known or not source.files:
            raise InputError(f"{source.uri} is no file, and a run over it cannot be resumed: run it anew")
        if fingerprint(source.files) != known:
            raise InputError(f"{source.uri} changed since {self.folder} was begun: run it anew, with --overwrite")

    def check_weights(self, description: dict[str, Any]) -> None:
        """Checks that the networks are still those of this run.

        Raises:
            InputError: They are not.
        """
        for kind, file in self.record.get("weights", {}).items():
            if description.get("weights", {}).get(kind) != file:
                raise InputError(
                    f"the {kind} ({file['file']}) changed since {self.folder} was begun: run it anew, with --overwrite"
                )

    def reader(self) -> PartReader | None:
        """Returns the reader of the stored detections; None where they are of no use.

        With `rescore`, tracks depend on more than the detections.
        """
        if self.config.tracker.rescore or not self.config.output.store or not has_parts(self.folder):
            return None
        return PartReader(self.folder)

    def remove_leftovers(self) -> None:
        """Removes the hidden files of a killed run; the claim on the folder has to be held."""
        remove_leftovers(self.folder)


def remove_leftovers(folder: Path) -> None:
    """Removes the hidden files of a killed run from its folder; the claim on it has to be held."""
    for path in [*folder.glob(".*.part"), *folder.glob(".*.mp4"), *folder.glob("detections/.*")]:
        with suppress(OSError):
            path.unlink()


def is_run(folder: str | Path) -> bool:
    """Checks whether a path is the folder of a run."""
    return (Path(folder) / RECORD).is_file()


def retrack_settings(folder: str | Path) -> dict[str, dict[str, Any]]:
    """Returns the settings with which stored detections of a run give its tracks again; outputs are not among them.

    Raises:
        InputError: The record of the run cannot be read.
    """
    config = _read(Path(folder)).record["config"]
    settings = {name: dict(config.get(name, {})) for name in ("source", "detector", "appearance", "tracker")}
    settings["detector"]["realtime"] = False
    settings["appearance"] |= {"classify": "", "classify_classes": []}  # needs the images
    return settings


def find_run(source: str | Path | int) -> StartedRun | None:
    """Returns the run to resume: that in a folder, or the latest one over a source in its default folder.

    Args:
        source: The folder of a run, or a source as `track` takes it.

    Raises:
        InputError: It is a folder of a run whose record cannot be read.
    """
    if isinstance(source, int):
        return None
    if is_run(source):
        return _read(Path(source))
    try:
        name = source_name(source)
    except InputError:
        return None
    found: StartedRun | None = None
    for folder_name in numbered_names(name):
        folder = DEFAULT_ROOT / folder_name
        if not folder.is_dir():
            return found
        if is_run(folder):
            run = _read(folder)
            found = run if run.record["source"].get("path") == os.path.abspath(redact_password(source)) else found
    return found


def _read(folder: Path) -> StartedRun:
    path = folder / RECORD
    try:
        record = read_json(path, "the record of a run")
        json.dumps([record["source"]["name"], record["status"], record["config"]])
    except (KeyError, TypeError):
        raise InputError(f"{path} is no record of a run that can be resumed: run it anew") from None
    return StartedRun(folder, record)


class StoredFrames(Protocol):
    """Stored frames, such as those of a `PartReader`."""

    def find(self, index: int) -> StoredFrame | None:
        """Returns a frame, None if it is not stored; the indices of successive calls ascend."""


class ResumedAnalyzer(FrameAnalyzer):
    """Returns the stored analyses of the frames that have one, and lets another analyzer analyze the rest.

    Attributes:
        frames_kept: Number of stored analyses that were used.
    """

    def __init__(self, analyzer: FrameAnalyzer, reader: StoredFrames, source: Source) -> None:
        """Takes what analyzes the rest, which this closes, the stored frames, and their source."""
        super().__init__(analyzer.config)
        self.timer = analyzer.timer
        self.embedder, self.classifier = analyzer.embedder, analyzer.classifier
        self.fine_class_ids = analyzer.fine_class_ids
        self.frames_kept = 0
        self._analyzer = analyzer
        self._reader = reader
        self._uri = source.uri

    @property
    def categories(self) -> tuple[str, ...]:
        return self._analyzer.categories

    @property
    def reid_class_ids(self) -> list[int]:
        return self._analyzer.reid_class_ids

    @property
    def neutral_distance(self) -> float:
        return self._analyzer.neutral_distance

    def tiles(self, height: int, width: int) -> list[Any]:
        return self._analyzer.tiles(height, width)

    def analyze(self, frames: list[Frame]) -> list[FrameAnalysis]:
        """Returns the analyses of some frames, whose indices ascend from call to call."""
        known = [self._stored(frame) for frame in frames]
        rest = [frame for frame, analysis in zip(frames, known, strict=True) if analysis is None]
        analyzed = iter(self._analyzer.analyze(rest) if rest else [])
        return [analysis or next(analyzed) for analysis in known]

    def _stored(self, frame: Frame) -> FrameAnalysis | None:
        stored = self._reader.find(frame.index)
        if stored is None or not stored.detector_ran:
            return None
        if (stored.pts, stored.time) != (frame.pts, frame.time):
            raise InputError(f"{self._uri} is not read as before, at frame {frame.index}: run it anew")
        self.frames_kept += 1
        return FrameAnalysis(frame, stored.detections, stored.embeddings, stored.class_probs)

    def describe(self) -> dict[str, Any]:
        return self._analyzer.describe()

    def close(self) -> None:
        self._analyzer.close()
