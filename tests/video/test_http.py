"""Files on web servers, also on those that send a file only from its beginning to its end."""

import base64
import time
from pathlib import Path

import pytest

from live_streams import FilesHandler, QuietHandler, serve, serve_folder, serve_stream
from tracker.errors import InputError
from video_clips import frame_numbers, noise, open_uri, read_frames, write_clip

LARGE = {"draw": noise, "size": (160, 120), "options": {"preset": "ultrafast"}}  # more than FFmpeg keeps
LIVE_WEBM = {"codec": "libvpx", "container_options": {"live": "1"}}
"""A recording of a live stream, whose header states no duration."""


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.webm", LIVE_WEBM),
        ("a.ts", {}),
        ("a.h264", {}),
        ("a.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
        ("a.mkv", {"audio": 3.0}),
    ],
)
def test_file_without_a_duration_is_read_frame_by_frame(
    tmp_path: Path, name: str, settings: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    expected, local = read_frames(write_clip(tmp_path / name, 30, **settings))  # type: ignore[arg-type]
    with serve_folder(tmp_path) as url, open_uri(f"{url}/{name}", timeout=5) as source:
        frames = []
        for frame in source:
            frames.append(frame)
            time.sleep(0.002)  # a live source would drop frames
        assert not source.live and source.media_path is None
    assert [(frame.index, frame.time) for frame in frames] == [(frame.index, frame.time) for frame in expected]
    assert frame_numbers(frames) == list(range(30)) and source.last_duration == local.last_duration
    assert not caplog.text


def test_sound_comes_from_a_second_connection(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mkv", 30, audio=3.0)
    with serve_folder(tmp_path) as url, open_uri(f"{url}/a.mkv", timeout=5) as source:
        assert len(list(source)) == 30 and source.media_opener is not None
        with source.media_opener() as container:
            assert sum(packet.size > 0 for packet in container.demux(audio=0)) > 100


def test_index_at_the_end_of_a_file_on_a_server_without_ranges(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_clip(tmp_path / "a.mp4", 30, audio=3.0, **LARGE)  # type: ignore[arg-type]
    expected, _ = read_frames(path)
    with serve_folder(tmp_path) as url, open_uri(f"{url.replace('//', '//me:pass@')}/a.mp4", timeout=5) as source:
        frames = list(source)
        assert [(frame.index, frame.time) for frame in frames] == [(frame.index, frame.time) for frame in expected]
        assert all((a.image == b.image).all() for a, b in zip(frames, expected, strict=True))
        with source.reopen() as again:
            assert [frame.time for frame in again] == [frame.time for frame in frames]
        assert source.media_opener is not None
        with source.media_opener() as container:
            assert len(container.streams.audio) == 1
    assert not caplog.text


def test_password_is_used_for_a_download_too(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 30, **LARGE)  # type: ignore[arg-type]
    expected = "Basic " + base64.b64encode(b"me:p@ss/1").decode()

    class Protected(FilesHandler):
        folder = str(tmp_path)

        def do_GET(self) -> None:
            if self.headers.get("Authorization") == expected:
                super().do_GET()
            else:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="videos"')
                self.send_header("Content-Length", "0")
                self.end_headers()

    with serve(Protected) as url:
        frames, source = read_frames(f"{url.replace('//', '//me:p@ss/1@')}/a.mp4", timeout=5)
        assert len(frames) == 30 and "p@ss" not in source.uri
        with pytest.raises(InputError, match="401 Unauthorized") as caught:
            open_uri(f"{url.replace('//', '//me:wrong@')}/a.mp4", timeout=5)
        assert "wrong" not in str(caught.value)


def test_stream_without_a_length_is_live(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.webm", 30, **LIVE_WEBM).read_bytes()  # type: ignore[arg-type]
    with serve_stream(data, stalls=False) as url, open_uri(url, timeout=2, reconnect=0) as source:
        assert source.live and source.media_opener is None
        list(source)


def test_server_that_breaks_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = write_clip(tmp_path / "a.mkv", 30, **LARGE).read_bytes()  # type: ignore[arg-type]

    class Broken(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])

    with serve(Broken) as url:
        frames, source = read_frames(f"{url.replace('//', '//me:secret@')}/a.mkv", timeout=2)
    assert 5 < len(frames) < 25 and source.truncated
    assert "is truncated" in caplog.text and "secret" not in caplog.text


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_errors_of_servers(status: int) -> None:
    class Failing(QuietHandler):
        def do_GET(self) -> None:
            self.send_error(status)

    with serve(Failing) as url, pytest.raises(InputError, match=r"cannot open http://\S+/a\.mp4: Server returned"):
        open_uri(f"{url}/a.mp4", timeout=2)


def test_text_instead_of_a_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("<html>not here</html>" * 100)
    with serve_folder(tmp_path) as url, pytest.raises(InputError, match="is not a video that can be read"):
        open_uri(f"{url}/a.mp4", timeout=2)
