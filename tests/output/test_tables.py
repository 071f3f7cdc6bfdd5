"""Tables of tracks, COCO JSON, and opening and closing of result files."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

import tracker.output
from full_disks import make_full_device, small_disk
from tracker.errors import InputError
from tracker.output import open_writer
from tracker.structures.fit import Fit
from tracker.structures.types import Frame
from video_results import CONFIG, limit_file_size, make_frame, make_info, make_tracks

pytestmark = pytest.mark.filterwarnings("error")


def write_csv(path):
    with open_writer(path, make_info(), ["person", 'car, "old"'], CONFIG) as writer:
        writer.write(
            make_frame(0),
            make_tracks([3, 7], [[-5.5, 1.234, 20, 30], [10, 10, 30, 47.999]], [0.98766, 0.5], [0, 1], [True, False]),
        )
        writer.write(make_frame(1), make_tracks())
        writer.write(make_frame(2, time=1 / 3), make_tracks([3, 4], [[70, 0, 90, 20], [-0.0, 0, 64, 48]]))
    return path


@pytest.mark.smoke
def test_csv_has_a_row_for_each_track_in_each_frame(tmp_path):
    assert write_csv(tmp_path / "a.csv").read_text() == (
        "frame,time_s,track_id,class,score,x1,y1,x2,y2,observed\n"
        "0,0.000000,3,person,0.9877,0.00,1.23,20.00,30.00,1\n"
        '0,0.000000,7,"car, ""old""",0.5000,10.00,10.00,30.00,48.00,0\n'
        "2,0.333333,4,person,0.9000,0.00,0.00,64.00,48.00,1\n"
    )


def test_csv_opens_in_pandas_and_is_deterministic(tmp_path):
    pandas = pytest.importorskip("pandas")
    path = write_csv(tmp_path / "a.csv")
    table = pandas.read_csv(path)
    assert list(table["class"]) == ["person", 'car, "old"', "person"]
    assert table["track_id"].dtype == np.int64
    assert path.read_bytes() == write_csv(tmp_path / "b.csv").read_bytes()


def test_csv_rows_are_written_after_each_frame(tmp_path):
    with open_writer(tmp_path / "a.csv", make_info(), ["person"], CONFIG) as writer:
        writer.write(make_frame(0), make_tracks([1], [[1, 1, 9, 9]]))
        assert writer.path.read_text().count("\n") == 2


@pytest.mark.smoke
def test_full_disk_keeps_complete_rows(tmp_path):
    path = tmp_path / "a.csv"
    writer = open_writer(path, make_info(), ["person"], CONFIG)
    with limit_file_size(1000), pytest.raises(InputError, match="what was written so far is kept") as caught:
        for index in range(100):
            writer.write(make_frame(index), make_tracks([1, 2], [[1, 1, 9, 9], [2, 2, 8, 8]]))
    writer.close()
    assert str(path) in str(caught.value)
    text = path.read_text()
    assert text.endswith("\n") and len(text) < 1000
    rows = text.splitlines()[1:]
    assert len(rows) % 2 == 0 and len(rows) > 10 and all(row.count(",") == 9 for row in rows)


def test_disk_that_is_full_from_the_start(tmp_path):
    device = make_full_device(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"No space left on device; .* free some space"):
        open_writer(device, make_info(), ["person"], CONFIG)
    assert device.is_char_device()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".csv", ".txt", ".json"])
def test_a_disk_that_becomes_full(tmp_path, suffix):
    with small_disk(tmp_path / "disk", 24) as disk:
        with (
            pytest.raises(InputError, match=r"No space left on device; .* free some space"),
            open_writer(disk / f"a{suffix}", make_info(), ["person"], CONFIG) as writer,
        ):
            for index in range(2000):
                noise = np.random.default_rng(index).integers(0, 255, (48, 64, 3), np.uint8)
                writer.write(Frame(index, index / 25, index, noise), make_tracks([1], [[1, 1, 9, 9]]))
        assert [path.name for path in disk.iterdir()] == ([f"a{suffix}"] if suffix != ".json" else [])


