"""What a person sees of a detector's evaluation: progress, tables, and where the files are."""

from pathlib import Path

from tracker.cli.console import check_folder, check_output, page, print_report, progress
from tracker.config import DetectorEvalConfig
from tracker.evaluation.detection import measured, write_report
from tracker.evaluation.detection.inference import detect_pictures, pictures_for
from tracker.evaluation.detection.report import as_tables, write_json
from tracker.models.detection import load_detector


def detect_and_show(
    path: Path, config: DetectorEvalConfig, json: Path | None, report: Path | None, overwrite: bool
) -> int:
    """Runs a detector over annotated pictures, prints how good it is, and writes what is asked for.

    Args:
        path: The pictures, see `read_pictures`.
        config: The detector, and what counts.
        json: File for the figures.
        report: Folder for everything.
        overwrite: Whether the file may exist, and the folder may hold something.

    Returns:
        The exit code.

    Raises:
        InputError: Something cannot be read or written.
        ModuleNotFoundError: A package of the extra [eval] is missing.
    """
    check_output(json, (".json",), overwrite)
    check_folder(report, overwrite)
    with load_detector(config) as detector:
        pictures = pictures_for(detector, path, config.rename)
        with progress("detecting") as show:
            total = len(pictures.pictures)
            found, seconds = detect_pictures(
                detector, pictures, config.batch_size, lambda done: show(done, total, f"{done}/{total} pictures")
            )
    work = write_report(report, found, pictures, seconds, config.at) if report else None
    scores = work or measured(found, pictures, seconds, config.at)
    if json:
        write_json(scores, json)
    console = page()
    print_report(console, as_tables(scores))
    if report:
        print(f"wrote {report}")
    return 0
