"""The tracks from which edits have made others, and the edits that touched each."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf

from tracker.data.edits.edit import Edit
from tracker.data.edits.journal import Entry
from tracker.errors import InputError


@dataclass(frozen=True)
class Piece:
    """A part of a track as the run wrote it.

    Attributes:
        track: Its id in the tables of the run.
        first: Index of the first frame of the part.
        stop: Index of the frame after the last one; infinite for all that follow.
    """

    track: int
    first: int = 0
    stop: float = inf


class Trace:
    """Finds the tracks of the tables of a run behind those of its journal, and the other way.

    Example:
        >>> edits = Edit("merge", (1, 2)), Edit("rename", (1,), new_id=9)
        >>> trace = Trace([1, 2, 3], [Entry("ann", "", "edit", edit) for edit in edits])
        >>> [piece.track for piece in trace.pieces(9)], len(trace.entries(9)), trace.visible(2, 40)
        ([1, 2], 2, 9)
    """

    def __init__(self, tracks: Iterable[int], entries: Iterable[Entry]) -> None:
        """Takes the ids in the tables, and the lines of the journal that count, in order."""
        self._pieces = {track: [Piece(track)] for track in tracks}
        self._entries = list(entries)
        self._touched: dict[int, set[int]] = {}  # numbers of the entries
        self._gone: dict[int, str] = {}
        for number, entry in enumerate(self._entries):
            if entry.edit is not None:
                self._apply(number, entry, entry.edit)

    def pieces(self, track: int) -> list[Piece]:
        """Returns the parts of which a track consists.

        Raises:
            InputError: There is none of that id; the reason is said if edits have removed it.
        """
        if track not in self._pieces:
            raise InputError(self._gone.get(track, f"there is no track {track}"))
        return self._pieces[track]

    def entries(self, track: int) -> list[Entry]:
        """Returns the lines of the journal that touched a track, or a track that became part of it."""
        return [self._entries[number] for number in sorted(self._touched.get(track, ()))]

    def visible(self, track: int, frame: int) -> int:
        """Returns the id that a track of the tables has in a frame after the edits; 0 if it was deleted."""
        for known, pieces in self._pieces.items():
            if any(piece.track == track and piece.first <= frame < piece.stop for piece in pieces):
                return known
        return 0

    def _apply(self, number: int, entry: Entry, edit: Edit) -> None:
        first, last = edit.ids[0], edit.ids[-1]
        for one in edit.ids:
            self._touched.setdefault(one, set()).add(number)
        by = f"(edit of {entry.author}, {entry.time})"
        match edit.verb:
            case "merge":
                self._pieces.setdefault(first, []).extend(self._pieces.pop(last, []))
                self._touched[first] |= self._touched.pop(last)
                self._gone[last] = f"track {last} became part of track {first} {by}: ask for {first}"
            case "split":
                before, after = _cut(self._pieces.get(first, []), edit.frame)
                self._pieces[first], self._pieces[edit.new_id] = before, after
                self._touched[edit.new_id] = set(self._touched[first])
            case "swap":
                a, b = (_cut(self._pieces.get(one, []), edit.frame) for one in (first, last))
                self._pieces[first], self._pieces[last] = a[0] + b[1], b[0] + a[1]
            case "rename":
                self._pieces[edit.new_id] = self._pieces.pop(first, [])
                self._touched[edit.new_id] = self._touched.pop(first)
                self._gone[first] = f"track {first} was renamed to {edit.new_id} {by}: ask for {edit.new_id}"
            case "delete":
                self._pieces.pop(first, None)
                self._gone[first] = f"track {first} was deleted {by}"


def _cut(pieces: list[Piece], frame: int) -> tuple[list[Piece], list[Piece]]:
    """Returns the parts before a frame, and those from it on."""
    before = [replace(piece, stop=min(piece.stop, frame)) for piece in pieces if piece.first < frame]
    return before, [replace(piece, first=max(piece.first, frame)) for piece in pieces if piece.stop > frame]
