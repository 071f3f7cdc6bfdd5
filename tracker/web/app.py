"""The FastAPI app that every page begins with: access, the page's files, and errors as one sentence."""

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from tracker.errors import InputError, mask_passwords
from tracker.web.access import AccessControl

STATIC = Path(__file__).parent / "static"
"""The files of the pages: a folder for each, `common/` for all. They need nothing from the network."""


def create_app(page: str, token: str = "") -> FastAPI:
    """Returns an app that serves a page at / and the files of its folder at /static/PAGE/.

    An `InputError` of a handler becomes an answer with status 400 and `{"error": SENTENCE}`. Scripts and styles of
    other addresses are refused by the browser.

    Args:
        page: Name of the folder in `STATIC` with the page's index.html, style.css and ES modules.
        token: Required of every request, see `AccessControl`; empty for none.

    Example:
        >>> app = create_app("view")
        >>> "/static" in {getattr(route, "path", "") for route in app.routes}
        True
    """
    app = FastAPI(title="tracker", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(AccessControl, token=token)
    app.mount("/static", StaticFiles(directory=STATIC))

    @app.exception_handler(InputError)
    def tell(_: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"error": mask_passwords(str(error))}, 400)

    @app.get("/")
    def index() -> Response:
        return Response((STATIC / page / "index.html").read_bytes(), media_type="text/html")

    @app.get("/favicon.ico")
    def icon() -> Response:
        return Response(status_code=204)

    return app
