"""The columns of the stored detections, and what every file says about them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from tracker.errors import InputError

PART_SECONDS = 10
"""Seconds of the source in one file: so many are analyzed again at most when a killed run is resumed."""
VERSION = 1
_KEY = b"tracker"


@dataclass(frozen=True)
class StoreInfo:
    """The properties of a run that its stored detections have in common; every file holds them.

    Attributes:
        name: Name of the source.
        categories: Class names by label.
        width: Of the upright images, pixels.
        height: As `width`.
        frame_rate: Frames per second, on average.
        time_base: Seconds in one unit of `pts`.
        embedding_size: Numbers in an embedding; 0 without an embedder.
        embedder: What computed the embeddings, as the settings name it; empty without one.
        reid_class_ids: Labels of the classes whose identities the embeddings tell apart.
        neutral_distance: See `FrameAnalyzer.neutral_distance`.
        fine_categories: Names of the finer classes; none without a classifier.
        fine_class_ids: Labels of the classes that have such.
        mask_size: Rows and columns of a mask; 0 without masks.
    """

    name: str
    categories: tuple[str, ...]
    width: int
    height: int
    frame_rate: Fraction
    time_base: Fraction
    embedding_size: int = 0
    embedder: str = ""
    reid_class_ids: tuple[int, ...] = ()
    neutral_distance: float = 0.0
    fine_categories: tuple[str, ...] = ()
    fine_class_ids: tuple[int, ...] = ()
    mask_size: int = 0

    def schema(self, **more: Any) -> pa.Schema:
        """Returns the columns, with these properties and `more` in the metadata."""
        columns: list[tuple[str, pa.DataType]] = [
            ("frame", pa.int64()),
            ("pts", pa.int64()),
            ("time_s", pa.float64()),
            ("detector_ran", pa.bool_()),
            ("class", pa.dictionary(pa.int32(), pa.string())),
            ("label", pa.int32()),
            ("score", pa.float32()),
            *((name, pa.float32()) for name in ("x1", "y1", "x2", "y2")),
        ]
        if self.embedding_size:
            columns.append(("embedding", pa.list_(pa.float16(), self.embedding_size)))
        if self.fine_categories:
            columns.append(("class_probs", pa.list_(pa.float32(), len(self.fine_categories))))
        if self.mask_size:
            columns.append(("mask", pa.list_(pa.uint8(), self.mask_size**2)))
        values = {**asdict(self), "frame_rate": str(self.frame_rate), "time_base": str(self.time_base), **more}
        return pa.schema(columns, {_KEY: json.dumps({"version": VERSION, **values}).encode()})

    @classmethod
    def from_metadata(cls, metadata: Mapping[bytes, bytes] | None, path: Path) -> tuple[Self, dict[str, Any]]:
        """Returns the properties in the metadata of a file, and what else it says.

        Raises:
            InputError: The file is none of ours, or of a newer version.
        """
        try:
            values: dict[str, Any] = json.loads((metadata or {})[_KEY])
            version = values.pop("version")
            values |= {key: Fraction(values[key]) for key in ("frame_rate", "time_base")}
            known = {key: _to_tuple(values.pop(key)) for key in cls.__dataclass_fields__}
        except (KeyError, ValueError, TypeError, AttributeError):
            raise InputError(f"{path} holds no stored detections: give a folder that track wrote") from None
        if version != VERSION:
            raise InputError(f"{path} was written by another version of this program (its format is {version})")
        return cls(**known), values


def _to_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
