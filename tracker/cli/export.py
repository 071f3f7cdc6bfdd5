"""`track export`: exports a detector, and compares its detections with PyTorch's, or the repaired tracks of a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tracker.cli.console import check_output, say
from tracker.cli.options import CommandApp, help_text, section
from tracker.config import DetectorConfig, ExportConfig
from tracker.data import read_image
from tracker.data.run_tracks import read_run_tracks
from tracker.errors import InputError
from tracker.output.run_folder import FORMATS as TRACK_FORMATS
from tracker.output.run_folder import export_tracks

if TYPE_CHECKING:
    from tracker.models.detection import Detector
    from tracker.models.model_file import ModelInfo

IMAGES = ("astronaut.jpg", "cat.jpg")  # of the demo

app = CommandApp(name="export")


@app.default
def export(
    model: Annotated[
        str, help_text("A detector by name, see `track models`, or a weights file; or the folder of a run.")
    ],
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(
            alias="-o",
            help="The file: .onnx, .xml or .pt; without it MODEL's name in this folder. Of a run: .csv, .parquet, "
            ".txt, .json or .mp4, or a folder for all tables; without it `repaired` in the folder of the run.",
        ),
    ] = None,
    video: Annotated[str, help_text("Of a run: its video, if it was moved.")] = "",
    images_every: Annotated[
        float | None,
        help_text(
            "Of a run: write training data of a detector: the frame at each so many seconds (0: all frames) as an "
            "image, and the labels of these images as COCO .json; without --output `training` in the folder of the run."
        ),
    ] = None,
    overwrite: Annotated[bool, help_text("Replace that file.")] = False,
    settings: Annotated[ExportConfig, section("Export")] = ExportConfig(),
) -> int:
    """Runs the command; returns the exit code."""
    if Path(model).is_dir():
        if images_every is not None:
            return _export_images(Path(model), images_every, output, video, overwrite)
        if settings.format in TRACK_FORMATS:
            return _export_tracks(Path(model), output, overwrite, settings.format)
        from tracker.pipeline.repaired_run import export_run

        say(*(f"wrote {path}" for path in export_run(Path(model), output, video, overwrite)))
        return 0
    if settings.format in TRACK_FORMATS:
        raise InputError(f"--format {settings.format} is for tracks: give the folder of a run, such as tracked/video")
    if images_every is not None:
        raise InputError("--images-every writes the frames of a run: give its folder, such as tracked/video")
    # Torch takes seconds to import, and `--help` does without.
    from tracker.models.detection import export_detector, load_detector
    from tracker.models.detection.exported import FORMATS, is_exported
    from tracker.models.detection.torch_factory import load_torch_detector

    suffix = FORMATS[settings.format]
    path = output or Path(Path(model).stem + suffix)
    check_output(path, (suffix,), overwrite)
    config = _detector_config(model, settings)
    if is_exported(config):
        raise InputError(f"{config.weights} was exported already: give what it was exported from")
    with load_torch_detector(config) as detector:
        files = export_detector(detector, config, path, settings.format)
        with load_detector(config.model_copy(update={"weights": str(path), "backend": "auto"})) as exported:
            agreement = _agreement(detector, exported)
        say(_summary(files, detector.info, config, agreement))
    return 0


def _export_images(run: Path, every: float, output: Path | None, video: str, overwrite: bool) -> int:
    from tracker.pipeline.training_images import export_training_images

    done = export_training_images(run, every, output, video, overwrite)
    say(
        f"wrote {done.images} images into {done.folder}, and {done.boxes} boxes ({', '.join(done.categories)}) to "
        f"{done.labels}",
        f"check them: track data check {done.labels} --sheet sheet.png",
        f"train on them: track train detector --train {done.labels} --split 0.2 --pretrained builtin",
    )
    return 0


def _export_tracks(run: Path, output: Path | None, overwrite: bool, format: str) -> int:
    tracks = read_run_tracks(run)
    path = output or Path(f"{tracks.name}-{format}{TRACK_FORMATS[format]}")
    check_output(path, (TRACK_FORMATS[format],), overwrite)
    export_tracks(tracks, path, format)
    say(f"{len(set(tracks.ids.tolist()))} tracks with {len(tracks)} boxes: wrote {path}")
    return 0


def _detector_config(model: str, settings: ExportConfig) -> DetectorConfig:
    values = settings.model_dump(exclude={"format"})
    network = {"weights": model} if Path(model).suffix else {"model": model}
    return DetectorConfig(**{**values, **network}, device="cpu", precision="fp32", backend="torch")


def _agreement(detector: "Detector", exported: "Detector") -> str:
    """Returns a text on how many boxes both find, in the images of the demo and their mirror images."""
    from tracker.evaluation.detection.agreement import CRITERION, count_equal_boxes

    folder = Path(__file__).parent / "demo_images"
    originals = [read_image(folder / name) for name in IMAGES]
    images = [*originals, *(image[:, ::-1].copy() for image in originals)]
    equal, total = count_equal_boxes(zip(detector.detect(images), exported.detect(images), strict=True))
    return f"{equal} of {total} boxes in {len(images)} images ({CRITERION})"


def _summary(files: list[Path], info: "ModelInfo", config: DetectorConfig, agreement: str) -> str:
    from tracker.models.detection.exported import FORMATS

    sizes = ", ".join(f"{file} ({file.stat().st_size / 1e6:.1f} MB)" for file in files)
    longest, shortest = info.size
    size = f"reduced to fit into {longest} x {shortest} or {shortest} x {longest}" if longest else "of any size"
    main = next(file for file in files if file.suffix in FORMATS.values())
    return (
        f"wrote {sizes}: {info.architecture}, {len(info.categories)} classes\n"
        f"input: one image, {size}: float32 (3, H, W), RGB from 0 to 255\n"
        f"output: boxes xyxy, scores from {config.score}, labels from 1; NMS at IoU {config.nms_iou}, at most "
        f"{config.max_detections} boxes\n"
        f"same detections as PyTorch: {agreement}\n"
        f"use it: track video.mp4 --weights {main}"
    )
