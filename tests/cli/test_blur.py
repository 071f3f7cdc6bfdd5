"""`track blur`: what is hidden, in which frames, with the source's times and sound."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from run_folders import make_run, make_tracks
from tracker.config import BlurConfig
from tracker.output.blurring import Blurrer, TrackCover
from tracker.structures.types import Frame
from video_clips import noise, write_clip

PTS = [0, 4, 7, 15, 16, 20, 27, 33, 38, 41, 50, 56]  # of a variable rate, in units of 0.02 s


@pytest.fixture(name="run")
def make_noisy_run(tmp_path: Path) -> Path:
    """Returns a run over noise in which track 1 is on the left, not seen in frames 4 to 6, and track 2 on the right."""
    from fractions import Fraction

    clip = write_clip(
        tmp_path / "clip.mp4",
        12,
        10,
        pts=PTS,
        time_base=Fraction(1, 50),
        size=(160, 96),
        draw=noise,
        audio=1.0,
        options={"crf": "12"},
    )
    rows = {1: [(n, 30.0, 70.0) for n in (1, 2, 3, 7, 8, 9)], 2: [(n, 120.0, 70.0) for n in range(12)]}
    folder = tmp_path / "tracked" / "clip"
    return make_run(rows, folder, size=(160, 96), box=(24, 40), source={"path": str(clip)})


def detail(image: np.ndarray) -> float:
    return float(np.abs(np.diff(image.astype(float), axis=1)).mean())


def read(path: Path) -> tuple[list[np.ndarray], list[float], int]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return (
            [frame.to_ndarray(format="rgb24") for frame in frames],
            [f.time for f in frames],
            len(container.streams.audio),
        )


def test_each_frame_of_a_track_is_blurred_also_in_its_gap(
    track: Callable[..., tuple[int, str, str]], run: Path
) -> None:
    code, out, _ = track("blur", run, "--keep", 2, "--extend", 0)
    assert code == 0 and "blurred 1 tracks in 12 frames (9 boxes, 3 of them" in out
    images, times, sound = read(run / "blurred.mp4")
    assert times == pytest.approx([pts / 50 for pts in PTS]) and sound == 1
    left = [detail(image[30:70, 18:42]) for image in images]
    right = [detail(image[30:70, 108:132]) for image in images]
    assert max(left[1:10]) < 0.25 * min(right) and min(left[0], left[10], left[11]) > 0.7 * min(right)


def test_the_sound_can_be_dropped_and_classes_chosen(track: Callable[..., tuple[int, str, str]], run: Path) -> None:
    assert track("blur", run, "--no-sound", "--classes", "person", "--output", "b.mkv")[0] == 0
    assert read(Path("b.mkv"))[2] == 0
    assert track("blur", run, "--output", "b.mkv")[0] == 2  # it exists


def test_a_video_that_lacks_frames_of_tracks_leaves_nothing(
    track: Callable[..., tuple[int, str, str]], run: Path, tmp_path: Path
) -> None:
    short = write_clip(tmp_path / "short.mp4", 5, 10, size=(160, 96), draw=noise)
    code, _, err = track("blur", run, "--video", short)
    assert code == 2 and "has no frame 5, in which there are tracks" in err and not (run / "blurred.mp4").exists()
    assert "no track 9" in track("blur", run, "--keep", 9)[2]
    (run / "run.json").write_text((run / "run.json").read_text().replace("finished", "stopped"))
    assert "did not come to its end" in track("blur", run)[2]


def test_a_box_in_a_gap_is_between_its_neighbors_and_larger() -> None:
    cover = TrackCover(make_tracks({1: [(0, 20, 50), (10, 40, 50)]}, box=(10, 20)), BlurConfig(margin=0, extend=0.3))
    blank = np.zeros((100, 100, 3), np.uint8)
    boxes = [cover.at(Frame(n, n / 10, n, blank)) for n in range(14)]
    x1, _, x2, _ = boxes[5].boxes[0].tolist()
    # After 0.5 s it is larger by a quarter of its height on each side.
    assert (x1 + x2) / 2 == pytest.approx(30) and x2 - x1 == pytest.approx(20)
    assert not boxes[5].observed[0] and boxes[10].observed[0] and len(boxes[13]) == 1
    assert Blurrer(BlurConfig()).annotate(Frame(0, 0.0, 0, blank), boxes[0]).shape == blank.shape


def test_a_person_is_hidden_by_a_box_that_lacks_an_outstretched_side() -> None:
    tracks = make_tracks({1: [(0, 50.0, 80.0)]}, box=(12, 40))
    box = TrackCover(tracks, BlurConfig()).at(Frame(0, 0.0, 0, np.zeros((100, 100, 3), np.uint8))).boxes[0]
    person = np.array([36.0, 40.0, 56.0, 80.0])  # 20 pixels wide, of which the track has 12
    assert (box[:2] <= person[:2]).all() and (box[2:] >= person[2:]).all()
