"""The soak over a live source: what it says of counts, events and memory."""

import re
import shutil
from collections import Counter

import pytest

from benchmarks.live_service import _counts, _growth, glass_to_page, soak
from rtsp_server import missing_packages


def test_counts_that_do_not_add_up_are_told() -> None:
    events = [{"event": kind} for kind in ("running", "stalled", "running", "reconnecting", "reconnected")]
    live = {"captured": 90, "processed": 80, "dropped": {"late": 10, "corrupt": 0}, "reconnects": 1, "events": events}
    lines = list(_counts(live, 100, Counter({"kill": 1, "freeze": 1})))
    assert "captured = 80 processed + {'late': 10} dropped" in lines
    assert any("captured: 10, in 1 broken" in line for line in lines) and "reconnects: 1 of 1" in lines[-1]
    assert any("IS NOT" in line for line in _counts({**live, "captured": 91}, 100, Counter()))


def test_growth_of_memory() -> None:
    text = _growth([(10.0 * number, 500 + number / 36) for number in range(40)])  # 10 MiB an hour
    assert "growth +10.0 MiB an hour" in text and "500 MiB after" in text


@pytest.mark.long
@pytest.mark.skipif(bool(missing_packages()), reason=f"no RTSP server: {missing_packages()}")
def test_a_short_soak() -> None:
    lines = list(soak(1.0, 3, 0, ["--segment", "10s", "--keep", "30s"]))
    assert any(line.startswith("captured = ") for line in lines), lines


@pytest.mark.long
@pytest.mark.skipif(bool(missing_packages()), reason=f"no RTSP server: {missing_packages()}")
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_the_page_shows_what_is_there_within_700_ms() -> None:
    pytest.importorskip("playwright")
    lines = list(glass_to_page(10, 640, 360, 10, viewers=5))
    median = re.search(r"median (\d+) ms", lines[-1])
    assert median and int(median[1]) <= 700, lines
