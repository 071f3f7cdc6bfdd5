"""Tracks the stored detections of a run again, as `track retrack` does, and records the decisions about a track."""

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from math import inf
from pathlib import Path

import numpy as np

from tracker.config import Config, merge_config
from tracker.data.detections import StoredDetections, read_detections
from tracker.data.edits import Piece, RunTable, Trace, TrackRow
from tracker.data.store import find_stored_run
from tracker.errors import InputError
from tracker.pipeline.explain.account import Account, Link, Part
from tracker.pipeline.repaired_run import started_run
from tracker.pipeline.resume import retrack_settings
from tracker.pipeline.stored import StoredAnalyzer, open_frames
from tracker.pipeline.tracking_run import TrackingRun, check_source
from tracker.tracking.decisions import DecisionLog, Step, TrackChange
from tracker.tracking.linking import LinkLog
from tracker.tracking.offline import first_pass


class Superseded(InputError):
    """Another track was asked for before this one was explained."""


class RunExplainer:
    r"""Explains the tracks of a run, one at a time; in a run of hours each may take minutes.

    Whoever asks, from another thread, for another track ends the work on the one before.

    Example:
        >>> explainer = RunExplainer(Path("tracked/video"))  # doctest: +SKIP
        >>> print(*explainer.explain(12).lines(), sep="\n")  # doctest: +SKIP
    """

    def __init__(self, folder: Path, video: str = "") -> None:
        """Takes the folder of the run, and its video where that is no longer at its place; nothing is tracked yet.

        Raises:
            InputError: It is no run, has not ended, stored too little to be tracked again, or its video is needed and
                not there.
        """
        run = started_run(folder)
        if run.record["status"] == "running":
            raise InputError(f"{folder} is not finished: let it run to its end, or go on with track --resume {folder}")
        self.table = RunTable(folder)
        self._folder = folder
        store = find_stored_run(folder, run.record)
        if store is None:
            raise InputError(
                f"{folder} has no stored detections to explain its tracks by: run it again without --no-store"
            )
        self._store = store
        self._config = merge_config(retrack_settings(folder), {}, where=str(folder))
        if self._config.tracker.rescore:
            raise InputError(
                f"{folder} was made with --rescore, whose boxes are not stored: its tracks cannot be explained"
            )
        motion = self._config.tracker.camera_motion
        needs_images = motion in ("flow", "ecc")
        self._video = video or (run.source if needs_images else "")
        if needs_images and not os.path.exists(self._video):
            needed = f"--camera-motion {motion} of {folder} needs its video"
            raise InputError(f"there is no {self._video}, and {needed}: name it by --video")
        self._version = str(run.record.get("versions", {}).get("tracker", ""))
        self._links: LinkLog | None = None
        self._lock = threading.Lock()
        self._asked = self._current = 0  # numbers of the latest question, and of that which is worked on

    def close(self) -> None:
        """Ends the work on a track in another thread."""
        self._asked += 1

    def explain(self, track_id: int) -> Account:
        """Returns the account of a track, as the journal of the run has repaired it.

        Raises:
            InputError: There is no such track, or tracking again does not give it.
            Superseded: Another one was asked for meanwhile.
        """
        self._asked += 1
        number = self._asked
        entries = self.table.journal.effective()
        trace = Trace([track.id for track in self.table.tracks([])], entries)
        try:
            pieces = trace.pieces(track_id)
        except InputError as error:
            raise InputError(f"{self._folder}: {error}") from None
        row = self.table.track(track_id)
        with self._lock:
            self._current = number
            parts, settings = self._track([piece for piece in pieces if _holds(piece, row)])
        return Account(row, parts, trace, trace.entries(track_id), settings)

    def _track(self, pieces: list[Piece]) -> tuple[list[Part], Config]:
        """Returns the parts of a track, and the settings with which it was tracked."""
        stored = read_detections(self._store, float(self._config.source.fps))
        ids = sorted({piece.track for piece in pieces})
        if not self._config.tracker.offline:
            log, settings = self._record(stored, DecisionLog(ids=ids), inf)
            parts = {one: _online_part(log, one) for one in ids}
        else:
            links = self._link(stored)
            wanted = np.isin(links.numbers, ids)
            last = max((links.tracklets.times[links.tracklets.last][wanted]).tolist(), default=-inf)
            last += self._config.tracker.max_age
            log, settings = self._record(stored, DecisionLog(serials=links.serials[wanted].tolist()), last)
            parts = {one: _offline_part(log, links, one) for one in ids}
        for one in ids:
            self._check(parts[one])
        return [parts[piece.track].between(piece.first, piece.stop) for piece in pieces], settings

    def _record(self, stored: StoredDetections, log: DecisionLog, last: float) -> tuple[DecisionLog, Config]:
        """Tracks until the tracks that the log follows have ended, or up to a time, seconds."""
        config = self._config
        if config.tracker.offline:
            config = config.model_copy(update={"tracker": first_pass(config.tracker)})
        with open_frames(stored, config, self._video) as source:
            check_source(config, source)
            with StoredAnalyzer(config, stored, source) as analyzer:
                run = TrackingRun(source, analyzer)
                run.decisions = log
                with closing(run.tracks(images=False)) as frames:
                    for frame, _ in frames:
                        self._check_current()
                        if log.is_complete or frame.time > last:
                            break
        return log, run.config

    def _link(self, stored: StoredDetections) -> LinkLog:
        """Returns what the second pass of the run linked."""
        if self._links is None:
            with open_frames(stored, self._config, self._video) as source:
                check_source(self._config, source)
                with StoredAnalyzer(self._config, stored, source) as analyzer:
                    run = TrackingRun(source, analyzer)
                    run.links = LinkLog()
                    with closing(run.tracks(images=False)) as frames:
                        next(frames, None)
            self._links = run.links
        self._check_current()
        return self._links

    def _check_current(self) -> None:
        if self._current != self._asked:
            raise Superseded("another track was asked for meanwhile")

    def _check(self, part: Part) -> None:
        """Checks that a track was detected in the frames in which the table of the run says so."""
        known = set(self.table.observed_frames(part.track))
        detected = [step for step in part.steps if step.round] + [one for one in part.events if one.kind == "born"]
        if not self._config.tracker.offline:  # only confirmed tracks are written
            first = {one.serial: one.frame for one in part.events if one.kind == "confirmed"}
            detected = [one for one in detected if one.frame >= first.get(one.serial, inf)]
        found = {one.frame for one in detected}
        if known != found:
            from tracker import __version__

            versions = f" (by version {self._version}; this is {__version__})" if self._version != __version__ else ""
            raise InputError(
                f"tracking the stored detections of {self._folder} again does not give its track {part.track} as it "
                f"was{versions}, so that nothing can be said of it: track retrack {self._store} tracks it anew"
            )


