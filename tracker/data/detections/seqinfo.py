"""`seqinfo.ini`, in which the MOTChallenge says what its tables do not."""

import configparser
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tracker.errors import InputError


@dataclass(frozen=True)
class Sequence:
    """A sequence of pictures.

    Attributes:
        name: Its name.
        frame_rate: Frames per second.
        length: Number of frames; 0 where that is unknown.
        width: Of the pictures, pixels; 0 where that is unknown.
        height: As `width`.
    """

    name: str
    frame_rate: Fraction
    length: int = 0
    width: int = 0
    height: int = 0


def sequence_of(path: Path, fps: float) -> Sequence:
    """What a `seqinfo.ini` beside a file or one folder up says.

    Args:
        path: The file of detections.
        fps: Frame rate where nothing else says it, frames per second.

    Raises:
        InputError: The `seqinfo.ini` is broken.
    """
    folder = path.absolute().parent
    for place in (folder / "seqinfo.ini", folder.parent / "seqinfo.ini"):
        if place.is_file():
            return _read(place, unknown_sequence(path, fps))
    return unknown_sequence(path, fps)


def unknown_sequence(path: Path, fps: float) -> Sequence:
    """What is assumed where nothing is said; arguments as of `sequence_of`."""
    return Sequence(path.stem, Fraction(fps).limit_denominator(1001000))


def _read(place: Path, default: Sequence) -> Sequence:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(place.read_text(encoding="utf-8-sig"))
        values = parser["Sequence"]
        found = Sequence(
            name=values.get("name", "").strip() or default.name,
            frame_rate=Fraction(values.get("frameRate", str(default.frame_rate))),
            length=int(values.get("seqLength", "0")),
            width=int(values.get("imWidth", "0")),
            height=int(values.get("imHeight", "0")),
        )
    except (OSError, KeyError, ValueError, ZeroDivisionError, configparser.Error) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{place} cannot be read as a sequence's description ({reason}): mend or remove it") from None
    if found.frame_rate <= 0 or min(found.length, found.width, found.height) < 0:
        raise InputError(f"{place}: frameRate must be positive, and lengths not negative: mend or remove it")
    return found
