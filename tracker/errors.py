"""The one error that bad input raises. It is caught by the command line and shown as one sentence."""


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one sentence that says what is wrong, where, and what to do about it. The `track`
    command prints it without a traceback and exits with code 2; any other exception is a bug.
    """


def did_you_mean(word: str, known: list[str]) -> str:
    """Ends a sentence about an unknown word: the nearest known one and the whole list."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{hint}; known: {', '.join(known)}"
