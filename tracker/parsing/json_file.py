"""JSON files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracker.parsing.errors import explain_errors
from tracker.parsing.text import open_text

ObjectHook = Callable[[dict[str, Any]], Any]


def read_json(path: Path, kind: str, object_hook: ObjectHook | None = None) -> Any:
    """Reads a JSON file.

    Args:
        path: The file.
        kind: What it should hold, with its article, for error messages.
        object_hook: Converts each object of the file as soon as it is read. What it raises must be an InputError, since
            anything else counts as an error of the file.

    Raises:
        InputError: It cannot be read, or is not JSON; says which line.
    """
    with explain_errors(path, kind), open_text(path) as file:
        return json.load(file, object_hook=object_hook)
