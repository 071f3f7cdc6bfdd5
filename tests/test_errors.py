"""Passwords in messages."""

import pytest

from tracker.errors import InputError, mask_passwords, mask_url, split_url_password


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("rtsp://me:secret@host/live", "rtsp://me:***@host/live"),
        ("rtsp://me:se@cr@et@host:554/live", "rtsp://me:***@host:554/live"),
        ("rtsp://me:se/cr/et@host:554/live", "rtsp://me:***@host:554/live"),
        ("rtsp://me:se:cr:et@host", "rtsp://me:***@host"),
        ("rtsp://me:12/34@host/live", "rtsp://me:***@host/live"),
        ("rtsp://me:se?cr#et@host/live", "rtsp://me:***@host/live"),
        ("rtsp://me:se[cr]e%74@[::1]:554/live", "rtsp://me:***@[::1]:554/live"),
        ("rtsp://me@home:secret@host/live", "rtsp://me@home:***@host/live"),
        ("rtsp://:secret@host/live", "rtsp://:***@host/live"),
        ("http://host/a.mp4?user=me&password=se/cr@et", "http://host/a.mp4?user=me&password=***"),
        ("http://host/a.mp4?pwd=secret&x=1", "http://host/a.mp4?pwd=***&x=1"),
        (
            "http://host/a.mp4?access_token=secret&X-Amz-Signature=secret",
            "http://host/a.mp4?access_token=***&X-Amz-Signature=***",
        ),
        ("rtsp://host:554/user=me_password=secret_channel=1.sdp", "rtsp://host:554/user=me_password=***"),
        ("rtsp://host/user=me&password=&channel=1", "rtsp://host/user=me&password=***&channel=1"),
        ("srt://host:9000?passphrase=secret&mode=caller", "srt://host:9000?passphrase=***&mode=caller"),
    ],
)
def test_passwords_are_masked(url: str, masked: str) -> None:
    assert mask_url(url) == masked == mask_url(masked)
    sentence = str(InputError(f"cannot open {url}: no answer"))
    assert sentence == f"cannot open {masked}: no answer" or sentence == f"cannot open {masked} no answer"
    assert "secret" not in sentence
    assert str(InputError(f"cannot open {masked}: no answer")) == f"cannot open {masked}: no answer"


@pytest.mark.parametrize(
    "text",
    [
        "http://host:8080/@me/clip.mp4",
        "http://host/a:b@c.mp4",
        "rtsp://me@host:554/live@2",
        "rtsp://[::1]:554/live",
        "password=1.mp4",
        "C:\\videos\\a@b.mp4",
        "a://b",
    ],
)
def test_what_is_no_password_stays(text: str) -> None:
    assert mask_passwords(f"{text} is it") == f"{text} is it"
    assert split_url_password(text)[1] == ""
