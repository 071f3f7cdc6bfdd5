"""What a person sees of an export: where the file is, what it takes, and whether it finds the same."""

from pathlib import Path

from tracker.cli.console import check_output
from tracker.config import DetectorConfig, ExportConfig
from tracker.data import read_image
from tracker.errors import InputError
from tracker.evaluation.detection.agreement import MEANING, count_equal
from tracker.models.detection import Detector, export_detector, load_detector
from tracker.models.detection.exported import FORMATS, is_exported
from tracker.models.model_file import ModelInfo

PICTURES = ("astronaut.jpg", "cat.jpg")  # of the demo


def export_and_show(model: str, output: Path | None, settings: ExportConfig, overwrite: bool) -> int:
    """Exports a detector, compares what the file finds with what PyTorch finds, and says so; returns the exit code.

    Args:
        model: The detector by name, or its file.
        output: The file to write; None for one of the model's name in the current folder.
        settings: What becomes part of it.
        overwrite: Whether it may exist.

    Raises:
        InputError: The detector cannot be had, or the file cannot be written.
    """
    suffix = FORMATS[settings.format]
    path = output or Path(Path(model).stem + suffix)
    check_output(path, (suffix,), overwrite)
    config = _config_of(model, settings)
    if is_exported(config):
        raise InputError(f"{config.weights} was exported already: give what it was exported from")
    with load_detector(config) as detector:
        files = export_detector(detector, config, path, settings.format)
        with load_detector(config.model_copy(update={"weights": str(path), "backend": "auto"})) as exported:
            equal, total = _compared(detector, exported)
        print(_text(files, detector.info, config, f"{equal} of {total} boxes"))
    return 0


def _config_of(model: str, settings: ExportConfig) -> DetectorConfig:
    values = settings.model_dump(exclude={"format"})
    named = {"weights": model} if Path(model).suffix else {"model": model}
    return DetectorConfig(**{**values, **named}, device="cpu", precision="fp32", backend="torch")


def _compared(one: Detector, other: Detector) -> tuple[int, int]:
    folder = Path(__file__).parent / "demo_images"
    upright = [read_image(folder / name) for name in PICTURES]
    pictures = [*upright, *(picture[:, ::-1].copy() for picture in upright)]
    return count_equal(zip(one.detect(pictures), other.detect(pictures), strict=True))


def _text(files: list[Path], info: ModelInfo, config: DetectorConfig, agreement: str) -> str:
    sizes = ", ".join(f"{file} ({file.stat().st_size / 1e6:.1f} MB)" for file in files)
    longest, shortest = info.size
    fitted = f", fitted into {longest} x {shortest} or {shortest} x {longest}" if longest else " of any size"
    main = next(file for file in files if file.suffix in FORMATS.values())
    return (
        f"wrote {sizes}: {info.architecture}, {len(info.categories)} classes\n"
        f"takes a picture{fitted}: float32 (3, H, W), RGB from 0 to 255\n"
        f"gives boxes xyxy, scores from {config.score}, labels from 1; NMS at IoU {config.nms_iou}, at most "
        f"{config.max_detections} boxes\n"
        f"finds what PyTorch finds: {agreement} in {2 * len(PICTURES)} pictures ({MEANING})\n"
        f"use it: track video.mp4 --weights {main}"
    )
