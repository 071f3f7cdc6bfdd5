"""Videos that people reported trouble with, in ../shared/cases: they are read as the README there calls right."""

import functools
import http.server

import pytest

from live_streams import serve
from paths import CASES
from video_clips import read_frames

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the inputs of shared/cases are not in the repository")

THREE_SECONDS = [number / 10 for number in range(30)]
SIX_SECONDS = [number / 10 for number in range(60)]
TEN_HOURS = [*THREE_SECONDS, *(time + 35998.4 for time in THREE_SECONDS)]


@pytest.mark.parametrize(
    ("name", "times", "told"),
    [
        ("base.mp4", THREE_SECONDS, ""),
        ("base_a.mp4", THREE_SECONDS, ""),
        ("12:30:45.mp4", THREE_SECONDS, ""),
        ("plain.ts", THREE_SECONDS, ""),
        ("raw.h264", THREE_SECONDS, ""),
        ("rec.webm", THREE_SECONDS, ""),
        ("opus.mkv", THREE_SECONDS, ""),
        ("apac_second.mov", THREE_SECONDS, ""),
        ("glitch_1000s.mp4", THREE_SECONDS, "1 frame with a wrong or repeated time"),
        ("joined.ts", SIX_SECONDS, "its clock started again once"),
        ("jump10h.ts", TEN_HOURS, "its times have 1 gap, without a frame for 35995.500 s after 2.900 s"),
    ],
)
def test_times_of_a_case(name: str, times: list[float], told: str, caplog: pytest.LogCaptureFixture) -> None:
    frames, source = read_frames(CASES / "video" / name)
    assert [frame.time for frame in frames] == pytest.approx(times)
    assert [frame.index for frame in frames] == list(range(len(times)))
    assert source.frame_rate == 10 and source.last_duration == pytest.approx(0.1) and not source.truncated
    assert (source.width, source.height) == (480, 270)
    assert caplog.text.count("\n") == bool(told) and told in caplog.text


def test_recording_without_a_duration_over_http(caplog: pytest.LogCaptureFixture) -> None:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(CASES / "video"))
    with serve(handler) as url:  # type: ignore[arg-type]
        frames, source = read_frames(f"{url}/rec.webm", timeout=5)
    assert not source.live and [frame.time for frame in frames] == pytest.approx(THREE_SECONDS)
    assert not caplog.text
