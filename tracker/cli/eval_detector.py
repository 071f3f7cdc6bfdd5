"""`track eval detector`: evaluates a detector on annotated images."""

from functools import partial
from pathlib import Path
from typing import Annotated

from tracker.cli.console import check_folder, check_output, print_report, report_console, say
from tracker.cli.options import CommandApp, help_text, section, split_names
from tracker.cli.progress import progress
from tracker.config import DetectorEvalConfig, validate_section

app = CommandApp(name="detector")


@app.default
def eval_detector(
    path: Annotated[
        Path,
        help_text(
            "Annotated images: COCO JSON, YOLO's data.yaml (data.yaml:val for one split) or obj.data, Pascal VOC (or "
            "its ImageSets/Main/NAME.txt), CVAT's XML, JSON of Label Studio, FiftyOne or LabelMe, MOTChallenge "
            "sequences; or the folder of any of these. Classes are matched by name."
        ),
    ],
    /,
    *,
    images: Annotated[
        Path | None, help_text("Folder in which to look for the images by name, wherever the annotations say they are.")
    ] = None,
    json: Annotated[Path | None, help_text("Write all metrics to this file.")] = None,
    report: Annotated[Path | None, help_text("Folder for curves, confusion matrix, best and worst images.")] = None,
    overwrite: Annotated[bool, help_text("Replace the file of --json, and files in the folder of --report.")] = False,
    settings: Annotated[DetectorEvalConfig, section("Detector")] = DetectorEvalConfig(),
) -> int:
    """Runs the command; returns the exit code."""
    # These take seconds to import, and `--help` does without.
    from tracker.evaluation.detection import evaluate_detections, write_report
    from tracker.evaluation.detection.inference import detect_images, read_eval_images
    from tracker.evaluation.detection.report import as_tables, write_metrics
    from tracker.models.detection import load_detector

    values = {**settings.model_dump(exclude_unset=True), "classes": split_names(settings.classes)}
    config = validate_section(DetectorEvalConfig, values, "the command line")
    check_output(json, (".json",), overwrite)
    check_folder(report, overwrite)
    with load_detector(config) as detector:
        image_set = read_eval_images(detector, path, config.rename_classes, images)
        with progress("detecting") as show:
            total = len(image_set.images)
            detections, seconds = detect_images(
                detector, image_set, config.batch_size, lambda done: show(done, total, f"{done}/{total} images")
            )
    evaluate = partial(write_report, report) if report else evaluate_detections
    metrics = evaluate(detections, image_set, seconds, config.report_score)
    if json:
        write_metrics(metrics, json)
    print_report(report_console(), as_tables(metrics))
    if report:
        say(f"wrote {report}")
    return 0
