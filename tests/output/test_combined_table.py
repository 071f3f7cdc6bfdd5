"""One table of the tracks of several sources."""

import csv
from pathlib import Path

import pytest

from full_disks import make_full_device
from tracker.data.detections import read_detections
from tracker.errors import InputError
from tracker.evaluation.mot.files import read_sequences
from tracker.output import CombinedTable
from video_results import make_frame, make_info, make_tracks

SOURCES = ["a/cam.mp4", "b/street.mp4", "c/hall.mp4"]


def write_rows(table: CombinedTable, number: int, frames: int = 3, start: int = 0) -> None:
    with table.open_writer(number, make_info(), ["person"]) as writer:
        for index in range(start, start + frames):
            writer.write(make_frame(index), make_tracks([10 + number], [[1 + number, 1, 20, 30]]))


def read_column(path: Path, name: str) -> list[str]:
    with path.open(newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def test_rows_are_in_the_order_of_the_sources(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    with CombinedTable(path, SOURCES, False) as table:
        write_rows(table, 2)
        write_rows(table, 0, 1)
        assert read_column(path, "source") == SOURCES[:1]  # the rows of the first one are not kept waiting
        table.finish(2)
        write_rows(table, 1)
        write_rows(table, 0, 2, start=1)
        table.finish(0)
        assert read_column(path, "source") == [SOURCES[0]] * 3 + [SOURCES[1]] * 3
        write_rows(table, 1, 1, start=3)
        table.finish(1)
    assert read_column(path, "source") == [SOURCES[0]] * 3 + [SOURCES[1]] * 4 + [SOURCES[2]] * 3
    assert read_column(path, "frame") == ["0", "1", "2", "0", "1", "2", "3", "0", "1", "2"]
    assert [file.name for file in tmp_path.iterdir()] == ["all.csv"]


def test_sources_that_did_not_finish_are_written_too(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    with CombinedTable(path, SOURCES, False) as table:
        write_rows(table, 2)
        write_rows(table, 1)
    assert read_column(path, "source") == [SOURCES[1]] * 3 + [SOURCES[2]] * 3
    assert [file.name for file in tmp_path.iterdir()] == ["all.csv"]


def test_a_table_of_no_source_is_removed(tmp_path: Path) -> None:
    CombinedTable(tmp_path / "all.csv", SOURCES, False).close()
    assert not list(tmp_path.iterdir())


def test_names_of_sources_differ_and_are_no_formulas(tmp_path: Path) -> None:
    with CombinedTable(tmp_path / "all.csv", ["-", "a.mp4", "a.mp4"], True) as table:
        for number in range(3):
            with table.open_writer(number, make_info(has_fine_classes=True), ["person"]) as writer:
                writer.write(make_frame(0), make_tracks([1], [[1, 1, 9, 9]]))
            table.finish(number)
    assert read_column(tmp_path / "all.csv", "source") == ["'-", "a.mp4", "a.mp4-2"]
    assert read_column(tmp_path / "all.csv", "fine_class") == ["", "", ""]


def test_it_is_not_replaced_unless_it_may_be(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("mine")
    with pytest.raises(InputError, match="exists: give --overwrite"):
        CombinedTable(tmp_path / "all.csv", SOURCES, False, overwrite=False)
    assert (tmp_path / "all.csv").read_text() == "mine"


def test_a_full_disk_leaves_no_hidden_files(tmp_path: Path) -> None:
    device = make_full_device(tmp_path / "all.csv")
    with pytest.raises(InputError, match="No space left on device"):
        CombinedTable(device, SOURCES, False)
    assert [path.name for path in tmp_path.iterdir()] == ["all.csv"]


def test_one_source_of_it_is_read_as_detections(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    with CombinedTable(path, SOURCES, False) as table:
        for number in range(3):
            write_rows(table, number, 3 + number)
            table.finish(number)
    stored = read_detections(path, source="b/street.mp4")
    assert (stored.name, len(stored.frames)) == ("street", 4)
    assert stored.at(0).boxes.tolist() == [[2, 1, 20, 30]]
    with pytest.raises(InputError, match=r"holds 3 sources: give --source with one of a/cam.mp4, b/street.mp4"):
        read_detections(path)
    with pytest.raises(InputError, match=r"no source 'b/stret.mp4' \(did you mean 'b/street.mp4'\?\)"):
        read_detections(path, source="b/stret.mp4")


def test_it_is_evaluated_like_a_folder_of_tables(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    with CombinedTable(path, ["MOT/street/video.mp4", "b/cam.mp4"], False) as table:
        for number in range(2):
            write_rows(table, number)
            table.finish(number)
    gt = tmp_path / "gt"
    for name in ("street", "cam"):
        (gt / name / "gt").mkdir(parents=True)
        (gt / name / "gt" / "gt.txt").write_text("1,1,2,2,19,29,1,1,1\n")
    pairs = read_sequences(path, gt)
    assert list(pairs) == ["cam", "street"]
    assert pairs["cam"][0][:, :3].tolist() == [[1, 11, 2], [2, 11, 2], [3, 11, 2]]
    assert pairs["street"][0][:, :3].tolist() == [[1, 10, 1], [2, 10, 1], [3, 10, 1]]
    (gt / "cam" / "gt" / "gt.txt").unlink()
    with pytest.raises(InputError, match="no ground truth of cam"):
        read_sequences(path, gt)
