"""The measurement of the page of a long run, on a short one."""

import re
from pathlib import Path

import pytest

from benchmarks.long_view import measure_long_view, write_long_run
from benchmarks.processes import find_chromium
from tracker.data.edits import RunTable
from tracker.errors import InputError


def test_the_run_has_the_length_and_tracks_that_were_asked_for(tmp_path: Path) -> None:
    write_long_run(tmp_path / "run", 1 / 60, 12, 1200, 1.0)
    table = RunTable(tmp_path / "run")
    tracks = table.tracks()
    assert len(tracks) == 12 and sum(track.frames for track in tracks) == 1200
    assert tracks[0].first_frame == 0 and tracks[-1].last_frame == 60 * 25 - 1
    assert table.frame_table.time_of(60 * 25 - 1) == pytest.approx(59.96) and table.frame_table.time_of(60 * 25) is None


@pytest.mark.long
def test_each_figure_is_told(tmp_path: Path) -> None:
    try:
        find_chromium()
    except InputError as error:
        pytest.skip(str(error))
    lines = list(measure_long_view(0.05, 20, 9000, 1.0, 0, tmp_path / "run"))
    told = r"usable .* after \d+\.\d\d s", r"boxes have come: median \d+ ms", r"frame: median \d+ ms", r"\d+ at most"
    for words in told:
        assert any(re.search(words, line) for line in lines), lines
