"""One CSV table of the tracks of several sources that are tracked at the same time."""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock

from tracker.data.files import create_temporary, remove_file
from tracker.data.source_column import SOURCE_COLUMN
from tracker.output.base import OutputFile, ResultWriter, VideoInfo, write_error
from tracker.output.paths import numbered_names
from tracker.output.tables import CsvFormat, csv_columns
from tracker.output.text_file import AppendOnlyFile
from tracker.structures.types import Frame, Tracks

_BLOCK = 2**20  # bytes of rows that are copied at a time


class CombinedTable(OutputFile):
    r"""Writes `source`, which names the source, and the columns of `CsvWriter`; safe to use from several threads.

    The rows of the first source come first, then those of the second one, and so on, whichever of them is tracked
    faster. Rows of a source whose turn has not come wait in a hidden file beside the table.

    Example:
        >>> import tempfile
        >>> from fractions import Fraction
        >>> info = VideoInfo("clip", 64, 48, Fraction(1, 25), Fraction(25))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with CombinedTable(Path(folder, "all.csv"), ["a/clip.mp4", "b/clip.mp4"], False) as table:
        ...         table.open_writer(1, info, ["person"]).close()
        ...         table.open_writer(0, info, ["person"]).close()
        ...     Path(folder, "all.csv").read_text()
        'source,frame,time_s,track_id,class,score,x1,y1,x2,y2,observed\n'
    """

    def __init__(
        self,
        path: Path,
        sources: Sequence[str],
        has_fine_classes: bool,
        overwrite: bool = True,
        has_datetime: bool = False,
    ) -> None:
        """Creates the file, or replaces it.

        Args:
            path: The file.
            sources: Names of the sources, without passwords. One that comes twice gets a number.
            has_fine_classes: True if tracks have fine classes, for which there are columns then.
            overwrite: False to refuse what exists.
            has_datetime: True if the tables have the column `datetime`.

        Raises:
            InputError: It cannot be created, or exists and may not be replaced.
        """
        self.path = path
        self._has_datetime = has_datetime
        self._names: list[str] = []
        for source in sources:
            self._names.append(next(name for name in numbered_names(source) if name not in self._names))
        header = ",".join((SOURCE_COLUMN, *csv_columns(has_fine_classes, has_datetime)))
        self._file = AppendOnlyFile(path, f"{header}\n", overwrite)
        self._lock = Lock()
        self._is_used = False
        self._turn = 0
        self._done: set[int] = set()
        self._waiting: dict[int, _WaitingRows] = {}

    def open_writer(self, number: int, info: VideoInfo, categories: Sequence[str]) -> ResultWriter:
        """Returns the writer for the tracks of a source, by its index."""
        self._is_used = True
        info = replace(info, has_dates=info.has_dates and self._has_datetime)
        return _SourceWriter(self, number, CsvFormat(info, categories, self._names[number]))

    def append(self, number: int, rows: str) -> None:
        """Appends rows of a source.

        Raises:
            InputError: The file cannot be written.
        """
        with self._lock:
            if number == self._turn:
                self._file.append(rows)
                return
            if number not in self._waiting:
                self._waiting[number] = _WaitingRows(self.path)
            self._waiting[number].append(rows)

    def finish(self, number: int) -> None:
        """Says that nothing more comes of a source: the turn of the next one has come.

        Raises:
            InputError: As `append`.
        """
        with self._lock:
            self._done.add(number)
            while self._turn in self._done:
                self._turn += 1
                self._flush(self._turn)

    def close(self) -> None:
        """Writes what waits, also of sources that are not finished, and closes the file; an unused one is removed.

        Raises:
            InputError: As `append`.
        """
        with self._lock, ExitStack() as stack:
            if not self._is_used:
                stack.callback(remove_file, self.path)
            stack.callback(self._file.close)
            for rows in self._waiting.values():
                stack.callback(rows.discard)
            for number in sorted(self._waiting):
                self._flush(number)

    def _flush(self, number: int) -> None:
        if waiting := self._waiting.pop(number, None):
            try:
                waiting.move_to(self._file)
            finally:
                waiting.discard()


class _SourceWriter(ResultWriter):
    """Writes the tracks of one source."""

    def __init__(self, table: CombinedTable, number: int, rows: CsvFormat) -> None:
        self.path = table.path
        self._table = table
        self._number = number
        self._format = rows

    def write(self, frame: Frame, tracks: Tracks) -> None:
        if rows := self._format.rows(frame, tracks):
            self._table.append(self._number, rows)

    def close(self) -> None:
        pass


class _WaitingRows:
    """Rows that wait in a hidden file beside the table."""

    def __init__(self, table: Path) -> None:
        try:
            self._path = create_temporary(table)
            self._file = self._path.open("w+", encoding="utf-8", errors="backslashreplace", newline="")
        except OSError as error:
            raise write_error(table, error) from None
        self._table = table

    def append(self, rows: str) -> None:
        try:
            self._file.write(rows)
        except OSError as error:
            raise write_error(self._table, error) from None

    def move_to(self, file: AppendOnlyFile) -> None:
        """Appends all rows to a file, in blocks of whole lines."""
        try:
            self._file.seek(0)
            while lines := self._file.readlines(_BLOCK):
                file.append("".join(lines))
        except OSError as error:
            raise write_error(self._table, error) from None

    def discard(self) -> None:
        """Removes the file; raises no error, as it may follow one."""
        with suppress(OSError):
            self._file.close()
        remove_file(self._path)
