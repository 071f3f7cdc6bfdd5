"""Edits of tracks: what each verb does, the journal, and the same edits after tracking anew."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.data.edits import Conflict, Edit, Journal, RunTable, apply_edits, replay_edits
from tracker.errors import InputError

Rows = list[tuple[int, int, float]]
"""Frame, track and x of each box."""


def make_table(rows: Rows, category: str = "person", observed: bool = True) -> pa.Table:
    frames, ids, x = (np.array(column) for column in zip(*sorted(rows), strict=True))
    count = len(frames)
    columns = {
        "frame": frames.astype(np.int64),
        "time_s": frames / 10,
        "track_id": ids.astype(np.int64),
        "class": pa.array([category] * count).dictionary_encode(),
        "score": np.full(count, 0.5, np.float32),
        **{name: (x + shift).astype(np.float32) for name, shift in (("x1", 0), ("y1", 0), ("x2", 20), ("y2", 40))},
        "observed": np.full(count, observed),
    }
    return pa.table(columns)


def make_run(folder: Path, rows: Rows, group: int = 10) -> RunTable:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text("{}")
    pq.write_table(make_table(rows), folder / "tracks.parquet", row_group_size=group)
    return RunTable(folder)


TWO: Rows = [(frame, 1, float(frame)) for frame in range(20)] + [(frame, 2, 200.0 + frame) for frame in range(5, 30)]


@pytest.fixture(name="run")
def run_of_two(tmp_path: Path) -> RunTable:
    """Track 1 in the frames 0 to 19, track 2 in 5 to 29, far from it."""
    return make_run(tmp_path / "run", TWO)


def add(run: RunTable, edit: Edit) -> str:
    return run.journal.add(lambda edits: run.complete(edit, edits), "ann")


def frames_of(run: RunTable) -> dict[int, list[int]]:
    table = pa.concat_tables(part.select(["frame", "track_id"]) for part in run.parts())
    found: dict[int, list[int]] = {}
    for frame, track in zip(*(table[name].to_pylist() for name in ("frame", "track_id")), strict=True):
        found.setdefault(track, []).append(frame)
    return found


class TestVerbs:
    """The effect of each edit on the rows."""

    def test_split(self, run: RunTable) -> None:
        assert add(run, Edit("split", (1,), frame=8)) == "split 1 at frame 8: 3 from there on"
        assert frames_of(run) == {1: [*range(8)], 3: [*range(8, 20)], 2: [*range(5, 30)]}

    def test_swap(self, run: RunTable) -> None:
        add(run, Edit("swap", (1, 2), frame=10))
        assert frames_of(run) == {1: [*range(30)], 2: [*range(5, 20)]}

    def test_merge_keeps_one_box_in_a_frame(self, run: RunTable) -> None:
        add(run, Edit("merge", (1, 2)))
        assert frames_of(run) == {1: [*range(30)]}
        assert run.window(7, 8)["x1"].to_pylist() == [7.0]  # of track 1, as both were observed

    def test_merge_prefers_the_observed_box(self) -> None:
        table = pa.concat_tables([make_table([(0, 1, 0.0)], observed=False), make_table([(0, 2, 50.0)])])
        assert apply_edits(table, [Edit("merge", (1, 2))], np.zeros_like)["x1"].to_pylist() == [50.0]

    def test_merged_rows_get_the_class_of_the_first_track_in_every_part(self, run: RunTable) -> None:
        add(run, Edit("class", (1,), category="car"))
        add(run, Edit("merge", (1, 2)))
        assert {name for part in run.parts() for name in part["class"].to_pylist()} == {"car"}

    def test_delete_class_and_rename(self, run: RunTable) -> None:
        add(run, Edit("delete", (2,)))
        add(run, Edit("class", (1,), category="referee"))
        add(run, Edit("rename", (1,), new_id=77))
        assert [(one.id, one.category, one.frames) for one in run.tracks()] == [(77, "referee", 20)]

    def test_boxes_between_key_frames_are_interpolated(self, run: RunTable) -> None:
        add(run, Edit("box", (1,), keys=((18, 0, 0, 10, 10), (22, 40, 0, 50, 10))))
        rows = run.window(17, 24).to_pylist()
        assert [(row["frame"], row["x1"], row["observed"]) for row in rows if row["track_id"] == 1] == [
            *[(17, 17.0, True), (18, 0.0, True), (19, 10.0, False), (20, 20.0, False), (21, 30.0, False)],
            (22, 40.0, True),
        ]
        assert [row["time_s"] for row in rows if row["track_id"] == 1] == pytest.approx([1.7, 1.8, 1.9, 2.0, 2.1, 2.2])

    @pytest.mark.parametrize(
        ("edit", "reason"),
        [
            (Edit("delete", (9,)), "no track 9"),
            (Edit("split", (1,), frame=0), "from 1 to 19"),
            (Edit("split", (1,), frame=20), "from 1 to 19"),
            (Edit("swap", (1, 2), frame=40), "have ended"),
            (Edit("rename", (1,), new_id=2), "taken"),
            (Edit("rename", (1,), new_id=0), "above 0"),
        ],
    )
    def test_what_does_not_fit_is_told(self, run: RunTable, edit: Edit, reason: str) -> None:
        with pytest.raises(InputError, match=reason):
            add(run, edit)
        assert run.journal.version == 0

    @pytest.mark.parametrize(
        "values",
        [
            {"verb": "fly", "ids": [1]},
            {"verb": "merge", "ids": [1]},
            {"verb": "merge", "ids": [1, 1]},
            {"verb": "delete", "ids": [1.5]},
            {"verb": "delete", "ids": ["a"]},
            {"verb": "box", "ids": [1], "keys": [[0, 5, 5, 5, 9]]},
            {"verb": "box", "ids": [1], "keys": [[0, float("nan"), 5, 6, 9]]},
            {"verb": "box", "ids": [1], "keys": []},
            {"verb": "split", "ids": [1]},
            {"verb": "class", "ids": [1]},
            {},
        ],
    )
    def test_what_is_no_edit(self, values: dict[str, object]) -> None:
        with pytest.raises(InputError):
            Edit.from_json(values)


verbs = st.one_of(
    st.builds(Edit, st.just("merge"), st.sampled_from([(1, 2), (2, 1), (1, 3)])),
    st.builds(Edit, st.just("swap"), st.sampled_from([(1, 2), (2, 3)]), frame=st.integers(0, 30)),
    st.builds(Edit, st.just("split"), st.sampled_from([(1,), (2,)]), frame=st.integers(1, 30)),
    st.builds(Edit, st.just("delete"), st.sampled_from([(1,), (2,), (3,)])),
    st.builds(Edit, st.just("class"), st.sampled_from([(1,), (2,)]), category=st.sampled_from(["car", "bus"])),
    st.builds(
        Edit,
        st.just("box"),
        st.sampled_from([(1,), (2,)]),
        keys=st.sampled_from([((3, 1, 1, 9, 9),), ((2, 0, 0, 5, 5), (28, 9, 9, 20, 20))]),
    ),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(verbs, max_size=6))
def test_parts_and_summary_are_those_of_the_whole(tmp_path_factory: pytest.TempPathFactory, wanted: list[Edit]) -> None:
    """Applied a few frames at a time, edits do what they do to the whole table; the summary counts its rows."""
    run = make_run(tmp_path_factory.mktemp("run"), TWO, group=7)
    edits: list[Edit] = []
    for edit in wanted:
        try:
            edits.append(run.complete(edit, edits))
        except InputError:
            continue
    whole = run.window(0, 100, edits)
    for size in (1, 4):
        pieces = [run.window(first, first + size, edits) for first in range(0, 40, size)]
        assert [row for piece in pieces for row in piece.to_pylist()] == whole.to_pylist()
    assert len({*zip(whole["frame"].to_pylist(), whole["track_id"].to_pylist(), strict=True)}) == len(whole)
    rows = whole.to_pylist()
    for track in run.tracks(edits):
        own = [row for row in rows if row["track_id"] == track.id]
        assert (track.first_frame, track.last_frame, track.frames) == (own[0]["frame"], own[-1]["frame"], len(own))
        assert track.category == own[-1]["class"]
    assert {track.id for track in run.tracks(edits)} == {row["track_id"] for row in rows}


class TestJournal:
    """The file of the edits."""

    def test_it_only_grows(self, run: RunTable) -> None:
        add(run, Edit("delete", (1,)))
        before = run.journal.path.read_bytes()
        assert run.journal.undo() == "delete 1"
        assert run.journal.path.read_bytes().startswith(before)
        assert frames_of(run).keys() == {1, 2}
        assert run.journal.redo() == "delete 1" and frames_of(run).keys() == {2}
        lines = [json.loads(line) for line in run.journal.path.read_text().splitlines()]
        assert [line["action"] for line in lines] == ["edit", "undo", "redo"]
        assert lines[0]["author"] == "ann" and lines[0]["time"].endswith("+00:00")

    def test_a_new_edit_ends_what_can_be_redone(self, run: RunTable) -> None:
        add(run, Edit("delete", (1,)))
        run.journal.undo()
        add(run, Edit("delete", (2,)))
        with pytest.raises(InputError, match="nothing to redo"):
            run.journal.redo()
        run.journal.undo()
        with pytest.raises(InputError, match="nothing to undo"):
            run.journal.undo()

    def test_the_later_of_two_windows_is_told(self, run: RunTable) -> None:
        delete: Callable[[list[Edit]], Edit] = lambda _: Edit("delete", (1,))  # noqa: E731
        run.journal.add(delete, "ann", seen=0)
        with pytest.raises(Conflict, match="ann added 'delete 1'"):
            run.journal.add(lambda _: Edit("delete", (2,)), "bob", seen=0)
        assert run.journal.edits() == [Edit("delete", (1,))]

    def test_ids_are_never_given_twice(self, run: RunTable) -> None:
        add(run, Edit("split", (1,), frame=8))
        run.journal.undo()
        assert "9 from" not in add(run, Edit("split", (1,), frame=9))
        assert 4 in frames_of(run)

    def test_a_half_written_line_does_not_count(self, run: RunTable) -> None:
        add(run, Edit("delete", (1,)))
        with run.journal.path.open("ab") as file:
            file.write(b'{"author":"b')
        assert run.journal.version == 1
        run.journal.undo()
        assert [entry.action for entry in run.journal.entries()] == ["edit", "undo"]

    def test_a_broken_line_is_told(self, run: RunTable) -> None:
        run.journal.path.write_text('{"author": 1}\n')
        with pytest.raises(InputError, match=r"edits\.jsonl, line 1"):
            run.journal.edits()

    def test_a_folder_without_tracks(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"no tracks\.parquet"):
            RunTable(tmp_path)
        assert Journal(tmp_path).version == 0


def test_edits_are_made_again_on_new_tracks(run: RunTable, tmp_path: Path) -> None:
    add(run, Edit("split", (1,), frame=8))
    add(run, Edit("merge", (2, 3)))
    add(run, Edit("class", (1,), category="car"))
    other = [(frame, {1: 12, 2: 11}[track], x + 1) for frame, track, x in TWO if frame != 3]
    new = make_run(tmp_path / "new", other)
    made, misfits = replay_edits(run.journal.edits(), new)
    assert not misfits and [one.describe() for one in made] == [
        "split 12 at frame 8: 13 from there on",
        "merge 11 and 13; both have a box in 12 frames, where one of the two stays",
        "set the class of 12 to car",
    ]
    assert frames_of(new) == {12: [frame for frame in range(8) if frame != 3], 11: [*range(5, 30)]}


def test_edits_that_no_longer_fit_are_listed(run: RunTable, tmp_path: Path) -> None:
    add(run, Edit("swap", (1, 2), frame=10))
    add(run, Edit("delete", (2,)))
    fixed = [(frame, {1: 2, 2: 1}[track] if frame >= 10 else track, x) for frame, track, x in TWO]
    made, misfits = replay_edits(run.journal.edits(), make_run(tmp_path / "fixed", fixed))
    assert [one.describe() for one in made] == ["delete 2"]
    assert [(one.edit.verb, one.reason) for one in misfits] == [("swap", "the tracks change at frame 10 already")]
    moved = [(frame, track, x + 500) for frame, track, x in TWO]
    made, misfits = replay_edits(run.journal.edits(), make_run(tmp_path / "moved", moved))
    assert not made and [one.reason for one in misfits] == ["no track is where 1 was", "no track is where 2 was"]
