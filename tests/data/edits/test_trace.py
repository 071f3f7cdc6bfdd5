"""The tracks behind edited ones."""

import pytest

from tracker.data.edits import Edit, Entry, Piece, Trace
from tracker.errors import InputError


def traced(*edits):
    return Trace([1, 2, 3], [Entry("ann", "2026-01-01", "edit", edit) for edit in edits])


def test_pieces_after_split_swap_merge_and_rename():
    trace = traced(
        Edit("split", (1,), frame=40, new_id=4),
        Edit("swap", (2, 3), frame=50),
        Edit("merge", (4, 2)),
        Edit("rename", (4,), new_id=9),
    )
    assert trace.pieces(1) == [Piece(1, 0, 40)]
    assert trace.pieces(9) == [Piece(1, 40), Piece(2, 0, 50), Piece(3, 50)]
    assert trace.pieces(3) == [Piece(3, 0, 50), Piece(2, 50)]
    assert [entry.edit.verb for entry in trace.entries(9)] == ["split", "swap", "merge", "rename"]
    assert [entry.edit.verb for entry in trace.entries(3)] == ["swap"]
    assert [trace.visible(track, frame) for track, frame in ((1, 39), (1, 40), (2, 49), (2, 50), (3, 50))] == [
        1,
        9,
        9,
        3,
        9,
    ]


@pytest.mark.parametrize(
    ("edit", "asked", "reason"),
    [
        (Edit("merge", (1, 2)), 2, "became part of track 1"),
        (Edit("rename", (2,), new_id=9), 2, "was renamed to 9"),
        (Edit("delete", (2,)), 2, "was deleted"),
        (Edit("delete", (2,)), 7, "there is no track 7"),
    ],
)
def test_a_track_that_is_gone_is_told(edit, asked, reason):
    with pytest.raises(InputError, match=reason):
        traced(edit).pieces(asked)