@pytest.mark.parametrize("suffix", [".mp4", ".csv", ".txt", ".json"])
def test_links_are_replaced_and_not_followed(tmp_path, suffix):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / f"soft{suffix}").symlink_to("mine")
    os.link(tmp_path / "mine", tmp_path / f"hard{suffix}")
    for name in (f"soft{suffix}", f"hard{suffix}"):
        with open_writer(tmp_path / name, make_info(), ["person"], CONFIG) as writer:
            writer.write(make_frame(0), make_tracks([1], [[1, 1, 9, 9]]))
        assert not (tmp_path / name).is_symlink() and (tmp_path / name).stat().st_size > 10
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("suffix", [".mp4", ".csv", ".txt"])
def test_a_file_that_came_into_being_is_not_replaced(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_text("mine")
    with pytest.raises(InputError, match=rf"a\{suffix} exists: give --overwrite"):
        open_writer(path, make_info(), ["person"], CONFIG, overwrite=False)
    assert path.read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_a_json_that_came_into_being_during_the_run_is_not_replaced(tmp_path, caplog):
    with open_writer(tmp_path / "a.json", make_info(), ["person"], CONFIG, overwrite=False) as writer:
        writer.write(make_frame(0), make_tracks())
        (tmp_path / "a.json").write_text("mine")
    assert writer.path == tmp_path / "a-2.json" and len(json.loads(writer.path.read_text())["images"]) == 1
    assert (tmp_path / "a.json").read_text() == "mine" and "the tracks are in" in caplog.text


@pytest.mark.parametrize("suffix", [".mp4", ".csv", ".txt", ".json"])
def test_a_folder_that_is_removed_during_the_run(tmp_path, suffix):
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(InputError, match=rf"a\{suffix}: it or its folder was removed, renamed or replaced"),
        open_writer(tmp_path / "folder" / f"a{suffix}", make_info(), ["person"], CONFIG) as writer,
    ):
        for index in range(4):
            writer.write(make_frame(index), make_tracks([1], [[1, 1, 9, 9]]))
            if index == 1:
                shutil.rmtree(tmp_path / "folder")


@pytest.mark.parametrize("suffix", [".mp4", ".csv", ".txt"])
def test_of_two_runs_that_replace_a_file_the_first_one_says_that_it_lost(tmp_path, suffix):
    with (
        pytest.raises(InputError, match=rf"a\{suffix}: it or its folder was removed, renamed or replaced"),
        open_writer(tmp_path / f"a{suffix}", make_info(), ["person"], CONFIG) as first,
    ):
        first.write(make_frame(0), make_tracks([1], [[1, 1, 9, 9]]))
        with open_writer(tmp_path / f"a{suffix}", make_info(), ["person"], CONFIG) as second:
            second.write(make_frame(0), make_tracks([2], [[1, 1, 9, 9]]))
        content = second.path.read_bytes()
        first.write(make_frame(1), make_tracks([1], [[1, 1, 9, 9]]))
    assert second.path.read_bytes() == content and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("suffix", [".mp4", ".csv", ".json"])
def test_closing_does_not_hide_the_first_error(tmp_path, suffix):
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(ZeroDivisionError),
        open_writer(tmp_path / "folder" / f"a{suffix}", make_info(), ["person"], CONFIG) as writer,
    ):
        writer.write(make_frame(0), make_tracks([1], [[1, 1, 9, 9]]))
        shutil.rmtree(tmp_path / "folder")
        _ = 1 / 0


def test_boxes_of_a_picture_of_another_size_are_in_its_own_pixels(tmp_path):
    fit = Fit.into((64, 48), 640, 360)
    frame = dataclasses.replace(make_frame(0), fit=fit)
    for suffix in (".csv", ".json", ".txt"):
        with open_writer(tmp_path / f"a{suffix}", make_info(), ["person"], CONFIG) as writer:
            writer.write(frame, make_tracks([1], [[16, 6, 32, 24]]))
    assert ",160.00,0.00,320.00,180.00,1" in (tmp_path / "a.csv").read_text()
    assert (tmp_path / "a.txt").read_text().startswith("1,1,161.00,1.00,160.00,180.00,")
    data = json.loads((tmp_path / "a.json").read_text())
    assert (data["images"][0]["width"], data["images"][0]["height"]) == (640, 360)
    assert data["annotations"][0]["bbox"] == [160, 0, 160, 180]


