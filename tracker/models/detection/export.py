"""Writes a detector, with all that follows the network, into one file that other programs can run."""

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from tracker.config import DetectorConfig
from tracker.errors import InputError
from tracker.models.detection.detector import Detector
from tracker.models.detection.exported import GIVES, THRESHOLDS, Thresholds
from tracker.models.model_file import HEADER
from tracker.models.runtime.backends import load_openvino, openvino_core
from tracker.models.runtime.compile import export_onnx, quiet_exporters

PICTURE = (3, 320, 448)  # shape of the example that is followed through the network
SIDES = {1: "height", 2: "width"}  # of the picture, which differ from call to call


class OnePicture(nn.Module):
    """A detector as exporters want it: one picture in, a tuple of tensors out."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]) -> None:
        """Takes a network in torchvision's detection form, and what is wanted of its results."""
        super().__init__()
        self.network = network
        self.names = names

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        """float32 (3, H, W) RGB from 0 to 255 -> boxes (N, 4) xyxy in its pixels, scores (N,), labels (N,) from 1."""
        found = self.network([picture])[0]
        return tuple(found[name] for name in self.names)


def export_detector(detector: Detector, config: DetectorConfig, path: Path, kind: str) -> list[Path]:
    """Writes a detector to a file, whole or not at all.

    Args:
        detector: What `load_detector` gave for `config`, computed by PyTorch on the CPU.
        config: Its thresholds become part of the file.
        path: The file; its suffix is that of the format.
        kind: onnx, openvino or torchscript.

    Returns:
        The files written: with OpenVINO two.

    Raises:
        InputError: A package is missing, or the file cannot be written.
    """
    example = torch.rand(PICTURE) * 255
    with torch.no_grad():
        names = tuple(name for name in GIVES if name in detector.model([example])[0])
    network = OnePicture(detector.model, names).eval()
    texts = {HEADER: detector.info.model_dump_json(), THRESHOLDS: Thresholds.of(config).model_dump_json()}
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            part = Path(folder) / path.name
            _WRITERS[kind](network, example, texts, part)
            written = sorted(Path(folder).iterdir())
            return [file.replace(path.with_name(file.name)) for file in written]
    except ModuleNotFoundError as error:
        extra = "openvino" if kind == "openvino" else "onnx"
        raise InputError(f"the format {kind} needs the package {error.name}: pip install 'tracker[{extra}]'") from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def _as_onnx(network: OnePicture, example: Tensor) -> bytes:
    rows = {name: {0: "objects"} for name in network.names}
    return export_onnx(network, (example,), ["picture"], network.names, {"picture": SIDES, **rows})


def _write_onnx(network: OnePicture, example: Tensor, texts: dict[str, str], path: Path) -> None:
    import onnx

    model = onnx.load_model_from_string(_as_onnx(network, example))
    onnx.helper.set_model_props(model, texts)
    path.write_bytes(model.SerializeToString())


def _write_openvino(network: OnePicture, example: Tensor, texts: dict[str, str], path: Path) -> None:
    model = openvino_core().read_model(_as_onnx(network, example))
    for name, text in texts.items():
        model.set_rt_info(text, name)
    load_openvino().save_model(model, path, compress_to_fp16=False)


def _write_torchscript(network: OnePicture, example: Tensor, texts: dict[str, str], path: Path) -> None:
    with quiet_exporters():
        traced = torch.jit.trace(network, (example,), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, path, _extra_files=texts)


_WRITERS = {"onnx": _write_onnx, "openvino": _write_openvino, "torchscript": _write_torchscript}
