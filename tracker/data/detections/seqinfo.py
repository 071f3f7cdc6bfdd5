"""`seqinfo.ini`, the MOTChallenge's description of a sequence."""

import configparser
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tracker.errors import InputError
from tracker.parsing import read_text, to_whole_number

MAX_LENGTH = 10**8
"""Frames and pixels from here on are refused as mistakes, since every frame would be processed."""
_RATE = re.compile(r"(?=.*[1-9])\d{1,9}(\.\d{1,12})?(/(?=\d*[1-9])\d{1,9})?")  # 25, 29.97 or 30000/1001


@dataclass(frozen=True)
class SequenceInfo:
    """The description of a sequence of images; lengths are 0 where they are unknown."""

    name: str
    frame_rate: Fraction  # frames per second
    length: int = 0  # number of frames
    width: int = 0  # of the images, pixels
    height: int = 0


def read_seqinfo(path: Path, fps: float) -> SequenceInfo:
    """Reads the `seqinfo.ini` beside a file of detections or one folder up; without one, returns `default_seqinfo`."""
    folder = path.absolute().parent
    for file in (folder / "seqinfo.ini", folder.parent / "seqinfo.ini"):
        if file.is_file():
            return _read(file, default_seqinfo(path, fps))
    return default_seqinfo(path, fps)


def default_seqinfo(path: Path, fps: float) -> SequenceInfo:
    """Returns the description of a sequence without a `seqinfo.ini`, by its file's name and the frames per second."""
    return SequenceInfo(path.stem, Fraction(fps).limit_denominator(1001000))


def _read(file: Path, default: SequenceInfo) -> SequenceInfo:
    parser = configparser.ConfigParser(interpolation=None)
    text = read_text(file, "a description of a sequence")
    try:
        parser.read_string(text)
        values = parser["Sequence"]
    except (KeyError, configparser.Error) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file} cannot be read as a sequence's description ({reason}): mend or remove it") from None
    rate = values.get("frameRate", "").strip()
    lengths = [to_whole_number(values.get(key) or 0) for key in ("seqLength", "imWidth", "imHeight")]
    length, width, height = (-1 if number is None else number for number in lengths)
    if (rate and not _RATE.fullmatch(rate)) or not all(0 <= n <= MAX_LENGTH for n in (length, width, height)):
        reason = "frameRate must be a positive number, and lengths whole numbers"
        raise InputError(f"{file} cannot be read as a sequence's description ({reason}): mend or remove it")
    return SequenceInfo(
        name=values.get("name", "").strip() or default.name,
        frame_rate=Fraction(rate) if rate else default.frame_rate,
        length=length,
        width=width,
        height=height,
    )
