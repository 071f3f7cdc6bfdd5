"""`seqinfo.ini`, the MOTChallenge's description of a sequence."""

import configparser
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tracker.errors import InputError


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
    try:
        parser.read_string(file.read_text(encoding="utf-8-sig"))
        values = parser["Sequence"]
        info = SequenceInfo(
            name=values.get("name", "").strip() or default.name,
            frame_rate=Fraction(values.get("frameRate", str(default.frame_rate))),
            length=int(values.get("seqLength", "0")),
            width=int(values.get("imWidth", "0")),
            height=int(values.get("imHeight", "0")),
        )
    except (OSError, KeyError, ValueError, ZeroDivisionError, configparser.Error) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file} cannot be read as a sequence's description ({reason}): mend or remove it") from None
    if info.frame_rate <= 0 or min(info.length, info.width, info.height) < 0:
        raise InputError(f"{file}: frameRate must be positive, and lengths not negative: mend or remove it")
    return info
