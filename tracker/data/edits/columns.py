"""Columns of tables as arrays, without pandas, which `to_numpy` of pyarrow imports where it is installed.

That would take half a second and 35 MB for the first look at a run.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """Returns a column of numbers, (R,), none of them missing."""
    chunks = [np.from_dlpack(chunk) for chunk in column.chunks if len(chunk)]
    if not chunks:
        return np.zeros(0, column.type.to_pandas_dtype())
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def rows_between(table: pa.Table, column: str, first: float, stop: float) -> pa.Table:
    """Returns the rows of a table whose number in a column, in ascending order, is from `first` to before `stop`."""
    low, high = np.searchsorted(numbers(table[column]), [first, stop]).tolist()
    return table.slice(low, high - low)
