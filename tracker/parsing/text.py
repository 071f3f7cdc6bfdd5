"""Text files in the encodings that editors and spreadsheets write: UTF-8 and UTF-16, with and without a mark."""

import codecs
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from tracker.parsing.errors import explain_errors

_HEAD = 4096  # bytes that tell the encoding
_LONG_HEAD = 65536  # bytes that tell the format
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, with whose mark it begins
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def find_encoding(head: bytes) -> str:
    """Returns the encoding of a text by its first bytes.

    Without a mark it is UTF-8, or UTF-16 where every second byte is zero, as in numbers and Latin letters.

    Example:
        >>> find_encoding("0 0.5".encode("utf-16"))
        'utf-16'
        >>> find_encoding(b"0 0.5")
        'utf-8'
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    even, odd = head[0::2], head[1::2]
    if odd and odd.count(0) > len(odd) / 2 and not even.count(0):
        return "utf-16-le"
    if even and even.count(0) > len(even) / 2 and not odd.count(0):
        return "utf-16-be"
    return "utf-8"


def open_text(path: Path) -> TextIO:
    """Opens a text file, in the encoding that its first bytes tell; line breaks are kept, as the module csv wants them.

    Raises whatever opening raises: it belongs into `explain_errors`.
    """
    with path.open("rb") as file:
        encoding = find_encoding(file.read(_HEAD))
    return path.open(encoding=encoding, newline="")


def read_text(path: Path, kind: str = "text") -> str:
    """Reads a whole text file.

    Args:
        path: The file.
        kind: What it should hold, with its article, for error messages.

    Raises:
        InputError: It cannot be read, or is not text; says which line.
    """
    with explain_errors(path, kind), open_text(path) as file:
        return file.read()


def read_head(path: Path, kind: str = "text") -> str:
    """Returns the beginning of a file as text, to tell its format; what is not text there becomes U+FFFD.

    Raises:
        InputError: It cannot be read.
    """
    with explain_errors(path, kind), path.open("rb") as file:
        head = file.read(_LONG_HEAD)
    encoding = find_encoding(head)
    return head.decode("utf-8-sig" if encoding == "utf-8" else encoding, errors="replace")


def iter_lines(path: Path, kind: str = "text") -> Iterator[str]:
    """Yields the lines of a text file one by one, with their line breaks; errors are those of `read_text`."""
    with explain_errors(path, kind), open_text(path) as file:
        yield from file


def iter_csv_rows(path: Path, kind: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yields the number of the line and the columns of each row of a CSV file; blank lines are skipped.

    Raises:
        InputError: It cannot be read, is not text, or is no CSV.
    """
    with explain_errors(path, kind), open_text(path) as file:
        rows = csv.reader(file, delimiter=delimiter)
        for row in rows:
            if row:
                yield rows.line_num, row


def read_lines(path: Path, kind: str = "text") -> list[str]:
    """Returns the lines of a text file, without line breaks and outer spaces; errors are those of `read_text`."""
    return [line.strip() for line in read_text(path, kind).splitlines()]
