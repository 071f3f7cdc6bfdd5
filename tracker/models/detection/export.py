"""Exports a detector, with its preprocessing inside the network and its NMS, to one file for other programs."""

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from tracker.config import DetectorConfig
from tracker.errors import InputError
from tracker.models.detection.exported import OUTPUT_NAMES, THRESHOLDS_KEY, Thresholds
from tracker.models.detection.torch_detector import TorchDetector
from tracker.models.model_file import METADATA_KEY
from tracker.models.runtime.backends import load_openvino, openvino_core
from tracker.models.runtime.compile import export_onnx, quiet_exporters

EXAMPLE_SHAPE = (3, 320, 448)  # of the image with which the network is traced
INPUT_NAME = "picture"  # in exported files
IMAGE_AXES = {1: "height", 2: "width"}  # dynamic axes of the input


class SingleImageDetector(nn.Module):
    """A wrapper for exporters: one image in, a tuple of tensors out."""

    def __init__(self, network: nn.Module, keys: tuple[str, ...]) -> None:
        """Takes a network in torchvision's detection form, and the keys of its outputs to return."""
        super().__init__()
        self.network = network
        self.keys = keys

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Maps float32 (3, H, W) RGB from 0 to 255 to boxes (N, 4) xyxy in its pixels, scores, and labels from 1."""
        detections = self.network([image])[0]
        return tuple(detections[key] for key in self.keys)


def export_detector(detector: TorchDetector, config: DetectorConfig, path: Path, file_format: str) -> list[Path]:
    """Exports a detector to a file, atomically.

    Args:
        detector: The detector that `load_torch_detector` returned for `config`, on PyTorch and the CPU.
        config: Its thresholds become part of the file.
        path: The file, with the suffix of the format.
        file_format: onnx, openvino or torchscript.

    Returns:
        The written files; two for OpenVINO.

    Raises:
        InputError: A package is missing, or the file cannot be written.
    """
    example = torch.rand(EXAMPLE_SHAPE) * 255
    with torch.no_grad():
        keys = tuple(key for key in OUTPUT_NAMES if key in detector.model([example])[0])
    network = SingleImageDetector(detector.model, keys).eval()
    metadata = {METADATA_KEY: detector.info.model_dump_json(), THRESHOLDS_KEY: Thresholds.of(config).model_dump_json()}
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            part = Path(folder) / path.name
            _WRITERS[file_format](network, example, metadata, part)
            written = sorted(Path(folder).iterdir())
            return [file.replace(path.with_name(file.name)) for file in written]
    except ModuleNotFoundError as error:
        install = f"pip install 'video-tracker[{'openvino' if file_format == 'openvino' else 'onnx'}]'"
        raise InputError(f"the format {file_format} needs the package {error.name}: {install}") from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def _to_onnx(network: SingleImageDetector, example: Tensor) -> bytes:
    names = [OUTPUT_NAMES[key] for key in network.keys]
    dynamic_axes = {INPUT_NAME: IMAGE_AXES, **{name: {0: "objects"} for name in names}}
    return export_onnx(network, (example,), [INPUT_NAME], names, dynamic_axes)


def _write_onnx(network: SingleImageDetector, example: Tensor, metadata: dict[str, str], path: Path) -> None:
    import onnx

    model = onnx.load_model_from_string(_to_onnx(network, example))
    onnx.helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())


def _write_openvino(network: SingleImageDetector, example: Tensor, metadata: dict[str, str], path: Path) -> None:
    model = openvino_core().read_model(_to_onnx(network, example))
    for key, text in metadata.items():
        model.set_rt_info(text, key)
    load_openvino().save_model(model, path, compress_to_fp16=False)


def _write_torchscript(network: SingleImageDetector, example: Tensor, metadata: dict[str, str], path: Path) -> None:
    with quiet_exporters():
        traced = torch.jit.trace(network, (example,), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, path, _extra_files=metadata)


_WRITERS = {"onnx": _write_onnx, "openvino": _write_openvino, "torchscript": _write_torchscript}
