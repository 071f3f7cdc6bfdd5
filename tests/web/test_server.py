"""The server of a page: start, end, who may use it, and nothing outside of its folder."""

import http.client
import logging
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi", reason="the extra [web] is not installed")
pytest.importorskip("uvicorn", reason="the extra [web] is not installed")

from tracker.config import WebConfig
from tracker.errors import InputError
from tracker.web import WebServer, create_app

FILE = "/static/common/api.js"


def ask(url: str, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Sends a request as it is, without the cleaning of paths that browsers do."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def serve(token: str = "") -> Iterator[str]:
    app = create_app("view", token)

    @app.post("/api/change")
    def change(bad: bool = False) -> str:
        if bad:
            raise InputError("this cannot be done: do that")
        return "done"

    with WebServer(app, WebConfig(port=0, token=token)) as server:
        yield server.url


@pytest.fixture(scope="module", name="url")
def open_server() -> Iterator[str]:
    yield from serve()


@pytest.fixture(scope="module", name="secret")
def server_with_token() -> Iterator[str]:
    yield from serve("s3cret")


def test_the_log_of_the_program_stays_as_it_is() -> None:
    """A server that sets up logging for itself closes the handlers of the whole program, and their files."""

    class File(logging.NullHandler):
        closed = False

        def close(self) -> None:
            self.closed = True
            super().close()

    handler = File()
    levels = {name: logging.getLogger(name).handlers[:] for name in (None, "uvicorn", "uvicorn.access")}
    with WebServer(create_app("view"), WebConfig(port=0)):
        assert not handler.closed
    assert levels == {name: logging.getLogger(name).handlers for name in levels}


def test_files_and_their_headers(url: str) -> None:
    status, headers, body = ask(url, FILE)
    assert status == 200 and b"export" in body and "javascript" in headers["content-type"]
    assert "default-src 'self'" in headers["content-security-policy"]
    assert ask(url, FILE, Range="bytes=2-5")[0::2] == (206, body[2:6])


@pytest.mark.parametrize(
    "path", ["../app.py", "%2e%2e/app.py", "..%2fapp.py", "....//app.py", "/etc/passwd", "\\..\\app.py"]
)
def test_nothing_outside_of_the_folder_is_served(url: str, path: str) -> None:
    status, _, body = ask(url, f"/static/{path}")
    assert status in (404, 405) and b"FastAPI" not in body and b"root:" not in body


def test_bad_input_is_one_sentence(url: str) -> None:
    assert ask(url, "/api/change?bad=1", "POST")[0::2] == (400, b'{"error":"this cannot be done: do that"}')


def test_other_web_sites_are_refused(url: str) -> None:
    assert ask(url, FILE, Host="evil.example:80")[0] == 403
    assert ask(url, "/api/change", "POST", Origin="http://evil.example")[0] == 403
    assert ask(url, "/api/change", "POST", Origin=url.rstrip("/"))[0] == 200
    assert ask(url, "/api/change", "POST")[0] == 200


def test_the_token_comes_by_address_cookie_or_header(secret: str) -> None:
    assert ask(secret, FILE)[0] == 403
    assert ask(secret, f"{FILE}?token=wrong")[0] == 403
    status, headers, _ = ask(secret, f"{FILE}?token=s3cret&a=1")
    cookie = headers["set-cookie"].split(";")[0]
    assert (status, headers["location"]) == (303, f"{FILE}?a=1") and "HttpOnly" in headers["set-cookie"]
    assert ask(secret, FILE, Cookie=cookie)[0] == 200
    assert ask(secret, FILE, Authorization="Bearer s3cret")[0] == 200
    assert ask(secret, FILE, Host="anything.example", Authorization="Bearer s3cret")[0] == 200
    assert urlsplit(secret).query == "token=s3cret"


def test_a_redirect_stays_on_this_server(secret: str) -> None:
    assert ask(secret, "//evil.example/?token=s3cret")[1]["location"] == "/evil.example/"


def test_others_need_a_token() -> None:
    with pytest.raises(InputError, match="--token"), WebServer(create_app("view"), WebConfig(host="0.0.0.0", port=0)):
        pass


def test_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with WebServer(create_app("view"), WebConfig(port=0)) as first:
        taken = int(urlsplit(first.url).port or 0)
        with (
            pytest.raises(InputError, match="give another --port"),
            WebServer(create_app("view"), WebConfig(port=taken)),
        ):
            pass
        default = WebConfig().port
        with WebServer(create_app("view"), WebConfig()) as a, WebServer(create_app("view"), WebConfig()) as b:
            ports = [int(urlsplit(one.url).port or 0) for one in (a, b)]
            assert default <= ports[0] < ports[1] < default + 20


def test_an_address_that_is_not_ours() -> None:
    config = WebConfig(host="203.0.113.7", port=0, token="x")
    with pytest.raises(InputError, match=r"cannot serve at 203\.0\.113\.7"), WebServer(create_app("view"), config):
        pass


def test_no_thread_is_left_while_a_client_waits() -> None:
    before = set(threading.enumerate())
    with WebServer(create_app("view"), WebConfig(port=0)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port, timeout=10)
        connection.request("GET", FILE)
        connection.getresponse().read()
        assert server.wait(0)
    connection.close()
    for thread in set(threading.enumerate()) - before:  # of the pool for handlers, which end with its event loop
        thread.join(10)
        assert not thread.is_alive()
