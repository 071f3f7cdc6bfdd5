"""Frames that a program gives: pictures, or pairs of seconds and a picture."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stub_networks import SIZE, moving_clip, moving_rectangles
from tracker import Config, InputError, SourceConfig, open_source, track, track_to_files
from tracker.video import GivenFrames

PICTURES = [moving_rectangles(number, *SIZE) for number in range(12)]


def results(given: Any, **settings: Any) -> list[Any]:
    frames = track(given, settings or None)
    return [(frame.index, frame.time, tracks.ids.tolist(), tracks.boxes.tolist()) for frame, tracks in frames]


@pytest.mark.usefixtures("stubbed")
def test_a_list_a_generator_and_pairs_give_the_same_tracks(tmp_path: Path) -> None:
    paired = results((number / 10, picture) for number, picture in enumerate(PICTURES))
    assert paired[-1][2] == [1, 2] and paired[-1][:2] == (11, 1.1)
    assert results(PICTURES, source={"fps": 10}) == paired
    assert results(np.stack(PICTURES), source={"fps": 10}) == paired
    with open_source(moving_clip(tmp_path / "clip.mp4", 12), SourceConfig()) as source:
        assert [row[:3] for row in results(source)] == [row[:3] for row in paired]


@pytest.mark.usefixtures("stubbed")
def test_one_buffer_may_serve_for_all_frames() -> None:
    def reused() -> Iterator[np.ndarray]:
        buffer = np.zeros_like(PICTURES[0])
        for picture in PICTURES:
            buffer[:] = picture
            yield buffer

    assert results(reused()) == results(PICTURES)


@pytest.mark.usefixtures("stubbed")
def test_times_are_kept_as_they_are() -> None:
    times = [1.7e9 + number / 3 for number in range(12)]
    rows = results(list(zip(times, PICTURES, strict=True)), source={"every": 2, "start": times[2]})
    assert [row[:2] for row in rows] == [(number, times[number]) for number in range(2, 12, 2)]


@pytest.mark.usefixtures("stubbed")
def test_offline_tracking_and_files_of_a_list(tmp_path: Path) -> None:
    rows = results(PICTURES, tracker={"offline": True}, source={"fps": 10})
    assert [row[0] for row in rows] == list(range(12)) and rows[0][2] == [1, 2]
    with pytest.raises(InputError, match="an iterator cannot: give a list"):
        results(iter(PICTURES), tracker={"offline": True})
    files = [str(tmp_path / "tracks.csv"), str(tmp_path / "video.mp4")]
    result = track_to_files(iter(PICTURES), Config.model_validate({"output": {"output": files}}))
    assert result.frames == 12 and (tmp_path / "tracks.csv").read_text().count("\n") > 12


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "there are no frames"),
        (None, "must be a file, a folder, an address, a camera's number or frames, not NoneType"),
        (PICTURES[0], r"the source is one array of shape \(120, 160, 3\): give its frames as a list"),
        ([(0, PICTURES[0], 1)], "frame 0 is a tuple of 3"),
        ([PICTURES[0], (1, PICTURES[1])], "frame 1 has a time: give all times or none"),
        ([(0, PICTURES[0]), (0, PICTURES[1])], "the time of frame 1 is 0 s, and that of the frame before it 0 s"),
        ([(True, PICTURES[0])], "must be a number of seconds, not bool"),
        (["a.png"], "frame 0 must be numbers, not str"),
        ([PICTURES[0], PICTURES[1].astype(float)], "frame 1 holds float64 from 30 to 240"),
    ],
)
def test_wrong_frames(frames: Any, message: str) -> None:
    with pytest.raises(InputError, match=message), open_source(frames, SourceConfig()) as source:
        list(source)


def test_an_error_of_the_program_comes_through() -> None:
    def broken() -> Iterator[np.ndarray]:
        yield PICTURES[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(GivenFrames(broken(), SourceConfig()))


def test_a_frame_of_another_size_is_fitted(caplog: pytest.LogCaptureFixture) -> None:
    frames = list(GivenFrames([PICTURES[0], PICTURES[1][:60]], SourceConfig()))
    assert frames[1].image.shape == frames[0].image.shape and frames[1].fit is not None
    assert "the size changes" in caplog.text
