"""The access to a page: who may send requests, and what a browser may do with the answers."""

from hashlib import sha256
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_READING = ("GET", "HEAD", "OPTIONS")
_OPEN = "/healthz"
"""Path that answers without a token: that the server is alive, and nothing else."""


class AccessControl:
    """Refuses requests without the token, and those that other web sites let a browser send.

    The token comes as `Authorization: Bearer TOKEN`, as a cookie or, for the first page, as `?token=TOKEN`, which sets
    the cookie. Without a token, only this machine reaches the server: then the name by which it is addressed has to be
    this machine's, so that no web site reaches it by a name of its own (DNS rebinding). Requests that change something
    have to come from the page itself.
    """

    def __init__(self, app: ASGIApp, token: str = "") -> None:
        """Takes the app that answers, and the token; empty for none."""
        self._app = app
        self._token = token
        # Browsers keep one set of cookies for all servers of a host, which may have tokens of their own.
        self._cookie = f"tracker_{sha256(token.encode()).hexdigest()[:12]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or (scope["type"] == "http" and scope["path"] == _OPEN):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        query = parse_qs(scope["query_string"].decode("latin-1"))
        given = query.pop("token", [""])[0]
        reason = self._refusal(scope, headers, given)
        if reason and scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
        elif reason:
            await PlainTextResponse(reason, 403)(scope, receive, send)
        elif self._token and given and scope["type"] == "http" and scope["method"] == "GET":
            target = scope["path"] + (f"?{urlencode(query, doseq=True)}" if query else "")
            answer = RedirectResponse(f"/{target.lstrip('/')}", 303)
            answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope, headers: Headers, given: str) -> str:
        """Returns why a request is refused; empty if it is not."""
        host = headers.get("host", "")
        origin = headers.get("origin")
        if origin and urlsplit(origin).netloc != host and scope.get("method") not in _READING:
            return "this request comes from another web site"
        if not self._token:
            return "" if _is_this_machine(host) else "open this page by the address that the command printed"
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        candidates = (given, bearer, _read_cookie(headers.get("cookie", ""), self._cookie))
        if any(compare_digest(one.encode(), self._token.encode()) for one in candidates):
            return ""
        return "this page needs its token: open the address that the command printed"


def _is_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _read_cookie(text: str, name: str) -> str:
    try:
        cookie = SimpleCookie(text).get(name)
    except CookieError:
        return ""
    return cookie.value if cookie else ""


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
