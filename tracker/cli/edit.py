"""`track edit RUN VERB`: repairs the tracks of a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tracker.cli.console import say
from tracker.cli.options import CommandApp, help_text
from tracker.errors import InputError

if TYPE_CHECKING:
    from tracker.data.edits import Edit, RunTable

app = CommandApp(name="edit")

_USAGE = {
    "merge": "merge A B",
    "split": "split A --at SECONDS",
    "swap": "swap A B --at SECONDS",
    "rename": "rename A NEW_ID",
    "class": "class A NAME",
    "delete": "delete A",
    "box": "box A FRAME X1,Y1,X2,Y2 [FRAME X1,Y1,X2,Y2 ...]",
    "undo": "undo",
    "redo": "redo",
    "list": "list",
    "replay": "replay OTHER_RUN",
}


@app.default
def edit(
    run: Annotated[Path, help_text("The folder of a run, such as tracked/video.")],
    verb: Annotated[
        Literal["merge", "split", "swap", "rename", "class", "delete", "box", "undo", "redo", "list", "replay"],
        help_text("; ".join(_USAGE.values())),
    ],
    values: Annotated[
        tuple[str, ...],
        help_text("The tracks' ids, and what the verb needs. Boxes between two key frames are interpolated."),
    ] = (),
    /,
    *,
    at: Annotated[
        str, help_text("Time from which on split and swap count: seconds since the first frame, or 1:02:03.5.")
    ] = "",
    frame: Annotated[int | None, help_text("The same as a frame's index, from 0.")] = None,
    author: Annotated[str, help_text("Name for the journal; without it that of the system's user.")] = "",
) -> None:
    """Runs the command."""
    # These take a while to import, and `--help` does without.
    from tracker.data.edits import RunTable, replay_edits

    table = RunTable(run)
    journal = table.journal
    if verb in ("undo", "redo", "list") and values:
        raise InputError(f"track edit RUN {_USAGE[verb]}: {values[0]!r} is too much")
    if verb == "undo":
        say(f"undone: {journal.undo(author)}")
    elif verb == "redo":
        say(f"done again: {journal.redo(author)}")
    elif verb == "list":
        _list(table)
    elif verb == "replay":
        if len(values) != 1:
            raise InputError("track edit RUN replay OTHER_RUN: give the folder of the run that was edited")
        made, misfits = replay_edits(RunTable(Path(values[0])).journal.edits(), table, author)
        say(*(f"done: {one.describe()}" for one in made))
        say(*(f"not done: {one.edit.describe()} ({one.reason})" for one in misfits))
        say(f"{len(made)} of {len(made) + len(misfits)} edits fit the tracks of {run}")
    else:
        given = _parse(verb, values, _frame(table, at, frame))
        say(journal.add(lambda edits: table.complete(given, edits), author))


def _parse(verb: str, values: tuple[str, ...], frame: int) -> "Edit":
    from tracker.data.edits import Edit

    wrong = InputError(f"track edit RUN {_USAGE[verb]}: got {' '.join(values) or 'nothing'}")
    try:
        if verb in ("merge", "swap"):
            first, second = values
            return Edit(verb, (int(first), int(second)), frame=frame if verb == "swap" else -1)  # type: ignore[arg-type]
        if verb in ("split", "delete"):
            (only,) = values
            return Edit(verb, (int(only),), frame=frame if verb == "split" else -1)  # type: ignore[arg-type]
        if verb == "box":
            pairs = zip(values[1::2], values[2::2], strict=True)
            keys = [(int(one), *(float(corner) for corner in box.split(","))) for one, box in pairs]
            return Edit("box", (int(values[0]),), keys=tuple(sorted(keys)))  # type: ignore[arg-type]
        track, new = values
        if verb == "rename":
            return Edit("rename", (int(track),), new_id=int(new))
        return Edit("class", (int(track),), category=new)
    except InputError:
        raise
    except (ValueError, IndexError, TypeError):
        raise wrong from None


def _frame(table: "RunTable", at: str, frame: int | None) -> int:
    """Returns the frame that the flags name, -1 without any."""
    if frame is not None and at:
        raise InputError("give either --at or --frame")
    if at:
        return table.frame_at(parse_time(at))
    return -1 if frame is None else frame


def parse_time(text: str, flag: str = "--at") -> float:
    """Returns seconds of a text that a flag has: 75.5, 1:15.5 or 0:01:15.5.

    Raises:
        InputError: It is no time.

    Example:
        >>> parse_time("1:02:03.5")
        3723.5
    """
    seconds = 0.0
    try:
        for part in text.split(":"):
            seconds = seconds * 60 + float(part)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise InputError(f"{flag} {text}: give seconds, such as 75.5, or 0:01:15.5")
    return seconds


def _list(table: "RunTable") -> None:
    """Prints the journal, and how many edits are in effect."""
    entries = table.journal.entries()
    for entry in entries:
        say(f"{entry.time}  {entry.author}  {entry.edit.describe() if entry.edit else entry.action}")
    count = len(table.journal.edits())
    say(f"{count} edit{'' if count == 1 else 's'} in effect")
