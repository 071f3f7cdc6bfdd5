"""The error that bad input raises."""


class InputError(ValueError):
    """Input of the user that cannot be used.

    The message is one sentence that says what is wrong, where, and what to do about it. The command `track` prints it
    without a traceback and exits with code 2; any other exception is a bug.
    """


def did_you_mean(name: str, known: list[str]) -> str:
    """Returns the end of a sentence about an unknown name: the nearest known name, and all known names.

    Example:
        >>> "unknown format 'onx'" + did_you_mean("onx", ["onnx", "openvino"])
        "unknown format 'onx' (did you mean 'onnx'?); known: onnx, openvino"
    """
    import difflib

    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{hint}; known: {', '.join(known)}"
