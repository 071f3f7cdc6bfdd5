"""Regions of interest and ignore masks: `--roi` of runs over videos and over stored detections."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from stub_networks import moving_clip
from tracker import Config, InputError
from tracker.config.zones import regions_text
from tracker.pipeline.frame_analysis import FrameAnalysis
from tracker.pipeline.regions import Regions
from tracker.structures.fit import Fit
from tracker.structures.types import Detections, Frame

Track = Callable[..., tuple[int, str, str]]
RUN = Path("tracked/video")
UPPER = "zones:\n  upper: [[0, 0], [1, 0], [1, 0.6], [0, 0.6]]\n"
LOWER = "ignore:\n  upper: [[0, 0], [1, 0], [1, 0.6], [0, 0.6]]\n"
LEFT = {"zones": {"left": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}, "ignore": {"corner": [[0, 0], [0.2, 0], [0, 0.2]]}}


def regions(roi: object = LEFT, anchor: str = "bottom") -> Regions:
    return Regions(Config.model_validate({"detector": {"roi": roi, "roi_anchor": anchor}}).detector)


def frame(fit: Fit | None = None) -> Frame:
    return Frame(0, 0.0, 0, np.zeros((100, 200, 3), np.uint8), fit)


BOXES = np.array(
    [
        [80, 20, 118, 60],  # 99 of 200 pixels
        [80, 20, 124, 60],  # 102
        [0, 0, 10, 4],  # in the corner
        [0, 0, 10, 80],  # its center is not in the corner, nor are its feet
        [20, 80, 60, 140],  # its feet are below the image
        [-60, 20, 20, 60],  # of what is inside the image the middle counts
    ],
    np.float32,
)


def test_boxes_by_hand() -> None:
    assert regions().contain(BOXES, frame()).tolist() == [True, False, False, True, True, True]
    tall = np.array([[0, 0, 10, 22]], np.float32)  # feet below the corner, center in it
    assert regions().contain(tall, frame()).tolist() == [True]
    assert regions(anchor="center").contain(tall, frame()).tolist() == [False]
    only_ignore = regions({"ignore": LEFT["ignore"]})
    assert only_ignore.contain(BOXES, frame())[:3].tolist() == [True, True, False]
    assert regions().contain(BOXES[:0], frame()).shape == (0,)


def test_zones_are_those_of_the_picture_itself() -> None:
    """A square picture lies in the middle of the image, from column 50 to 150: its left half ends at 100."""
    fit = Fit.into((200, 100), 50, 50)
    boxes = np.array([[90, 40, 106, 60], [96, 40, 112, 60]], np.float32)
    assert regions().contain(boxes, frame(fit)).tolist() == [True, False]


def test_boxes_that_are_scored_again_count_inside_alone() -> None:
    found = Detections(BOXES[:2], np.array([0.9, 0.8], np.float32), np.zeros(2, np.int64))
    analysis = FrameAnalysis(frame(), found, np.eye(2, dtype=np.float32), np.zeros((2, 0)), lambda *_: found)
    selected = regions().select(analysis)
    assert selected.detections.boxes.tolist() == [BOXES[0].tolist()] and selected.embeddings.tolist() == [[1, 0]]
    assert selected.rescore(BOXES[:2], np.zeros(2, np.int64)).scores.tolist() == pytest.approx([0.9, 0])


def classes(folder: Path) -> set[str]:
    return set(pq.read_table(folder / "tracks.parquet")["class"].to_pylist())


@pytest.mark.parametrize("flags", [(), ("--offline",)])
def test_a_run_tracks_inside_and_stores_all(stubbed: None, track: Track, flags: tuple[str, ...]) -> None:
    """The person stands in the upper part of the image, and the car in the lower one."""
    moving_clip(Path("video.mp4"), 12)
    Path("zones.yaml").write_text(UPPER)
    code, output, _ = track("video.mp4", "--roi", "zones.yaml", *flags)
    assert code == 0 and "12 detections were not tracked: outside of the regions of interest\n" in output
    assert classes(RUN) == {"person"}
    assert json.loads((RUN / "run.json").read_text())["outside_roi"] == 12
    Path("zones.yaml").unlink()  # the run has its own copy
    assert track("retrack", RUN, "--quiet")[0] == 0
    assert Path("tracked/video-2/tracks.csv").read_bytes() == (RUN / "tracks.csv").read_bytes()
    assert track("retrack", RUN, "--roi", "", "--quiet")[0] == 0
    assert classes(Path("tracked/video-3")) == {"person", "car"}
    Path("lower.yaml").write_text(LOWER)
    assert track("retrack", RUN, "--roi", "lower.yaml", "--quiet")[0] == 0
    assert classes(Path("tracked/video-4")) == {"car"}


def test_the_table_of_detections_has_all(stubbed: None, track: Track) -> None:
    moving_clip(Path("video.mp4"), 6)
    Path("zones.yaml").write_text(UPPER)
    arguments = ["--roi", "zones.yaml", "--output", "tracks.csv", "--detections", "detections.csv"]
    assert track("video.mp4", *arguments)[0] == 0
    assert ",car," in Path("detections.csv").read_text() and ",car," not in Path("tracks.csv").read_text()
    arguments = ["--roi", "zones.yaml", "--output", "again.csv", "--video", "video.mp4"]
    code, output, _ = track("retrack", "detections.csv", *arguments)
    assert code == 0 and "6 detections were not tracked" in output
    assert Path("again.csv").read_bytes() == Path("tracks.csv").read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "zones.yaml has neither zones: nor ignore: - add polygons to one of them"),
        ("lines: {gate: [[0, 0], [1, 1]]}", "has neither zones: nor ignore:"),
        ("zones: {a: [[0, 0], [1, 1]]}", "the zone a needs three corners or more"),
        ("ignore: {a: [[0, 0], [2, 1], [0, 1]]}", "less than or equal to 1"),
        ("ignored: {}", "unknown key 'ignored' (did you mean 'ignore'?)"),
    ],
)
def test_bad_zones_get_one_sentence(track: Track, content: str, message: str) -> None:
    Path("zones.yaml").write_text(content)
    code, output, error = track("video.mp4", "--roi", "zones.yaml")
    assert (code, output) == (2, "") and message in error and error.count("\n") == 1


def test_zones_need_the_size_of_the_images(track: Track) -> None:
    Path("zones.yaml").write_text(UPPER)
    Path("det.txt").write_text("1,-1,10,20,20,50,0.98,-1,-1,-1\n2,-1,10,20,20,50,0.98,-1,-1,-1\n")
    code, _, error = track("retrack", "det.txt", "--roi", "zones.yaml")
    assert code == 2 and "--roi needs the size of the images: give --video, or a seqinfo.ini" in error


def test_python_takes_a_mapping() -> None:
    config = Config.model_validate({"detector": {"roi": LEFT}})
    assert Config.model_validate(config.model_dump()) == config
    assert json.loads(config.detector.roi)["ignore"] == {"corner": [[0, 0], [0.2, 0], [0, 0.2]]}
    with pytest.raises(ValueError, match=r"there is no file gone\.yaml"):
        Config.model_validate({"detector": {"roi": "gone.yaml"}})
    with pytest.raises(InputError, match="regions of interest are a YAML file, or JSON"):
        regions_text("{bad")
