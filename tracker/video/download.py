"""Download of a file whose server lets it be read only from its beginning to its end."""

import base64
from http.client import HTTPException
from urllib.error import URLError
from urllib.parse import unquote
from urllib.request import Request, urlopen

from tracker.errors import InputError
from tracker.video.address import split_url
from tracker.video.recording import Readable


def download(url: str, uri: str, timeout: float) -> Readable:
    """Returns the body of the answer to an http request.

    Args:
        url: The address, which may hold a user and a password.
        uri: The address as messages may show it.
        timeout: Seconds without an answer after which an error is raised.

    Raises:
        InputError: The server does not send it.
    """
    parts = split_url(url)
    user, _, host = parts.netloc.rpartition("@")
    request = Request(parts._replace(netloc=host, fragment="").geturl())
    if user:
        token = base64.b64encode(unquote(user).encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    try:
        response: Readable = urlopen(request, timeout=timeout)
    except (URLError, HTTPException, OSError, ValueError) as error:
        raise InputError(f"cannot download {uri}: {getattr(error, 'reason', None) or error}") from error
    return response
