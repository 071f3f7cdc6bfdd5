"""Known numbers of objects: of all classes together, or of some of them."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

ALL = ""
"""The key of `parse_object_counts` for all classes together."""


def object_counts_text(value: Any) -> str:
    """Returns numbers of objects as text: of all classes together, or by class; empty for none.

    Example:
        >>> object_counts_text(4), object_counts_text("person=2, dog=1"), object_counts_text({"person": 2})
        ('4', 'person=2,dog=1', 'person=2')

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, Mapping):
        value = ",".join(f"{name}={number}" for name, number in value.items())
    counts = parse_object_counts("" if value is None else str(value))
    return str(counts[ALL]) if ALL in counts else ",".join(f"{name}={number}" for name, number in counts.items())


def parse_object_counts(text: str) -> dict[str, int]:
    """Reads what `object_counts_text` returns: numbers by class, or that of all classes under `ALL`.

    Example:
        >>> parse_object_counts("person=2,dog=1")
        {'person': 2, 'dog': 1}

    Raises:
        ValueError: A number is not a whole one from 1 on, a class is named twice, or the number of all classes
            stands beside that of one.
    """
    counts: dict[str, int] = {}
    for part in text.split(",") if text.strip() else ():
        name, _, number = (piece.strip() for piece in part.rpartition("="))
        if not number.isdecimal() or not int(number) or name in counts:
            raise ValueError("give a number from 1 on, such as 4, or one for each of some classes: person=2,dog=1")
        counts[name] = int(number)
    if ALL in counts and len(counts) > 1:
        raise ValueError("give one number for all classes, or one for each of some classes: person=2,dog=1")
    return counts


ObjectCounts = Annotated[str, BeforeValidator(object_counts_text)]
"""Numbers of objects as `object_counts_text` gives them."""
