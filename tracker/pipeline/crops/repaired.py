"""The tracks of a run as its journal has repaired them, as labels of crops."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tracker.config import Config
from tracker.data.edits import RunTable
from tracker.errors import InputError, did_you_mean
from tracker.pipeline.crops.extraction import TrackedSource
from tracker.pipeline.repaired_run import open_same_source, repaired_tracks, run_categories, started_run, with_frames
from tracker.structures.types import Tracks

if TYPE_CHECKING:
    from tracker.models.reid import Embedder


class RepairedRun:
    """The frames of a run's source, and the final tracks, with the edits that the journal has now.

    Boxes that a person has set count as observed, between two key frames too.
    """

    def __init__(self, folder: Path, video: str, config: Config) -> None:
        """Opens the source.

        Args:
            folder: The folder of the run.
            video: Its source, if it is no longer where the record says.
            config: What is given of the settings of the source replaces that of the run, and `detector.classes` are
                those of the crops.

        Raises:
            InputError: The run or its source cannot be used, or it has no such class.
        """
        self._run = started_run(folder)
        self._table = RunTable(folder)
        self._edits = [edit.with_every_key() for edit in self._table.journal.edits()]
        self._categories = run_categories(self._table)
        self._classes = config.detector.classes
        for name in self._classes:
            if name not in self._categories:
                raise InputError(f"{folder} has no class {name!r}{did_you_mean(name, list(self._categories))}")
        self.name = folder.resolve().name
        given = config.source.model_dump(exclude_unset=True)
        self._source = open_same_source(self._run, video, self._run.config.source.model_copy(update=given))

    def tracked_source(self, embedder: "Embedder | None") -> TrackedSource:
        """Returns the frames with their tracks."""
        known = embedder.info.categories if embedder else ()
        return TrackedSource(
            self._source,
            with_frames(self._source, self._tracks()),
            self._categories,
            self._run.config.detector.detect_every,
            last_frames={track.id: track.last_frame for track in self._table.tracks(self._edits)},
            embedder=embedder,
            reid_class_ids=tuple(label for label, name in enumerate(self._categories) if name in known),
        )

    def close(self) -> None:
        """Closes the source."""
        self._source.close()

    def _tracks(self) -> Iterator[tuple[int, float, Tracks]]:
        wanted = [label for label, name in enumerate(self._categories) if not self._classes or name in self._classes]
        for index, time, tracks in repaired_tracks(self._table, self._categories, self._edits):
            yield index, time, tracks[np.isin(tracks.labels, wanted)]
