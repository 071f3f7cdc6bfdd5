"""Arrays as programs have them (lists, any type of number, tensors of PyTorch), converted to NumPy's."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.errors import InputError


def to_array(values: Any, name: str) -> NDArray[Any]:
    """Returns values as an array of NumPy; a tensor of PyTorch, which is not imported, from any device.

    Args:
        values: A sequence, an array of any library, or a tensor.
        name: Names them in the error.

    Raises:
        InputError: They are no array.

    Example:
        >>> to_array([[1, 2], [3, 4]], "the boxes").shape
        (2, 2)
    """
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        tensor = values.detach().cpu()
        # NumPy has no bfloat16.
        values = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    elif isinstance(values, list | tuple) and any(hasattr(value, "detach") for value in values):
        values = [to_array(value, name) for value in values]
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        reason = "rows have different lengths" if "inhomogeneous" in str(error) else str(error).split("\n")[0]
        raise InputError(f"{name} cannot be made an array: {reason}") from None
    if array.dtype.kind not in "biufUS" or (array.dtype.kind in "US" and array.ndim == 0):
        raise InputError(f"{name} must be numbers, not {type(values).__name__}{_what(array)}")
    return array


def _what(array: NDArray[Any]) -> str:
    return f" of {array.dtype}" if array.ndim else ""


def to_numbers(values: Any, shape: tuple[int | None, ...], name: str) -> NDArray[np.float64]:
    """Returns values as finite float64 of a shape; no values at all have any shape of no rows.

    Args:
        values: See `to_array`.
        shape: The shape; None for any length of the first axis.
        name: Names the values in the error.

    Raises:
        InputError: They are no numbers, not finite, or of another shape.

    Example:
        >>> to_numbers([], (None, 4), "the boxes").shape
        (0, 4)
    """
    array = to_array(values, name)
    if not array.size and array.ndim <= len(shape) and shape[0] in (None, 0):
        return np.zeros((0, *(length or 0 for length in shape[1:])))
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name} must be numbers, not {array.dtype}")
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
        wanted = str(tuple("N" if length is None else length for length in shape)).replace("'", "")
        raise InputError(f"{name} must have shape {wanted}, and have {array.shape}")
    numbers = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise InputError(f"{name} hold numbers that are not finite")
    return numbers
