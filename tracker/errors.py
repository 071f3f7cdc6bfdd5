"""The error that bad input raises, and texts for messages."""

import re

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S*")
_SECRET = re.compile(
    r"([\w.\[\]-]*(?:pass|pwd|secret|token|auth|key|sig|credential)[\w.\[\]-]*=)"
    r"(?!\*\*\*\W*(?:[&\s]|$))[^&\s]*",  # not one that is masked already: a colon after it is the sentence's
    re.IGNORECASE,
)
_PORT = re.compile(r"[0-9]{1,5}(?:[/?#]|$)")
_PORT_AND_FOLDERS = re.compile(r"[0-9]{1,5}/(?:.*/)?")


class InputError(ValueError):
    """Input of the user that cannot be used.

    The message is one sentence that says what is wrong, where, and what to do about it; passwords in URLs are masked.
    The command `track` prints it without a traceback and exits with code 2; any other exception is a bug.

    Example:
        >>> str(InputError("cannot open rtsp://me:secret@host/live"))
        'cannot open rtsp://me:***@host/live'
    """

    def __init__(self, message: str) -> None:
        super().__init__(mask_passwords(message))


def mask_passwords(text: str) -> str:
    """Replaces the passwords in the URLs of a text: those before the host, and values such as `password=`.

    Example:
        >>> mask_passwords("no answer from http://host/live?user=me&password=secret: try again")
        'no answer from http://host/live?user=me&password=*** try again'
    """
    return _URL.sub(lambda url: mask_url(url[0]), text)


def mask_url(url: str) -> str:
    """Replaces the passwords in a URL.

    Example:
        >>> mask_url("rtsp://me:se:cr@t/1@host/live"), mask_url("http://host:8080/@me/clip.mp4")
        ('rtsp://me:***@host/live', 'http://host:8080/@me/clip.mp4')
    """
    before, password, after = split_url_password(url)
    return _SECRET.sub(r"\1***", f"{before}***{after}" if password else url)


def split_url_password(url: str) -> tuple[str, str, str]:
    """Returns the parts of a URL before, in, and after its password, which may have any characters.

    The password is empty if there is none. Where it is not clear whether a part is one, it is taken for one.

    Example:
        >>> split_url_password("rtsp://me:a/b@c@host/live")
        ('rtsp://me:', 'a/b@c', '@host/live')
    """
    start = url.find("://") + 3
    user, colon, rest = url[start:].partition(":")
    password, at, host = rest.rpartition("@")
    is_port = ("@" in user and _PORT.match(rest)) or _PORT_AND_FOLDERS.fullmatch(password)
    if not (colon and at) or "/" in user or is_port:
        return url, "", ""
    return f"{url[:start]}{user}:", password, f"@{host}"


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
