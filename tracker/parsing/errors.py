"""The one place that knows what the parsers of files can raise, and says it in one sentence."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.parsers import expat

from tracker.errors import InputError


@contextmanager
def explain_errors(path: Path, kind: str) -> Iterator[None]:
    """Turns whatever reading and parsing a file can raise into an InputError with the file and, if known, the line.

    It belongs around the call of a parser alone: an error of our own code is a bug and keeps its traceback.

    Args:
        path: The file.
        kind: What it should hold, with its article: "a COCO file".
    """
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"there is no file {path}: check the name") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeError:
        message = "this is not text in UTF-8 or UTF-16: save it as UTF-8"
        raise InputError(f"{path}, line {_undecodable_line(path)} is not {kind}: {message}") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: this is not valid JSON ({error.msg}): write it again") from None
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise InputError(f"{path}, line {error.lineno}: this is not XML ({reason}): write it again") from None
    except csv.Error as error:
        raise InputError(f"{path} is not {kind}: {error}") from None
    except RecursionError:
        raise InputError(f"{path} is nested too deeply for {kind}: give another file") from None
    except MemoryError:
        raise InputError(f"{path} does not fit into the memory: give a smaller file") from None
    except (ArithmeticError, ValueError, LookupError) as error:
        # A number of thousands of digits, an unknown encoding, a date of the year 0, ...
        raise InputError(f"{path} is not {kind}: {_one_line(error)}") from None


def _one_line(error: Exception, longest: int = 200) -> str:
    return " ".join(str(error).split())[:longest]


def _undecodable_line(path: Path) -> int:
    """Returns the number of the first line that is not UTF-8; 1 where the file cannot be read again."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode()
                except UnicodeError:
                    return number
    except OSError:
        pass
    return 1
