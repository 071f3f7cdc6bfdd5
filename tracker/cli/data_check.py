"""`track data check`: counts, problems and duplicates of annotated images, as text, JSON and a contact sheet."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from rich.console import RenderableType
from rich.table import Table

from tracker.cli.console import check_output, print_report, report_console, say
from tracker.cli.options import CommandApp, help_text
from tracker.cli.progress import progress
from tracker.data.check import CheckedSet, CheckReport, DuplicatePair, check_image_sets, class_counts, total_counts
from tracker.data.files import write_json

MOST_LINES = 20  # of one kind that are printed; the JSON holds all

app = CommandApp(name="check")


@app.default
def check(
    paths: Annotated[
        tuple[Path, ...],
        help_text(
            "Sets of annotated images, such as those of training and validation: COCO JSON, YOLO's data.yaml "
            "(data.yaml:train for one split) or obj.data, Pascal VOC (or its ImageSets/Main/NAME.txt), CVAT's XML, "
            "JSON of Label Studio, FiftyOne or LabelMe, MOTChallenge sequences; or the folder of any of these."
        ),
    ],
    /,
    *,
    images: Annotated[
        Path | None, help_text("Folder in which to look for the images by name, wherever the annotations say they are.")
    ] = None,
    sheet: Annotated[Path | None, help_text("Draw images of each class with their boxes: .png or .jpg.")] = None,
    json: Annotated[Path | None, help_text("Write everything that was found to this file.")] = None,
    overwrite: Annotated[bool, help_text("Replace the files of --sheet and --json.")] = False,
) -> int:
    """Runs the command; returns the exit code: 1 if something is wrong, else 0."""
    check_output(json, (".json",), overwrite)
    check_output(sheet, (".png", ".jpg"), overwrite)
    with progress("checking images") as show:
        check = check_image_sets(paths, lambda done, total: show(done, total, f"{done}/{total} images"), images)
    names = _names(check.sets)
    if json:
        _write(check, json)
    parts: list[RenderableType] = [_totals_table(check.sets, names), _classes_table(check.sets, names)]
    parts += ["\n".join(lines) for lines in _findings(check, names)]
    print_report(report_console(), [*parts, _verdict(check)])
    if sheet:
        from tracker.evaluation.contact_sheet import draw_contact_sheet

        draw_contact_sheet([checked.image_set for checked in check.sets], sheet)
        say(f"drew a contact sheet: {sheet}")
    return 0 if check.clean else 1


def _names(sets: Sequence[CheckedSet]) -> dict[str, str]:
    """Returns a short name for each path: its last part, if that is unique."""
    short = [checked.path.name for checked in sets]
    full = [str(checked.path) for checked in sets]
    return dict(zip(full, short if len(set(short)) == len(short) else full, strict=True))


def _totals_table(sets: Sequence[CheckedSet], names: Mapping[str, str]) -> Table:
    columns = "images", "empty", "objects", "an image", "most", "small", "medium", "large", "ignored"
    table = _table("", columns)
    for checked in sets:
        counted = total_counts(checked.image_set)
        shares = [f"{_percent(n, counted.objects)}" for n in (counted.small, counted.medium, counted.large)]
        mean = f"{counted.objects / max(counted.images, 1):.1f}"
        row = counted.images, counted.empty, counted.objects, mean, counted.max_objects, *shares, counted.ignored
        table.add_row(names[str(checked.path)], *map(str, row))
    return table


def _percent(part: int, total: int) -> str:
    return f"{100 * part / max(total, 1):.0f} %"


def _classes_table(sets: Sequence[CheckedSet], names: Mapping[str, str]) -> Table:
    """Returns a table of the objects and images of each class, and of the images in which it was not annotated."""
    counts = [class_counts(checked.image_set) for checked in sets]
    any_unlabeled = any(count.unlabeled for by_class in counts for count in by_class.values())
    columns = ("objects", "images", "unlabeled") if any_unlabeled else ("objects", "images")
    table = _table("class", [f"{names[str(checked.path)]}\n{column}" for checked in sets for column in columns])
    for name in dict.fromkeys(name for by_class in counts for name in by_class):
        cells: list[str] = []
        for by_class in counts:
            cells += [str(getattr(by_class[name], column)) if name in by_class else "-" for column in columns]
        table.add_row(name, *cells)
    return table


def _table(first: str, columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right", vertical="bottom")
    return table


def _findings(check: CheckReport, names: Mapping[str, str]) -> Iterator[list[str]]:
    """Yields paragraphs, as lines, about problems and remarkable findings."""
    for checked in check.sets:
        name = names[str(checked.path)]
        if checked.problems:
            yield _listed(f"{name}: {len(checked.problems)} bad labels or images", list(map(str, checked.problems)))
        if checked.notes:
            yield _listed(f"{name}: no problem, but to be known", checked.notes)
    if check.across_sets:
        title = f"{len(check.across_sets)} images are also in another set, whose score they falsify"
        yield _listed(title, [_copies(copies, names) for copies in check.across_sets])
    if check.same_files:
        title = f"{len(check.same_files)} images are a copy of another one of their set"
        yield _listed(title, [_copies(copies, names) for copies in check.same_files])
    if check.similar:
        yield [
            f"{len(check.similar)} images are similar to another one of their set, like frames of a video (no problem)"
        ]
    known = dict.fromkeys(name for checked in check.sets for name in checked.image_set.categories)
    for checked in check.sets:
        if checked.image_set.images and not total_counts(checked.image_set).empty:
            yield [
                f"{names[str(checked.path)]} has no image without objects (no problem, but a detector learns from some "
                "what is none: add pictures of the usual scenes that show no object, with empty labels)"
            ]
    for checked in check.sets:
        counts = class_counts(checked.image_set)
        absent = [name for name in known if name not in counts or not counts[name].objects]
        if absent:
            yield [
                f"{names[str(checked.path)]} shows no {', '.join(absent)} (no problem, but the class cannot be learned)"
            ]


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    more = [f"  ... and {len(lines) - MOST_LINES} more: see --json"] if len(lines) > MOST_LINES else []
    return [f"{title}:", *(f"  {line}" for line in lines[:MOST_LINES]), *more]


def _copies(copies: DuplicatePair, names: Mapping[str, str]) -> str:
    where, others = names[copies.dataset], names[copies.original_dataset]
    return f"{copies.image} ({where}), {copies.kind}: {copies.original} ({others})"


def _verdict(check: CheckReport) -> str:
    if check.clean:
        return "nothing is wrong with these images"
    bad = sum(len(checked.problems) for checked in check.sets)
    return f"wrong: {bad} bad labels or images, {len(check.across_sets) + len(check.same_files)} copies"


def _write(check: CheckReport, file: Path) -> None:
    content: dict[str, Any] = {
        "clean": check.clean,
        "sets": [
            {
                "path": str(checked.path),
                **asdict(total_counts(checked.image_set)),
                "classes": {name: asdict(counts) for name, counts in class_counts(checked.image_set).items()},
                "problems": [problem._asdict() for problem in checked.problems],
                "notes": checked.notes,
            }
            for checked in check.sets
        ],
        **{
            name: [asdict(copies) for copies in getattr(check, name)]
            for name in ("across_sets", "same_files", "similar")
        },
    }
    write_json(file, content)