@pytest.mark.smoke
def test_mot_counts_frames_and_pixels_from_one_and_gives_width_and_height(tmp_path):
    with open_writer(tmp_path / "a.txt", make_info(), ["person"], CONFIG) as writer:
        writer.write(make_frame(0), make_tracks([5], [[10, 12, 30, 42]], [0.75]))
        writer.write(make_frame(4), make_tracks([5, 6], [[-10, 12, 30, 42], [64, 0, 80, 9]], [0.75, 0.5]))
    rows = np.loadtxt(tmp_path / "a.txt", delimiter=",")
    np.testing.assert_allclose(
        rows, [[1, 5, 11, 13, 20, 30, 0.75, -1, -1, -1], [5, 5, 1, 13, 30, 30, 0.75, -1, -1, -1]]
    )


def test_coco_loads_in_pycocotools(tmp_path, capsys):
    coco = pytest.importorskip("pycocotools.coco")
    with open_writer(tmp_path / "a.json", make_info(), ["person", "car"], CONFIG) as writer:
        writer.write(make_frame(0), make_tracks([5, 6], [[10, 12, 30, 42], [64, 0, 80, 9]], [0.75, 0.5], [1, 0]))
        writer.write(make_frame(1), make_tracks())
        writer.write(make_frame(2), make_tracks([5], [[11, 12, 31, 42]], [0.5], [1], [False]))
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    data = coco.COCO(str(tmp_path / "a.json"))
    assert [data.imgs[i]["frame_index"] for i in sorted(data.imgs)] == [0, 1, 2]
    assert data.imgs[3]["time_s"] == pytest.approx(0.08)
    assert data.cats[2]["name"] == "car"
    first, second = data.loadAnns([1, 2])
    assert first["bbox"] == [10, 12, 20, 30] and first["area"] == 600 and first["category_id"] == 2
    assert (first["track_id"], second["track_id"], second["image_id"], second["observed"]) == (5, 5, 3, False)


@pytest.mark.smoke
def test_coco_without_any_frame_is_valid(tmp_path):
    open_writer(tmp_path / "a.json", make_info(), ["person"], CONFIG).close()
    assert json.loads((tmp_path / "a.json").read_text())["images"] == []


def test_coco_leaves_no_files_on_a_full_disk(tmp_path):
    writer = open_writer(tmp_path / "a.json", make_info(), ["person"], CONFIG)
    with limit_file_size(20_000), pytest.raises(InputError, match=r"a\.json"), writer:
        for index in range(1000):
            writer.write(make_frame(index), make_tracks([1], [[1, 1, 9, 9]]))
    assert list(tmp_path.iterdir()) == []


# --- opening


def test_unknown_suffix_error_lists_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"\.mp4.*\.csv.*\.json"):
        open_writer(tmp_path / "a.avi", make_info(), ["person"], CONFIG)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".csv", ".txt", ".json"])
def test_unwritable_folder_is_an_error_when_opening(tmp_path, suffix):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(InputError, match="cannot write to"):
            open_writer(folder / f"a{suffix}", make_info(), ["person"], CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("suffix", [".MP4", ".mkv", ".csv", ".txt", ".json", ".parquet", "_summary.parquet"])
def test_closing_twice(tmp_path, suffix):
    writer = open_writer(tmp_path / f"a{suffix}", make_info(), ["person"], CONFIG)
    for index in range(3):
        writer.write(make_frame(index), make_tracks([1], [[1, 1, 9, 9]]))
    writer.close()
    content = writer.path.read_bytes()
    writer.close()
    assert writer.path.read_bytes() == content


def test_public_names():
    assert sorted(tracker.output.__all__) == [
        "AnnotatedVideoWriter",
        "Annotator",
        "AudioSource",
        "CombinedTable",
        "DetectionStore",
        "DetectionWriter",
        "OutputFile",
        "ResultWriter",
        "VideoInfo",
        "combined_table_path",
        "make_results_folder",
        "numbered_names",
        "open_writer",
        "remove_empty_folder",
        "resolve_outputs",
    ]
