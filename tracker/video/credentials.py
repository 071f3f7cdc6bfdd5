"""User names and passwords in URLs: from the environment, and with characters that have a meaning in URLs."""

import os
import re
from collections.abc import Mapping
from urllib.parse import quote

from tracker.errors import InputError, mask_url, split_url_password

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NOT_ENCODED = "%!$&'()*+,;="  # what may stand in a password as it is, and what is encoded already


def insert_credentials(url: str, environment: Mapping[str, str] = os.environ) -> str:
    """Returns a URL as FFmpeg understands it, with {NAME} replaced by the variable of that name in the environment.

    So a password need not be on the command line, where every user of the machine can see it. The variable holds it as
    it is. A password that stands in the URL may have any characters too, as they are or encoded (%40 for @).

    Raises:
        InputError: There is no variable of that name.

    Example:
        >>> variables = {"CAMERA_USER": "me", "CAMERA_PASSWORD": "a/b@c"}
        >>> insert_credentials("rtsp://{CAMERA_USER}:{CAMERA_PASSWORD}@host/live", variables)
        'rtsp://me:a%2Fb%40c@host/live'
        >>> insert_credentials("rtsp://me:a/b@c@host/live")
        'rtsp://me:a%2Fb%40c@host/live'
    """

    def value(name: str) -> str:
        if name not in environment:
            raise InputError(f"{mask_url(url)} needs the environment variable {name}, which is not set: export it")
        return environment[name]

    def encoded(name: re.Match[str]) -> str:
        return quote(value(name[1]), safe="")

    before, password, after = split_url_password(url)
    if password:
        parts = _VARIABLE.split(password)  # texts and, at odd places, names
        parts[0::2] = [quote(part, safe=_NOT_ENCODED) for part in parts[0::2]]
        parts[1::2] = [quote(value(part), safe="") for part in parts[1::2]]
        password, before = "".join(parts), _VARIABLE.sub(encoded, before)
    else:
        before, after = "", url
    host_and_path, mark, query = after.partition("?")
    host_and_path = _VARIABLE.sub(lambda name: value(name[1]), host_and_path)
    return before + password + host_and_path + mark + _VARIABLE.sub(encoded, query)