def _holds(piece: Piece, row: TrackRow) -> bool:
    return piece.first <= row.last_frame and piece.stop > row.first_frame


def _online_part(log: DecisionLog, track: int) -> Part:
    serials = [serial for serial, known in log.ids.items() if known == track]
    steps = [step for serial in serials for step in log.steps.get(serial, [])]
    events = [event for serial in serials for event in log.events.get(serial, [])]
    return Part(track, steps, events, ids=log.ids)


def _offline_part(log: DecisionLog, links: LinkLog, track: int) -> Part:
    """Returns what belongs to the tracklets of a final track, from the start of each to that of the next."""
    tracklets = links.tracklets
    starts = tracklets.times[tracklets.first]
    mine = np.flatnonzero(links.numbers == track)
    mine = mine[np.argsort(starts[mine])]
    steps: list[Step] = []
    events: list[TrackChange] = []
    found: list[Link] = []
    for n, one in enumerate(mine.tolist()):
        serial, start = int(links.serials[one]), float(starts[one])
        same = starts[(links.serials == serial) & (starts > start)]
        following = float(starts[mine[n + 1]]) if n + 1 < len(mine) else inf
        limit = min(float(same.min(initial=inf)), following)
        is_first = not ((links.serials == serial) & (starts < start)).any()
        steps += [step for step in log.steps.get(serial, []) if start <= step.time < limit]
        events += [
            event
            for event in log.events.get(serial, [])
            if (start <= event.time < limit or (is_first and event.time < start))
            and (event.kind != "ended" or limit == inf)
        ]
        found += _links(links, one, n == 0)
    return Part(track, steps, sorted(events, key=lambda event: event.time), found, log.ids, links)


def _links(links: LinkLog, one: int, is_first: bool) -> Iterator[Link]:
    """Yields the link before a tracklet if it is the first of its track, and that after it."""
    terms = links.terms
    for side, candidates in (("start", terms.pairs.detections == one), ("end", terms.pairs.tracks == one)):
        if side == "start" and not is_first:
            continue
        near = np.flatnonzero(candidates)
        near = near[np.lexsort((terms.nll[near], ~links.linked[near]))]
        yield Link.from_log(links, one, side, near[:2].tolist())
