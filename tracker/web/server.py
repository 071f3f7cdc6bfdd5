"""The web server of a page: a thread that ends with its `with` block."""

import asyncio
import socket
import threading
from ipaddress import ip_address
from typing import Self
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI

from tracker.config import WebConfig
from tracker.errors import InputError

_PORTS = 20
"""Number of ports that are tried after the one of the settings, if it is the default and taken."""
_GRACE = 1
"""Seconds that open connections (a page that waits for events) get to end."""

_MOST_MESSAGE = 2**16
"""Bytes of a message that a client may send over a WebSocket."""


class WebServer:
    """Serves an app from entering the `with` block to leaving it.

    Attributes:
        url: The address of the page, with the token.

    Example:
        >>> from urllib.request import urlopen
        >>> from tracker.web import create_app
        >>> with WebServer(create_app("view"), WebConfig(port=0)) as server:
        ...     urlopen(f"{server.url}static/common/api.js").status
        200
    """

    def __init__(self, app: FastAPI, config: WebConfig) -> None:
        """Takes the app, which requires the token of the settings, and the settings."""
        self._app = app
        self._config = config

    def __enter__(self) -> Self:
        """Starts to serve.

        Raises:
            InputError: The address cannot be used, or others can reach it and there is no token.
        """
        check_access(self._config)
        self._socket = _bind(self._config)
        host, port = self._config.host, self._socket.getsockname()[1]
        name = "127.0.0.1" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{port}/" + (f"?token={quote(self._config.token)}" if self._config.token else "")
        settings = uvicorn.Config(
            self._app,
            log_config=None,  # the default one closes the log handlers of the whole program
            log_level="warning",
            lifespan="on",
            timeout_graceful_shutdown=5 * _GRACE,  # more than enough: `_Server` breaks connections off before
            ws_max_size=_MOST_MESSAGE,
            ws_per_message_deflate=False,  # they carry video
        )
        self._server = _Server(settings)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, name="web")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def wait(self, seconds: float) -> bool:
        """Waits some seconds; returns False if the server has ended meanwhile."""
        self._thread.join(seconds)
        return self._thread.is_alive()


class _Server(uvicorn.Server):
    """Breaks the connections off that are still open some time after the end was asked for.

    Those are streams, some of whose clients do not read what was sent to them; uvicorn itself would cancel their
    tasks, log that with tracebacks, and leave their sockets open.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        timer = asyncio.get_running_loop().call_later(_GRACE, self._break_off)
        await super().shutdown(sockets)
        timer.cancel()

    def _break_off(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def check_access(config: WebConfig) -> None:
    """Checks that a page that other machines can reach has a token.

    Raises:
        InputError: It has none.

    Example:
        >>> check_access(WebConfig(host="0.0.0.0"))
        Traceback (most recent call last):
        tracker.errors.InputError: --host 0.0.0.0 lets other machines in: give a secret as --token too
    """
    try:
        private = config.host == "localhost" or ip_address(config.host).is_loopback
    except ValueError:
        private = False
    if not private and not config.token:
        raise InputError(f"--host {config.host} lets other machines in: give a secret as --token too")


def _bind(config: WebConfig) -> socket.socket:
    """Returns a socket that listens at the address; the next free port if the default one is taken."""
    default = WebConfig().port
    ports = range(default, default + _PORTS) if config.port == default else (config.port,)
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    error = OSError()
    for port in ports:
        try:
            return socket.create_server((config.host, port), family=family)
        except OSError as one:
            error = one
    raise InputError(
        f"cannot serve at {config.host}, port {config.port}: {error.strerror or error}; give another --port"
    ) from None
