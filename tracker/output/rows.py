"""Rows of a dataclass as a table: CSV, or Parquet with types."""

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, fields
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracker.data.files import replace_file, write_text
from tracker.data.text_cells import to_cell
from tracker.output.base import open_error

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_DIGITS = 4


def write_rows(path: Path, kind: "type[DataclassInstance]", rows: Sequence["DataclassInstance"]) -> None:
    r"""Writes a table whose columns are the fields of a dataclass; `category` is the column `class`.

    Args:
        path: Ends with .csv or .parquet. A file there is replaced.
        kind: The dataclass, whose fields are texts, numbers and booleans.
        rows: Its instances. Numbers are rounded to 1/10,000; NaN is an empty cell.

    Raises:
        InputError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> from dataclasses import make_dataclass
        >>> Row = make_dataclass("Row", [("category", str), ("count", int)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_rows(Path(folder, "a.csv"), Row, [Row("car", 3)])
        ...     Path(folder, "a.csv").read_text()
        'class,count\ncar,3\n'
    """
    names = ["class" if field.name == "category" else field.name for field in fields(kind)]
    values = [tuple(map(_rounded, astuple(row))) for row in rows]
    if path.suffix.lower() == ".parquet":
        types = [_TYPES[field.type] for field in fields(kind)]  # type: ignore[index]
        columns = list(zip(*values, strict=True)) or [()] * len(names)
        table = pa.table([pa.array(column, kind) for column, kind in zip(columns, types, strict=True)], names)
        try:
            with replace_file(path) as temporary:
                pq.write_table(table, temporary, compression="zstd")
        except OSError as error:
            raise open_error(path, error) from None
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([[_cell(value) for value in row] for row in values])
    write_text(path, text.getvalue())


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return None if isnan(value) else round(value, _DIGITS)
    return value


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return to_cell(value)
    return int(value) if isinstance(value, bool) else value
