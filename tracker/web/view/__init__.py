"""The page of finished runs: their videos with the tracks drawn over them, and repairs."""

from tracker.web.view.routes import create_view_app
from tracker.web.view.runs import find_runs

__all__ = ["create_view_app", "find_runs"]
