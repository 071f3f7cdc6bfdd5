"""Pages in the browser: how an app is made, who may use it, and how it is started and ended."""

from tracker.web.app import create_app
from tracker.web.server import WebServer

__all__ = ["WebServer", "create_app"]
