"""Exact conversion of the rational numbers of libraries."""

from fractions import Fraction
from typing import Protocol


class Rational(Protocol):
    """A ratio of two integers: a Fraction, or a number of PyAV 19, whose products are not all exact."""

    @property
    def numerator(self) -> int: ...
    @property
    def denominator(self) -> int: ...


def to_fraction(value: Rational) -> Fraction:
    """Returns a rational number as a Fraction.

    Example:
        >>> to_fraction(3)
        Fraction(3, 1)
    """
    return Fraction(value.numerator, value.denominator)
