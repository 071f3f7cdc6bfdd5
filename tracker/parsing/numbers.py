"""Numbers as text: the ways in which labelling tools, spreadsheets and numpy write them."""

import re
from math import isfinite, nan
from typing import Any

_DECIMAL_COMMA = re.compile(r"\d,\d")
LARGEST_WHOLE = 2**53
"""The largest whole number up to which a float holds each one."""


def to_number(value: Any) -> float:
    """Converts a number or its text to a float; anything else to NaN, which no check of a box lets pass."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return nan


def to_whole_number(value: Any) -> int | None:
    """Converts a number, or its text in any notation (7, 7.0, 7.000e+00), to an int; anything else to None.

    Example:
        >>> to_whole_number("0.000000e+00"), to_whole_number("1.5"), to_whole_number("cat")
        (0, None, None)
    """
    number = to_number(value)
    return int(number) if isfinite(number) and number.is_integer() and abs(number) <= LARGEST_WHOLE else None


def split_numbers(line: str) -> list[str]:
    """Splits a row of numbers that are separated by spaces, tabs, commas or semicolons.

    A comma is the decimal sign where spaces or semicolons separate the numbers and none of them has a point.

    Example:
        >>> split_numbers("0,0.5, 0.25"), split_numbers("0 0,5 0,25"), split_numbers("0;0,5")
        (['0', '0.5', '0.25'], ['0', '0.5', '0.25'], ['0', '0.5'])
    """
    columns = line.replace(";", " ").split()
    if "," not in line:
        return columns
    has_decimal_commas = len(columns) > 1 and "." not in line and any(map(_DECIMAL_COMMA.search, columns))
    return " ".join(columns).replace(",", "." if has_decimal_commas else " ").split()
