"""The plan of a batch: which sources are to be tracked, where their results go, and which are done already."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tracker.config import Config
from tracker.data.fingerprint import fingerprint
from tracker.errors import InputError
from tracker.output import numbered_names
from tracker.pipeline.batch.manifest import Manifest, ManifestRow
from tracker.pipeline.batch.task import Outcome, Status, Task, settings_hash
from tracker.pipeline.resume import StartedRun, find_run, is_run
from tracker.pipeline.source_list import expand_sources
from tracker.video import local_path, source_kind, source_name

_FINAL = ("done", "truncated")
"""Ends that another attempt would not change."""


@dataclass
class Plan:
    """The sources of a batch.

    Attributes:
        todo: The tasks, each with the reason for which it is left.
        kept: The rows of the sources that need nothing.
    """

    todo: list[tuple[Task, str]] = field(default_factory=list)
    kept: list[ManifestRow] = field(default_factory=list)


def plan_batch(sources: Sequence[str], manifest: Manifest, config: Config) -> Plan:
    """Returns what is to be done for some sources, and enters them into the manifest, which is not written.

    Args:
        sources: Video files, folders of videos, or patterns such as `videos/**/*.mp4`.
        manifest: What is known from earlier calls; it lies in the folder of the results.
        config: All settings; `output.overwrite` says that results of other settings or of a changed source may go.

    Raises:
        InputError: A source is no file, or was tracked with other settings, or changed since, and may not be replaced.
    """
    plan = Plan()
    settings = settings_hash(config)
    taken = {row.name.casefold() for row in manifest}
    for source in dict.fromkeys(_files(sources)):
        known = manifest.get(source)
        row = _row(source, known, settings, taken)
        folder = manifest.path.parent / f"source={row.name}"
        if known is not None and known.status in _FINAL and not config.output.overwrite:
            _check_same(known, row)
        elif known is None or not known.status or known.status not in _FINAL:
            row = _adopted(row, folder, settings) or row
        manifest.add(row)
        if row.status in _FINAL:
            plan.kept.append(row)
        else:
            plan.todo.append((Task(source, folder, row.fingerprint, row.attempts), _reason(row, folder)))
    return plan


def _files(sources: Sequence[str]) -> Iterator[str]:
    for source in sources:
        expanded = expand_sources([source])
        for each in expanded:
            if source_kind(each) != "video":
                found = "holds no videos" if source_kind(each) in ("glob", "folder") else "is none"
                raise InputError(f"a batch takes video files, and {each} {found}")
            yield os.path.abspath(local_path(str(each)))


def _row(source: str, known: ManifestRow | None, settings: str, taken: set[str]) -> ManifestRow:
    """Returns the row of a source as it is now; its end is that of an earlier call if nothing changed since."""
    try:
        stat = os.stat(source)
        same = known is not None and (known.size, known.modified_ns) == (stat.st_size, stat.st_mtime_ns)
        # To look into a source that nobody knows can wait until it is tracked: there may be very many.
        content = "" if known is None else known.fingerprint if same else fingerprint([Path(source)])
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from None
    if known is not None and (known.fingerprint, known.config) == (content, settings):
        return replace(known, size=stat.st_size, modified_ns=stat.st_mtime_ns)
    name = known.name if known is not None else _unique(source_name(source), taken)
    return ManifestRow(source, name, content, stat.st_size, stat.st_mtime_ns, settings)


def _unique(name: str, taken: set[str]) -> str:
    unique = next(each for each in numbered_names(name) if each.casefold() not in taken)
    taken.add(unique.casefold())
    return unique


def _check_same(known: ManifestRow, row: ManifestRow) -> None:
    if known.fingerprint != row.fingerprint:
        raise InputError(f"{row.source} changed since it was tracked: give --overwrite to track it again")
    if known.config != row.config:
        raise InputError(
            f"{row.source} was tracked with other settings: give --overwrite to replace its results, or "
            "another --output"
        )


def _adopted(row: ManifestRow, folder: Path, settings: str) -> ManifestRow | None:
    """Returns the row of a source whose run finished without being recorded: its driver was killed."""
    if not is_run(folder):
        return None
    content = row.fingerprint or fingerprint([Path(row.source)])
    outcome = finished_outcome(Task(row.source, folder, content), settings)
    if outcome is None:
        return None
    row = replace(row, fingerprint=content, attempts=row.attempts + 1)
    return replace(row, status=outcome.status, reason="", frames=outcome.frames)


def finished_outcome(task: Task, settings: str) -> Outcome | None:
    """Returns the end of a task whose results are there, whole, and made of the same source with the same settings."""
    run = matching_run(task, settings)
    if run is None or not run.is_finished:
        return None
    status: Status = "done" if run.record.get("end") == "complete" else "truncated"
    frames, elapsed = int(run.record.get("frames", 0)), float(run.record.get("elapsed_s", 0))
    return Outcome(status, frames=frames, elapsed=elapsed, fingerprint=task.fingerprint)


def matching_run(task: Task, settings: str) -> StartedRun | None:
    """Returns the run in the folder of a task, if it is one over the same source with the same settings."""
    if not is_run(task.folder):
        return None
    try:
        run = find_run(task.folder)
        matches = run is not None and run.record["source"].get("fingerprint") == task.fingerprint
        return run if run is not None and matches and settings_hash(run.config) == settings else None
    except InputError:  # what cannot be read is begun anew
        return None


def _reason(row: ManifestRow, folder: Path) -> str:
    if row.status == "failed":
        return f"it failed: {row.reason}"
    if row.status == "stopped":
        return "it was stopped"
    return "its run is not finished" if is_run(folder) else "it is new"
