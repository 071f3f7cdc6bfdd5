"""Passwords of addresses: from the environment, and with any characters."""

import base64
import logging
from pathlib import Path

import pytest

from live_streams import FilesHandler, serve
from tracker.errors import InputError
from tracker.video.credentials import insert_credentials
from video_clips import frame_numbers, open_uri, write_clip

SECRET = "a/b@c:d?e#f%41 ü&g"


def protected_folder(folder: Path) -> type[FilesHandler]:
    """Returns a server's handler that sends files to who knows the password alone."""

    class Handler(FilesHandler):
        def do_GET(self) -> None:
            expected = base64.b64encode(f"me:{SECRET}".encode()).decode()
            if self.headers.get("Authorization") == f"Basic {expected}":
                super().do_GET()
                return
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()

    Handler.folder = str(folder)
    return Handler


def test_a_password_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_clip(tmp_path / "a.mkv", 5)
    monkeypatch.setenv("CAMERA_USER", "me")
    monkeypatch.setenv("CAMERA_PASSWORD", SECRET)
    caplog.set_level(logging.DEBUG)
    with serve(protected_folder(tmp_path)) as url:
        address = url.replace("//", "//{CAMERA_USER}:{CAMERA_PASSWORD}@") + "/a.mkv"
        with open_uri(address, timeout=5) as source:
            assert frame_numbers(list(source)) == list(range(5))
            assert source.uri == url.replace("//", "//{CAMERA_USER}:***@") + "/a.mkv" and source.name == "127.0.0.1"
        monkeypatch.setenv("CAMERA_PASSWORD", "wrong/one")
        with pytest.raises(InputError, match="cannot open") as caught:
            open_uri(address, timeout=5)
    assert "wrong" not in str(caught.value) + caplog.text and "a/b" not in caplog.text


@pytest.mark.parametrize("password", ["a/b@c:d?e#f%2541 ü&g", "a/b@c:d?e#f%2541%20%C3%BC&g"])
def test_a_password_in_the_address_may_have_any_characters(tmp_path: Path, password: str) -> None:
    write_clip(tmp_path / "a.mkv", 5)
    with (
        serve(protected_folder(tmp_path)) as url,
        open_uri(url.replace("//", f"//me:{password}@") + "/a.mkv", timeout=5) as source,
    ):
        assert len(list(source)) == 5 and source.uri == url.replace("//", "//me:***@") + "/a.mkv"


def test_variables_in_other_parts_of_an_address() -> None:
    variables = {"HOST": "camera.local:554", "TOKEN": "a&b=c/d"}
    assert insert_credentials("rtsp://{HOST}/live?token={TOKEN}", variables) == (
        "rtsp://camera.local:554/live?token=a%26b%3Dc%2Fd"
    )
    assert insert_credentials("rtsp://host/{1}/live", {}) == "rtsp://host/{1}/live"


def test_a_variable_that_is_not_set() -> None:
    with pytest.raises(InputError, match="needs the environment variable CAMERA, which is not set: export it"):
        insert_credentials("rtsp://me:{CAMERA}@host/live", {})
