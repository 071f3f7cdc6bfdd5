"""The frames and tracks of a run as its journal has repaired them, and their export."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa

from tracker.config import Config, OutputConfig, SourceConfig
from tracker.data.detections import read_detections
from tracker.data.edits import Edit, RunTable
from tracker.data.fingerprint import fingerprint
from tracker.data.store import has_parts, read_source_run
from tracker.errors import InputError
from tracker.output import VideoInfo, open_writer
from tracker.output.paths import VIDEO_SUFFIXES, resolve_outputs
from tracker.pipeline.file_run import video_info
from tracker.pipeline.resume import StartedRun, find_run
from tracker.pipeline.stored import open_frames
from tracker.structures.types import Frame, Tracks
from tracker.video import Source, open_source, source_kind, source_name

FOLDER = "repaired"
"""Folder of the results in that of the run, if no other place is named."""
NAMES = ("tracks.csv", "tracks.parquet", "tracks_summary.parquet", "summary.csv", "tracks.json")


def started_run(folder: str | Path) -> StartedRun:
    """Returns the run in a folder.

    Raises:
        InputError: There is none, or its record cannot be read.
    """
    found = find_run(Path(folder)) if Path(folder).is_dir() else None
    if found is None or found.folder != Path(folder):
        raise InputError(f"{folder} is no folder of a run: give one that track wrote, such as tracked/video")
    return found


def repaired_tracks(
    table: RunTable, categories: tuple[str, ...], edits: Sequence[Edit] | None = None
) -> Iterator[tuple[int, float, Tracks]]:
    """Yields the frames that have tracks: index, time in seconds, and the tracks with labels of `categories`.

    Without `edits`, those of the journal count.
    """
    for part in table.parts(edits):
        frames = part["frame"].to_numpy()
        starts = np.flatnonzero(np.diff(frames, prepend=-1))
        times, tracks = part["time_s"].to_numpy(), _to_tracks(part, categories)
        for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(frames)], strict=True):
            yield int(frames[start]), float(times[start]), tracks[slice(start, stop)]


def run_categories(table: RunTable) -> tuple[str, ...]:
    """Returns the classes of a run: those that its detector knows, and those that edits have given."""
    known: list[str] = []
    if has_parts(table.folder):
        known = list(read_detections(table.folder).categories)
    return tuple(dict.fromkeys([*known, *sorted({track.category for track in table.tracks()})]))


def export_run(folder: Path, output: Path | None = None, video: str = "", overwrite: bool = False) -> list[Path]:
    """Writes the repaired tracks of a run, and returns the paths of the files.

    Args:
        folder: The folder of the run.
        output: A file whose suffix tells the format, see `open_writer`; or a folder, which gets all tables. None for
            the folder `repaired` in that of the run.
        video: The source of the run, if it is no longer where the record says.
        overwrite: True to replace files.

    Raises:
        InputError: The run, the source or an output cannot be used.
    """
    run = started_run(folder)
    table = RunTable(folder)
    output = output or folder / FOLDER
    paths = [output] if output.suffix else [output / name for name in NAMES]
    with ExitStack() as stack:
        source = _open_frames(run, table, video, any(path.suffix.lower() in VIDEO_SUFFIXES for path in paths))
        info = _table_info(run)
        if source is not None:
            stack.enter_context(source)
            info = video_info(source, run.config)
        info = replace(info, name=source_name(str(run.record["source"]["name"])))
        if not info.width:
            paths = [path for path in paths if path.suffix.lower() != ".json" or path is output]
        if output.suffix == "":
            output.mkdir(exist_ok=True, parents=True)
        files = [source.media_path] if source and source.media_path else []
        named = OutputConfig(output=tuple(map(str, paths)), overwrite=overwrite)
        paths, _ = resolve_outputs(named, None, [*files, folder / "tracks.parquet"])
        categories = run_categories(table)
        settings = run.config.output.model_copy(update={"overwrite": overwrite})
        writers = [stack.enter_context(open_writer(path, info, categories, settings, overwrite)) for path in paths]
        for frame, tracks in with_frames(source, repaired_tracks(table, categories)):
            for writer in writers:
                writer.write(frame, tracks)
        for writer in writers:
            if source and hasattr(writer, "last_duration"):
                writer.last_duration = source.last_duration
    return paths


def with_frames(source: Source | None, tracks: Iterator[tuple[int, float, Tracks]]) -> Generator[tuple[Frame, Tracks]]:
    """Yields every frame of a source with its tracks; without a source the frames that have tracks, without pixels.

    Boxes are in pixels of the source's image, into which a picture of another size was fitted, as writers expect them.
    """
    if source is None:
        blank = np.zeros((0, 0, 3), np.uint8)
        yield from ((Frame(index, time, index, blank), found) for index, time, found in tracks)
        return
    index, _, found = next(tracks, (-1, 0.0, None))
    for frame in source:
        while found is not None and index < frame.index:
            index, _, found = next(tracks, (-1, 0.0, None))
        shown = found if found is not None and index == frame.index else no_tracks()
        if frame.fit is not None:  # tables are in pixels of the picture itself
            shown = replace(shown, boxes=frame.fit.to_image(shown.boxes))
        yield frame, shown


def no_tracks() -> Tracks:
    """Returns the tracks of a frame that has none."""
    return _to_tracks(_NO_ROWS, ())


def open_run_source(run: StartedRun, video: str = "", config: SourceConfig | None = None) -> Source:
    """Opens the source of a run, with its settings if no others are given; of one that tracked again, of the first one.

    Raises:
        InputError: It is no longer there, or cannot be opened.
    """
    run = _source_run(run)
    return open_source(video or run.source, config or run.config.source, run.config.detector.threads)


def open_same_source(run: StartedRun, video: str = "", config: SourceConfig | None = None) -> Source:
    """Opens the source of a run as `open_run_source` does, and checks that it still shows the frames of the run.

    Raises:
        InputError: It does not, cannot be read a second time, is no longer there, or cannot be opened.
    """
    advice, run = "give its video by --video", _source_run(run)
    if not video and source_kind(run.source) in ("camera", "pipe"):
        raise InputError(f"the source of {run.folder} cannot be read again: {advice}")
    source = open_run_source(run, video, config)
    try:
        _check_same(run, source, bool(video), advice)
    except InputError:
        source.close()
        raise
    return source


def _source_run(run: StartedRun) -> StartedRun:
    return StartedRun(*read_source_run(run.folder, run.record))


def _check_same(run: StartedRun, source: Source, was_moved: bool, advice: str) -> None:
    known = run.record["source"]
    size = int(known.get("width") or 0), int(known.get("height") or 0)
    if source.live:
        raise InputError(f"{source.uri}, the source of {run.folder}, is live: {advice}")
    if all(size) and size != (source.width, source.height):
        raise InputError(
            f"{run.folder} is of images of {size[0]}x{size[1]} pixels, but {source.uri} is "
            f"{source.width}x{source.height}: {advice}"
        )
    stated = known.get("fingerprint")
    if not was_moved and stated and source.files and fingerprint(source.files) != stated:
        raise InputError(f"{source.uri} changed since {run.folder} was made: {advice}")


def _open_frames(run: StartedRun, table: RunTable, video: str, with_images: bool) -> Source | None:
    """Returns the frames of a run: those of its source or, if no images are needed, of its stored detections."""
    if with_images or video:
        return open_run_source(run, video)
    if not has_parts(table.folder):
        return None
    config = Config(source=run.config.source)
    return open_frames(read_detections(table.folder), config, "")


def _table_info(run: StartedRun) -> VideoInfo:
    source = run.record["source"]
    rate = Fraction(str(source.get("frame_rate") or 30)) or Fraction(30)
    size = int(source.get("width") or 0), int(source.get("height") or 0)
    return VideoInfo(run.folder.name, *size, 1 / rate, rate)


_NO_ROWS = pa.table(
    {
        **{name: pa.array([], pa.int64()) for name in ("frame", "track_id")},
        "class": pa.array([], pa.string()),
        **{name: pa.array([], pa.float32()) for name in ("time_s", "score", "x1", "y1", "x2", "y2")},
        "observed": pa.array([], pa.bool_()),
    }
)


def _to_tracks(table: pa.Table, categories: tuple[str, ...]) -> Tracks:
    count = len(table)
    label = {name: number for number, name in enumerate(categories)}
    names = table["class"].cast(pa.string()).to_pylist()
    boxes = np.stack([table[name].to_numpy() for name in ("x1", "y1", "x2", "y2")], 1)
    data = {}
    if "fine_class" in table.column_names:
        data["fine_classes"] = np.array(table["fine_class"].fill_null("").to_pylist(), np.str_).reshape(count)
        data["fine_scores"] = table["fine_score"].fill_null(0).to_numpy().astype(np.float32)
    return Tracks(
        ids=table["track_id"].to_numpy().astype(np.int64),
        boxes=boxes.astype(np.float32).reshape(-1, 4),
        scores=table["score"].to_numpy().astype(np.float32),
        labels=np.array([label[name] for name in names], np.int64),
        velocities=np.zeros((count, 2), np.float32),
        ages=np.zeros(count, np.float32),
        observed=table["observed"].to_numpy().astype(np.bool_),
        detection_index=np.full(count, -1, np.int64),
        data=data,
    )
