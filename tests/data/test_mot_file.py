"""MOTChallenge files: frames and pixels count from 1 in the file and from 0 in memory, for every reader and writer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import image_sets
from tracker import read_detections
from tracker.data import read_image_set, read_reid_dataset
from tracker.data.mot_file import format_mot_row, is_mot_text, parse_mot_lines, read_mot_file
from tracker.errors import InputError
from tracker.evaluation import read_tracks
from tracker.output import open_writer
from video_results import CONFIG, make_frame, make_info, make_tracks

FILE = Path("gt.txt")
ROW = "3,7,11,21,30,40,0.5,-1,-1,-1"

coordinates = st.integers(-500_000, 500_000).map(lambda n: n / 100)
rows = st.lists(
    st.tuples(
        st.integers(0, 10**7),
        st.integers(-1, 2**31),
        st.tuples(coordinates, coordinates, *[st.integers(1, 500_000).map(lambda n: n / 100)] * 2),
        st.integers(0, 10_000).map(lambda n: n / 10_000),
    ),
    max_size=20,
)


@given(rows)
@pytest.mark.smoke
def test_what_is_written_is_read_back(rows: list[tuple[int, int, tuple[float, ...], float]]) -> None:
    lines = [format_mot_row(*row) for row in rows]
    table = parse_mot_lines(lines, FILE)
    assert table.frames.tolist() == [row[0] for row in rows]
    assert table.ids.tolist() == [row[1] for row in rows]
    np.testing.assert_allclose(table.boxes, np.array([row[2] for row in rows]).reshape(-1, 4), atol=1e-9)
    np.testing.assert_allclose(table.scores, [row[3] for row in rows], atol=1e-12)
    assert (table.extras == -1).all() and not table.has_class.any()
    assert [
        format_mot_row(*values)
        for values in zip(
            table.frames.tolist(), table.ids.tolist(), table.boxes.tolist(), table.scores.tolist(), strict=True
        )
    ] == lines


def values(text: str) -> list[Any]:
    table = parse_mot_lines(text.splitlines(), FILE)
    return [table.frames.tolist(), table.ids.tolist(), table.boxes.tolist(), table.scores.tolist()]


def test_the_top_left_pixel_is_at_1_in_the_file_and_at_0_in_memory() -> None:
    assert values("1,-1,1,1,30,40,1") == [[0], [-1], [[0, 0, 30, 40]], [1]]


@pytest.mark.parametrize(
    "text",
    [
        ROW,
        "3,7,11,21,30,40,0.5",
        "3,7,11,21,30,40,0.5,1",
        "3,7,11,21,30,40,0.5,1,0.75",
        " 3 , 7,11.0,\t21,30 ,40,5e-1,-1,-1,-1",
        "3.0,7.0,11,21,30,40,0.5",
        "3,7,11,21,30,40,0.5,,,",
        "3 7 11 21 30 40 0.5",
        "3  7 11\t21 30 40 0.5 -1 -1 -1 ",
        "3\t7\t11\t21\t30\t40\t0.5\t-1\t-1\t-1\t",
        "3;7;11;21;30;40;0.5;",
        '"3","7","11","21","30","40","0.5"',
        f"# a comment\n\n{ROW} # and another\n\n",
        f"frame,id,bb_left,bb_top,bb_width,bb_height,conf,x,y,z\n{ROW}",
        f"# det\n\nFrameId; Id; X; Y; Width; Height; Confidence\n{ROW.replace(',', ';')}",
    ],
)
def test_variants_of_a_row_are_read_alike(text: str, tmp_path: Path) -> None:
    expected = [[2], [7], [[10, 20, 30, 40]], [0.5]]
    assert values(text) == expected and is_mot_text(text)
    file = tmp_path / "gt.txt"
    for line_break in ("\n", "\r\n"):
        file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", line_break).encode())
        table = read_mot_file(file)
        assert (table.frames.tolist(), table.boxes.tolist()) == (expected[0], expected[2])
        assert read_tracks(file).tolist() == [[3, 7, 10, 20, 30, 40, 0.5]]
        assert read_detections(file).at(2).boxes.tolist() == [[10, 20, 40, 60]]


def test_further_columns_are_class_and_visibility_or_coordinates() -> None:
    table = parse_mot_lines(["1,1,1,1,5,5,1", "1,1,1,1,5,5,1,3", "1,1,1,1,5,5,1,3,0.5", "1,1,1,1,5,5,1,3,0.5,7"], FILE)
    assert table.has_class.tolist() == [False, True, True, False]
    assert np.nan_to_num(table.extras, nan=-9).tolist() == [[-9, -9, -9], [3, -9, -9], [3, 0.5, -9], [3, 0.5, 7]]
    assert table.lines.tolist() == [1, 2, 3, 4]


def test_a_file_without_rows_is_empty() -> None:
    table = parse_mot_lines(["# nothing", ""], FILE)
    assert (table.frames.shape, table.boxes.shape, table.extras.shape) == ((0,), (0, 4), (0, 3))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,1,1,1,5,5", "6 columns, where a row has 7 to 10"),
        ("1,1,1,1,5,5,1,1,1,1,1", "11 columns, where a row has 7 to 10"),
        ("some words", "2 columns"),
        ("1,1,1,one,5,5,1", "'one' is not a number"),
        ("1,1,,1,5,5,1", "'' is not a number"),
        ("1\t1\t\t1\t5\t5\t1", "'' is not a number"),
        ("1,5;1,1,1,5,5,1", "'5;1' is not a number"),
        ("id,frame,x,y,w,h,score", "'id' is not a number"),
        ("frame,id,x1,y1,x2,y2,score", "'frame' is not a number"),
        ("0,1,1,1,5,5,1", "'0' is no number of a frame, which count from 1"),
        ("1.5,1,1,1,5,5,1", "'1.5' is no number of a frame"),
        ("nan,1,1,1,5,5,1", "'nan' is no number of a frame"),
        ("1,1.5,1,1,5,5,1", "the id '1.5' is not a whole number"),
        ("1,inf,1,1,5,5,1", "the id 'inf' is not a whole number"),
        ("1,1,1,nan,5,5,1", "the box and its score must be finite numbers"),
        ("1,1,1,1,5,5,inf", "the box and its score must be finite numbers"),
    ],
)
def test_anything_else_is_reported_with_file_and_line(line: str, message: str) -> None:
    lines = ["# comment", "1,1,1,1,5,5,1" if "frame" not in line else "", line, ROW]
    with pytest.raises(InputError) as error:
        parse_mot_lines(lines, Path("some/gt.txt"))
    assert str(error.value).startswith("some/gt.txt, line 3: ") and message in str(error.value)
    problems: list[tuple[int, str]] = []
    table = parse_mot_lines(lines, FILE, problems)
    assert table.lines.tolist()[-1] == 4 and len(problems) == 1
    assert problems[0][0] == 3 and message in problems[0][1]


def test_a_header_is_accepted_before_the_first_row_only() -> None:
    header = "frame,id,x,y,w,h,score"
    with pytest.raises(InputError, match="line 2: 'frame' is not a number"):
        parse_mot_lines([ROW, header], FILE)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*gone\.txt"):
        read_mot_file(tmp_path / "gone.txt")
    with pytest.raises(InputError, match="cannot read"):
        read_mot_file(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"1,1,1,1,5,5,1\n\xff")
    with pytest.raises(InputError, match=r"a\.txt, line 2 is not a MOTChallenge file: this is not text"):
        read_mot_file(tmp_path / "a.txt")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32"])
def test_encodings_of_windows(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("1,1,1,1,5,5,1\n".encode(encoding))
    assert read_mot_file(tmp_path / "a.txt").boxes.tolist() == [[0, 0, 5, 5]]
    assert read_detections(tmp_path / "a.txt").at(0).boxes.tolist() == [[0, 0, 5, 5]]


@pytest.mark.parametrize("text", ["", "This is no table.\n", "frame,time_s,class,score,x1,y1,x2,y2\n", "x,y\n"])
def test_other_text_is_told_apart(text: str) -> None:
    assert not is_mot_text(text)


def test_every_reader_puts_a_box_where_it_is_drawn(tmp_path: Path) -> None:
    drawing = image_sets.draw_images(1)[0]
    sequence = image_sets.write_mot(tmp_path / "street", 1)
    file = sequence / "gt" / "gt.txt"
    np.testing.assert_array_equal(read_image_set(sequence, {}).images[0].boxes, drawing.boxes)
    np.testing.assert_array_equal(read_reid_dataset([sequence]).boxes, drawing.boxes)
    np.testing.assert_array_equal(read_detections(file).at(0).boxes, drawing.boxes)
    np.testing.assert_allclose(read_tracks(file)[:, 2:6], drawing.xywh)


def test_a_result_is_read_back_by_every_reader(tmp_path: Path) -> None:
    boxes = [[0, 0, 20.25, 30.5], [44.13, 20, 64, 48]]
    for name in ("tracks.txt", "tracks.csv"):
        with open_writer(tmp_path / name, make_info(), ["person"], CONFIG) as writer:
            writer.write(make_frame(0), make_tracks([3, 4], boxes))
    assert (tmp_path / "tracks.txt").read_text().splitlines()[0] == "1,3,1.00,1.00,20.25,30.50,0.9000,-1,-1,-1"
    for name in ("tracks.txt", "tracks.csv"):
        np.testing.assert_allclose(read_detections(tmp_path / name).at(0).boxes, boxes, atol=1e-5)
    np.testing.assert_allclose(read_tracks(tmp_path / "tracks.txt"), read_tracks(tmp_path / "tracks.csv"))
