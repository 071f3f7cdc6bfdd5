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
from tracker.pipeline.batch.remote import fingerprint_remote, is_remote, list_remote, remote_name, stat_remote
from tracker.pipeline.batch.task import Outcome, Status, Task, settings_hash
from tracker.pipeline.resume import StartedRun, find_run, is_run
from tracker.pipeline.source_list import expand_sources
from tracker.video import local_path, source_kind, source_name
from tracker.video.joined import join_recordings
from tracker.video.source import sanitize_filename

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


def plan_batch(sources: Sequence[str], manifest: Manifest, config: Config, join_gap: float = 0.0) -> Plan:
    """Returns what is to be done for some sources, and enters them into the manifest, which is not written.

    Args:
        sources: Video files, folders of videos, or patterns such as `videos/**/*.mp4` or `s3://bucket/*.mp4`.
        manifest: What is known from earlier calls; it lies in the folder of the results.
        config: All settings; `output.overwrite` says that results of other settings or of a changed source may go.
        join_gap: See `BatchConfig.join_gap`.

    Raises:
        InputError: A source is no file, or was tracked with other settings, or changed since, and may not be replaced.
    """
    plan = Plan()
    settings = settings_hash(config)
    taken = {row.name.casefold() for row in manifest}
    for files in _groups(list(dict.fromkeys(_files(sources))), join_gap):
        source = files[0]
        known = manifest.get(source)
        row = _row(files, known, settings, taken)
        folder = manifest.path.parent / f"source={row.name}"
        if known is not None and known.status in _FINAL and not config.output.overwrite:
            _check_same(known, row)
        elif known is None or not known.status or known.status not in _FINAL:
            # Where the results are remote, the worker looks whether they are there.
            row = (None if manifest.results else _adopted(row, files, folder, settings)) or row
        manifest.add(row)
        if row.status in _FINAL:
            plan.kept.append(row)
        else:
            results = f"{manifest.results}/{folder.name}" if manifest.results else ""
            task = Task(source, folder, row.fingerprint, row.attempts, results=results, more=tuple(files[1:]))
            plan.todo.append((task, _reason(row, folder)))
    return plan


def _files(sources: Sequence[str]) -> Iterator[str]:
    for source in sources:
        if is_remote(source):
            yield from _remote_files(source)
            continue
        expanded = expand_sources([source])
        for each in expanded:
            if source_kind(each) != "video":
                found = "holds no videos" if source_kind(each) in ("glob", "folder") else "is none"
                raise InputError(f"a batch takes video files, and {each} {found}")
            yield os.path.abspath(local_path(str(each)))


def _groups(files: list[str], join_gap: float) -> list[list[str]]:
    """Returns the files that are tracked as one source each."""
    if not join_gap:
        return [[file] for file in files]
    for file in files:
        if is_remote(file):
            raise InputError(f"--join-gap needs files on disk, and {file} is none: copy them, or leave it out")
    return [list(map(str, group)) for group in join_recordings(map(Path, files), join_gap)]


def _remote_files(pattern: str) -> list[str]:
    found = list_remote(pattern)
    if not found:
        raise InputError(f"a batch takes video files, and {pattern} holds none")
    return found


def _row(files: Sequence[str], known: ManifestRow | None, settings: str, taken: set[str]) -> ManifestRow:
    """Returns the row of a source as it is now; its end is that of an earlier call if nothing changed since."""
    source = files[0]
    sizes, times = zip(*map(_size_and_time, files), strict=True)
    size, modified = sum(sizes), max(times)
    same = known is not None and (known.size, known.modified_ns) == (size, modified)
    # To look into a source that nobody knows can wait until it is tracked: there may be very many.
    content = "" if known is None else known.fingerprint if same else source_fingerprint(files)
    if known is not None and (known.fingerprint, known.config) == (content, settings):
        return replace(known, size=size, modified_ns=modified)
    if known is not None:
        name = known.name
    else:
        name = _unique(sanitize_filename(remote_name(source)) if is_remote(source) else source_name(source), taken)
    return ManifestRow(source, name, content, size, modified, settings, files=len(files))


def _size_and_time(source: str) -> tuple[int, int]:
    """Returns bytes and time of a file, nanoseconds since 1970."""
    if is_remote(source):
        return stat_remote(source)
    try:
        stat = os.stat(source)
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from None
    return stat.st_size, stat.st_mtime_ns


def source_fingerprint(files: Sequence[str]) -> str:
    """Returns the fingerprint of the files of a source, a remote one alone.

    Raises:
        InputError: They cannot be read.
    """
    if is_remote(files[0]):
        return fingerprint_remote(files[0])
    try:
        return fingerprint(list(map(Path, files)))
    except OSError as error:
        raise InputError(f"cannot read {error.filename or files[0]}: {error.strerror}") from None


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


def _adopted(row: ManifestRow, files: Sequence[str], folder: Path, settings: str) -> ManifestRow | None:
    """Returns the row of a source whose run finished without being recorded: its driver was killed."""
    if not is_run(folder):
        return None
    content = row.fingerprint or source_fingerprint(files)
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
