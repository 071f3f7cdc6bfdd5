"""Text in CSV cells: no formula, and the same text when it is read."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.data.detections import read_detections
from tracker.data.text_cells import from_cell, to_cell
from tracker.output import DetectionWriter, open_writer
from tracker.structures.types import Detections
from video_results import CONFIG, make_frame, make_info, make_tracks

FORMULAS = ("=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", "\n=1", "\uff1d1", "'=1", "''-1")


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_begins_a_formula(text: str) -> None:
    assert to_cell(text) == f"'{text}" and from_cell(to_cell(text)) == text


@pytest.mark.parametrize("text", ["person", "", "'", "'s", "a=b", " =1", "1", "größe", "'quoted'"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert to_cell(text) == text and from_cell(text) == text


@given(st.text(st.sampled_from("'=-+@ab1\t\n,\""), max_size=6))
def test_reading_gives_the_text_again(text: str) -> None:
    file = io.StringIO()
    csv.writer(file).writerow(["0", to_cell(text)])
    cell = next(csv.reader(io.StringIO(file.getvalue(), newline="")))[1]
    assert from_cell(cell) == text and not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def test_class_names_in_the_tables_of_a_run(tmp_path: Path) -> None:
    """Names are escaped, numbers are not, and both tables are read with the names as they are."""
    names = ["=cmd()", "-car", "person"]
    boxes = np.array([[1, 1, 9, 9], [2, 2, 12, 12], [3, 3, 33, 33]], np.float32)
    with open_writer(tmp_path / "tracks.csv", make_info(), names, CONFIG) as writer:
        writer.write(make_frame(0), make_tracks([1, 2, 3], boxes, labels=[0, 1, 2]))
    with DetectionWriter(tmp_path / "detections.csv", make_info(), names) as detections:
        scores, labels = np.full(3, 0.9, np.float32), np.arange(3)
        detections.write(make_frame(0, time=-0.5), Detections(boxes - 5, scores, labels))
    assert ",'=cmd(),0.9000," in (tmp_path / "tracks.csv").read_text()
    assert "0,-0.5,'-car,0.9,-3.0," in (tmp_path / "detections.csv").read_text()
    assert set(read_detections(tmp_path / "tracks.csv").categories) == set(names)
    assert list(read_detections(tmp_path / "detections.csv").categories) == names
