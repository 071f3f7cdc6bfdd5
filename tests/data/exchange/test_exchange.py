"""Tracks in the formats of other programs: round trips, what CVAT and DIVE interpolate, and `track import`."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from run_folders import make_run, make_tracks, walk
from tracker.data.exchange import read_tracks
from tracker.data.run_tracks import RunTracks, read_run_tracks
from tracker.errors import InputError
from tracker.output.run_folder import FORMATS, export_tracks
from video_clips import write_clip

TEXT = [name for name, suffix in FORMATS.items() if suffix != ".parquet"]


def example() -> RunTracks:
    """Returns two tracks of two classes; the first one has a gap and a predicted box."""
    gap = [point for point in walk((10, 50), (90, 60), range(3, 20)) if not 8 <= point[0] <= 11]
    rows = {1: gap, 12: walk((80, 90), (20, 40), range(0, 26))}
    return make_tracks(rows, classes={1: "person", 12: "car & <van>"}, predicted=[(1, 5)])


@pytest.mark.parametrize("format", TEXT)
def test_round_trip(tmp_path: Path, format: str) -> None:
    tracks = example()
    path = tmp_path / f"tracks{FORMATS[format]}"
    export_tracks(tracks, path, format)
    columns, categories = read_tracks(path).columns()
    assert np.array_equal(columns["frames"], tracks.frames) and np.array_equal(columns["ids"], tracks.ids)
    assert np.allclose(np.asarray(columns["boxes"], float), tracks.boxes, atol=0.011)
    if format != "mot":  # which has neither
        names = [categories[label] for label in np.asarray(columns["labels"], int)]
        assert names == [tracks.categories[label] for label in tracks.labels]
        assert np.array_equal(columns["observed"], tracks.observed)


def test_a_box_that_was_moved_in_cvat_is_interpolated(tmp_path: Path) -> None:
    box = '<box frame="{}" outside="{}" keyframe="1" xtl="{}" ytl="0" xbr="{}" ybr="10"/>'
    boxes = box.format(0, 0, 0, 10) + box.format(4, 0, 8, 18) + box.format(6, 1, 8, 18)
    (tmp_path / "a.xml").write_text(
        "<annotations><meta><task><size>9</size><stop_frame>8</stop_frame></task></meta>"
        f'<track id="0" label="person">{boxes}</track></annotations>'
    )
    rows = read_tracks(tmp_path / "a.xml").rows
    assert [(row.frame, row.track_id, row.box[0], row.observed) for row in rows] == [
        (0, 1, 0, True),
        (1, 1, 2, False),
        (2, 1, 4, False),
        (3, 1, 6, False),
        (4, 1, 8, True),
        (5, 1, 8, False),
    ]


def test_dive_interpolates_where_it_says_so(tmp_path: Path) -> None:
    features = [{"frame": 0, "bounds": [0, 0, 10, 10], "interpolate": True}, {"frame": 2, "bounds": [4, 0, 14, 10]}]
    track = {"id": 3, "confidencePairs": [["cod", 0.4], ["fish", 0.9]], "features": features, "begin": 0, "end": 2}
    (tmp_path / "a.json").write_text(json.dumps({"version": 2, "tracks": {"3": track}, "groups": {}}))
    rows = read_tracks(tmp_path / "a.json").rows
    assert sorted((row.frame, row.category, row.box[0]) for row in rows) == [
        (0, "fish", 0),
        (1, "fish", 2),
        (2, "fish", 4),
    ]


def test_import_takes_the_times_of_the_video(track: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 4, 10, pts=[0, 1, 5, 6])
    Path("a.txt").write_text("1,7,11,21,20,20,0.9\n3,7,13,21,20,20,0.8\n")
    code, out, _ = track("import", "a.txt", "--video", clip)
    assert code == 0 and "1 tracks with 2 boxes" in out
    tracks = read_run_tracks("tracked/clip")
    assert tracks.times.tolist() == [0, 0.5] and tracks.boxes[0].tolist() == [10, 20, 30, 40]
    assert (tracks.width, tracks.height) == (64, 48) and tracks.record["imported"]["file"] == "a.txt"
    assert track("export", "tracked/clip", "--format", "cvat")[0] == 0
    assert track("import", "clip-cvat.xml", "--fps", "30000/1001", "-o", "again")[0] == 0
    assert read_run_tracks("again").times[1] == pytest.approx(2 * 1001 / 30000)


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.txt", "1,-1,1,1,5,5,1", "holds detections"),
        ("a.txt", "1,7,1,1,5,5,1\n1,7,2,1,5,5,1", "has two boxes in the frame 0"),
        ("a.xml", "<annotations/>", "has no tracks"),
        ("a.json", "{}", "neither COCO"),
        ("a.json", '{"tracks": {"1": {"features": [{"frame": 0, "bounds": [1]}]}}}', "the track 1 is not as DIVE"),
        ("a.csv", "frame,track_id,x1\n0,1,x", "line 2: this is no row"),
        ("a.csv", "filename,region_shape_attributes\na,b", "line 2: this is no box"),
        ("a.doc", "", "ends with"),
    ],
)
def test_wrong_files_get_a_sentence(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_tracks(tmp_path / name)


def test_movement_and_pandas_read_via_tracks(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    export_tracks(example(), tmp_path / "via.csv", "via")
    table = pandas.read_csv(tmp_path / "via.csv")
    assert len(table) == len(example()) and json.loads(table.region_attributes[0])["track"] == 12
    pytest.importorskip("movement", reason="the package movement is not installed")
    dataset = importlib.import_module("movement.io.load_bboxes").from_via_tracks_file(tmp_path / "via.csv", fps=10)
    assert dataset.sizes["individuals"] == 2 and dataset.sizes["time"] == 26
    for one in example().by_track():
        read = dataset.sel(individuals=f"id_{one.ids[0]}", time=one.times, method=None)
        centers, sizes = (one.boxes[:, :2] + one.boxes[:, 2:]) / 2, one.boxes[:, 2:] - one.boxes[:, :2]
        assert np.allclose(read.position.transpose("time", "space"), centers, atol=0.011)
        assert np.allclose(read["shape"].transpose("time", "space"), sizes, atol=0.011)
        assert np.allclose(read.confidence, one.scores, atol=1e-4)
        known = dataset.confidence.sel(individuals=f"id_{one.ids[0]}").notnull()
        assert int(known.sum()) == len(one)  # nothing in its gap


def test_a_run_is_its_tables(tmp_path: Path) -> None:
    folder = make_run({1: walk((10, 50), (90, 60), range(3))}, tmp_path / "run")
    assert len(read_run_tracks(folder)) == 3
