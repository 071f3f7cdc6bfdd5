"""The requests of the page of finished runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel

from tracker.data.edits import Conflict, Edit
from tracker.web.app import create_app
from tracker.web.view.runs import ViewedRun


class Change(BaseModel):
    """A change of the journal, and the version that its author has seen."""

    seen: int
    author: str = ""
    edit: dict[str, Any] = {}


def create_view_app(runs: Sequence[ViewedRun], token: str = "") -> FastAPI:
    """Returns the app that shows some runs; see `create_app`."""
    app = create_app("view", token)

    def find(number: int) -> ViewedRun:
        if not 0 <= number < len(runs):
            raise HTTPException(404, "there is no such run")
        return runs[number]

    @app.exception_handler(Conflict)
    def tell_conflict(_: Any, error: Conflict) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 409)

    @app.get("/api/runs")
    def list_runs() -> list[str]:
        return [run.name for run in runs]

    @app.get("/api/runs/{number}")
    def describe(number: int) -> dict[str, Any]:
        return find(number).describe()

    @app.get("/api/runs/{number}/tracks")
    def tracks(number: int) -> JSONResponse:
        return JSONResponse(find(number).tracks())

    @app.get("/api/runs/{number}/window")
    def window(number: int, start: float, end: float) -> JSONResponse:
        return JSONResponse(find(number).window(start, end))

    @app.get("/api/runs/{number}/frame/{index}")
    def frame(number: int, index: int) -> dict[str, float | None]:
        return {"time": find(number).media.time_of(index)}

    @app.get("/api/runs/{number}/moments")
    def moments(number: int, after: float = -1.0, limit: int = 50) -> dict[str, Any]:
        return find(number).moments(after, min(limit, 500))

    @app.get("/api/runs/{number}/best/{track}")
    def best(number: int, track: int) -> dict[str, Any] | None:
        return find(number).best_box(track)

    @app.get("/api/runs/{number}/why/{track}")
    def why(number: int, track: int, start: float, end: float) -> dict[str, Any]:
        return find(number).why(track, start, end)

    @app.get("/api/runs/{number}/media")
    def media(number: int) -> dict[str, Any]:
        return find(number).media.open()

    @app.get("/api/runs/{number}/video")
    def video(number: int) -> FileResponse:
        found = find(number).media
        found.open()
        if found.path is None:
            raise HTTPException(404, "there is no video")
        return FileResponse(found.path, media_type=found.media_type)

    @app.post("/api/runs/{number}/edit")
    def edit(number: int, change: Change) -> dict[str, Any]:
        run = find(number)
        given = Edit.from_json(change.edit)
        text = run.table.journal.add(lambda edits: run.table.complete(given, edits), change.author, change.seen)
        return {"text": text, **run.journal()}

    @app.post("/api/runs/{number}/undo")
    def undo(number: int, change: Change) -> dict[str, Any]:
        run = find(number)
        return {"text": f"undone: {run.table.journal.undo(change.author, change.seen)}", **run.journal()}

    @app.post("/api/runs/{number}/redo")
    def redo(number: int, change: Change) -> dict[str, Any]:
        run = find(number)
        return {"text": f"done again: {run.table.journal.redo(change.author, change.seen)}", **run.journal()}

    @app.post("/api/runs/{number}/export")
    def export(number: int) -> dict[str, Any]:
        from tracker.pipeline.repaired_run import export_run  # takes time and memory, which a look does without

        paths: list[Path] = export_run(find(number).folder, overwrite=True)
        return {"text": "wrote " + ", ".join(path.name for path in paths) + f" to {paths[0].parent}"}

    return app
