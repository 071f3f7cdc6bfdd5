"""What a person sees of a check of annotated pictures: counts, problems, copies, JSON, and a contact sheet."""

import json as json_format
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from tracker.cli.console import check_output, page, print_report, progress
from tracker.data.check import Check, Checked, Copies, check_pictures, class_counts, totals
from tracker.errors import InputError

MOST_LINES = 20  # of one kind that are printed; the JSON holds all


def check_and_show(paths: Sequence[Path], sheet: Path | None, json: Path | None, overwrite: bool) -> int:
    """Checks sets of annotated pictures, prints what is in them and what is wrong; returns the exit code.

    Args:
        paths: As `check_pictures`.
        sheet: File for a contact sheet.
        json: File for everything that was found.
        overwrite: Whether the two files may exist.

    Returns:
        0 where all is well, 1 where something is wrong.

    Raises:
        InputError: A path holds nothing that can be read, or a file cannot be written.
    """
    check_output(json, (".json",), overwrite)
    check_output(sheet, (".png", ".jpg"), overwrite)
    with progress("looking at pictures") as show:
        check = check_pictures(paths, lambda done, total: show(done, total, f"{done}/{total} pictures"))
    names = _names(check.sets)
    if json:
        _write(check, json)
    parts: list[RenderableType] = [_totals_table(check.sets, names), _classes_table(check.sets, names)]
    parts += ["\n".join(lines) for lines in _findings(check, names)]
    print_report(page(), [*parts, _verdict(check)])
    if sheet:
        from tracker.evaluation.contact_sheet import draw_sheet

        draw_sheet([checked.pictures for checked in check.sets], sheet)
        print(f"drew a contact sheet: {sheet}")
    return 0 if check.clean else 1


def _names(sets: Sequence[Checked]) -> dict[str, str]:
    """A short name for each path: its last part, where that tells the sets apart."""
    short = [checked.path.name for checked in sets]
    whole = [str(checked.path) for checked in sets]
    return dict(zip(whole, short if len(set(short)) == len(short) else whole, strict=True))


def _totals_table(sets: Sequence[Checked], names: Mapping[str, str]) -> Table:
    columns = "pictures", "empty", "objects", "a picture", "most", "small", "medium", "large", "ignored"
    table = _table("", columns)
    for checked in sets:
        counted = totals(checked.pictures)
        shares = [f"{_percent(n, counted.objects)}" for n in (counted.small, counted.medium, counted.large)]
        mean = f"{counted.objects / max(counted.pictures, 1):.1f}"
        row = counted.pictures, counted.empty, counted.objects, mean, counted.most, *shares, counted.ignored
        table.add_row(names[str(checked.path)], *map(str, row))
    return table


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.0f} %"


def _classes_table(sets: Sequence[Checked], names: Mapping[str, str]) -> Table:
    """Objects and pictures of each class, and pictures on which it was not annotated where there are such."""
    counts = [class_counts(checked.pictures) for checked in sets]
    partly = any(count.unlabelled for by_class in counts for count in by_class.values())
    shown = ("objects", "pictures", "unlabelled") if partly else ("objects", "pictures")
    table = _table("class", [f"{names[str(checked.path)]}\n{what}" for checked in sets for what in shown])
    for name in dict.fromkeys(name for by_class in counts for name in by_class):
        cells: list[str] = []
        for by_class in counts:
            cells += [str(getattr(by_class[name], what)) if name in by_class else "-" for what in shown]
        table.add_row(name, *cells)
    return table


def _table(first: str, columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right", vertical="bottom")
    return table


def _findings(check: Check, names: Mapping[str, str]) -> Iterator[list[str]]:
    """Paragraphs, as lines, of what is wrong or worth knowing."""
    for checked in check.sets:
        name = names[str(checked.path)]
        if checked.problems:
            yield _listed(f"{name}: {len(checked.problems)} bad labels or pictures", list(map(str, checked.problems)))
    if check.across:
        title = f"{len(check.across)} pictures show the same as one of another set, whose score they spoil"
        yield _listed(title, [_copies(copies, names) for copies in check.across])
    if check.same_files:
        title = f"{len(check.same_files)} pictures are a copy of another one of their set"
        yield _listed(title, [_copies(copies, names) for copies in check.same_files])
    if check.similar:
        yield [
            f"{len(check.similar)} pictures look like another one of their set, as frames of a video do (no problem)"
        ]
    known = dict.fromkeys(name for checked in check.sets for name in checked.pictures.categories)
    for checked in check.sets:
        counts = class_counts(checked.pictures)
        absent = [name for name in known if name not in counts or not counts[name].objects]
        if absent:
            yield [
                f"{names[str(checked.path)]} shows no {', '.join(absent)} (no problem, but nothing of it is learned)"
            ]


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    more = [f"  ... and {len(lines) - MOST_LINES} more: see --json"] if len(lines) > MOST_LINES else []
    return [f"{title}:", *(f"  {line}" for line in lines[:MOST_LINES]), *more]


def _copies(copies: Copies, names: Mapping[str, str]) -> str:
    where, others = names[copies.where], names[copies.others]
    return f"{copies.name} ({where}), {copies.kind}: {copies.other} ({others})"


def _verdict(check: Check) -> str:
    if check.clean:
        return "nothing is wrong with these pictures"
    bad = sum(len(checked.problems) for checked in check.sets)
    return f"wrong: {bad} bad labels or pictures, {len(check.across) + len(check.same_files)} copies"


def _write(check: Check, file: Path) -> None:
    content: dict[str, Any] = {
        "clean": check.clean,
        "sets": [
            {
                "path": str(checked.path),
                **asdict(totals(checked.pictures)),
                "classes": {name: asdict(counts) for name, counts in class_counts(checked.pictures).items()},
                "problems": [problem._asdict() for problem in checked.problems],
            }
            for checked in check.sets
        ],
        **{name: [asdict(copies) for copies in getattr(check, name)] for name in ("across", "same_files", "similar")},
    }
    try:
        file.write_text(json_format.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror}") from None
