"""The video that the browser plays for a run: the source itself, or a copy that browsers can play."""

import threading
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
from av.error import FFmpegError
from numpy.typing import NDArray

from tracker.config import Config, SourceConfig
from tracker.data.edits import RunTable
from tracker.data.edits.columns import numbers
from tracker.data.files import remove_file
from tracker.data.store import read_source_run
from tracker.errors import InputError

COPY = "browser.mp4"
"""Name of the copy in the folder of the run."""
_SUFFIXES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm"}
_CODECS = ("h264", "vp8", "vp9", "av1")
_PIXELS = ("yuv420p", "yuvj420p")


class Media:
    """Finds or makes the video for a run.

    Attributes:
        path: The video; None while a copy is made, and where there is none.
        note: What the user should know about it.
        offset: Time of the source's first frame in that video, seconds.
        progress: Share of the copy that is made.
    """

    def __init__(self, folder: Path, record: dict[str, Any], table: RunTable) -> None:
        """Takes the folder of the run, its record and its tracks; nothing is opened yet."""
        self._folder, record = read_source_run(folder, record)
        source = record["source"]
        self._source = Path(source.get("path") or source.get("name") or "")
        self._start = float(record.get("config", {}).get("source", {}).get("start", 0.0))
        self._table = table
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self.path: Path | None = None
        self.note = ""
        self.offset = 0.0
        self.progress = 0.0

    def open(self) -> dict[str, Any]:
        """Returns what the page needs to know of the video; starts to make a copy where that is needed."""
        if self.path is None and self._thread is None:
            self._choose()
        return {
            "ready": self.path is not None,
            "note": self.note,
            "offset": self.offset,
            "progress": round(self.progress, 3),
        }

    @property
    def media_type(self) -> str:
        """Type of the video, for the browser."""
        return _SUFFIXES.get(self.path.suffix.lower(), "video/mp4") if self.path else ""

    def close(self) -> None:
        """Ends the making of a copy."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def frame_times(self, start: float, end: float, rows: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Returns the indices and times of the frames between two times, as the run or else its source tells them."""
        if self._table.frame_table.is_complete:
            return self._table.frame_table.between(start, end)
        if len(self._source_times):
            first, stop = np.searchsorted(self._source_times, (start, end))
            return np.arange(first, stop), self._source_times[first:stop]
        frames, index = np.unique(numbers(rows["frame"]), return_index=True)
        return frames, numbers(rows["time_s"])[index]

    def time_of(self, frame: int) -> float | None:
        """Returns the time of a frame, seconds; None if there is no such frame."""
        if self._table.frame_table.is_complete:
            return self._table.frame_table.time_of(frame)
        if len(self._source_times):
            return float(self._source_times[frame]) if 0 <= frame < len(self._source_times) else None
        rows = self._table.window(frame, frame + 1)
        return float(rows["time_s"][0].as_py()) if rows.num_rows else None

    @cached_property
    def _source_times(self) -> NDArray[np.float64]:
        """Times of all frames of the source, for a run that stored none; empty if it is no video file."""
        try:
            with av.open(f"file:{self._source}") as container:
                stream = container.streams.video[0]
                unit = float(stream.time_base or 0)
                stamps = np.sort([packet.pts for packet in container.demux(stream) if packet.pts is not None])
        except (FFmpegError, OSError, IndexError):
            return np.zeros(0)
        return (stamps - stamps[0]) * unit if len(stamps) else np.zeros(0)

    def _choose(self) -> None:
        source, copy = self._source, self._folder / COPY
        if source.is_file() and _plays_in_browsers(source):
            self.path = source
        elif copy.is_file():
            self.path, self.offset = copy, _start(copy)
            self.note = f"{source.name} is shown as a copy that browsers can play ({COPY} in the folder of the run)"
        elif source.exists():
            self.note = f"a copy of {source.name} that browsers can play is being made; this is done once"
            self._thread = threading.Thread(target=self._make_copy, args=(copy,), name="copy for the browser")
            self._thread.start()
        elif (self._folder / "video.mp4").is_file():
            annotated = self._folder / "video.mp4"
            self.path, self.offset = annotated, _start(annotated) - self._start
            self.note = f"{source} is no longer there: the annotated video is shown, with the boxes as they were"
        else:
            self.note = f"{source} is no longer there, and the run has no video: only the tracks are shown"

    def _make_copy(self, path: Path) -> None:
        # These take time and memory, which a page does without where the browser plays the source.
        from tracker.pipeline.repaired_run import open_run_source, started_run

        temporary = path.with_name(f".{path.stem}.part.mp4")
        try:
            run = started_run(self._folder)
            plain = run.config.source.model_dump(exclude={"start", "end", "every"}, exclude_unset=True)
            with open_run_source(run, config=SourceConfig(**plain)) as source:
                self._write(source, run.config, temporary)
            if not self._stop.is_set():
                temporary.replace(path)
                self.offset, self.path = _start(path), path
                self.note = f"a copy that browsers can play was made: {COPY} in the folder of the run"
        except InputError as error:
            self.note = f"no copy for the browser could be made: {error}"
        except OSError as error:
            self.note = f"no copy for the browser could be made: {error.strerror}"
        finally:
            remove_file(temporary)

    def _write(self, source: Any, config: Config, path: Path) -> None:
        from tracker.output import open_writer
        from tracker.pipeline.file_run import video_info
        from tracker.pipeline.repaired_run import no_tracks

        source.keep_media()
        expected = max(1, source.expected_frames or 1)
        output = config.output.model_copy(update={"trail": 0.0})
        with open_writer(path, video_info(source, config), (), output) as writer:
            for number, frame in enumerate(source):
                if self._stop.is_set():
                    return
                writer.write(frame, no_tracks())
                self.progress = min(1.0, number / expected) if np.isfinite(expected) else 0.0


def _plays_in_browsers(path: Path) -> bool:
    """Checks whether browsers play a file, from the time 0 on."""
    if path.suffix.lower() not in _SUFFIXES:
        return False
    try:
        with av.open(f"file:{path}") as container:
            stream = container.streams.best("video")
            if not isinstance(stream, av.VideoStream) or stream.codec_context.name not in _CODECS:
                return stream is not None and getattr(stream.codec_context, "name", "") in ("libdav1d", "libaom-av1")
            starts = [one.start_time * one.time_base for one in container.streams if one.start_time and one.time_base]
            return stream.pix_fmt in _PIXELS and all(start == 0 for start in starts)
    except (FFmpegError, OSError):
        return False


def _start(path: Path) -> float:
    """Returns the time of the first frame of a file, seconds."""
    with av.open(f"file:{path}") as container:
        stream = container.streams.video[0]
        return float(Fraction(stream.start_time or 0) * (stream.time_base or Fraction(0)))
