"""Detectors in files that need no code of ours, with all that follows the network: ONNX, OpenVINO, TorchScript."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from tracker.config import DetectorConfig
from tracker.errors import InputError
from tracker.models.model_file import HEADER, ModelInfo, read_info
from tracker.models.runtime import choose_backend, load_graph
from tracker.models.runtime.backends import openvino_core
from tracker.models.runtime.compile import quiet_exporters

FORMATS = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".pt"}
"""Formats by name, and the suffixes of their files; OpenVINO's numbers lie in a .bin beside it."""

THRESHOLDS = "thresholds"  # the metadata key beside HEADER
GIVES = ("boxes", "scores", "labels", "cells")  # the last one is Mask R-CNN's


class Thresholds(BaseModel):
    """What is dropped inside an exported network; meaning as in `DetectorConfig`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: float
    nms_iou: float
    max_detections: int

    @classmethod
    def of(cls, config: DetectorConfig) -> "Thresholds":
        """Those that a config asks for."""
        return cls(score=config.score, nms_iou=config.nms_iou, max_detections=config.max_detections)


class ExportedNetwork(nn.Module):
    """An exported network in torchvision's detection form; drops what a config does not want."""

    def __init__(self, run: Callable[[Tensor], Iterable[Tensor]], wanted: DetectorConfig) -> None:
        """Takes what computes the graph for one picture, and what is wanted of it."""
        super().__init__()
        self._run = run
        self._wanted = wanted

    def forward(self, pictures: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """float32 (3, H, W) each -> a dict each, of boxes, scores, labels and, of Mask R-CNN, cells."""
        return [self._chosen(dict(zip(GIVES, self._run(picture), strict=False))) for picture in pictures]

    def _chosen(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        if not self._wanted.masks:
            found.pop("cells", None)
        rows = torch.nonzero(found["scores"] >= self._wanted.score)[: self._wanted.max_detections, 0]
        return {name: values[rows] for name, values in found.items()}


def is_exported(config: DetectorConfig) -> bool:
    """Whether a config's weights are in a file of these formats."""
    return config.weights.endswith(tuple(FORMATS.values()))


def load_exported(config: DetectorConfig, device: torch.device) -> tuple[ExportedNetwork, str]:
    """The network of an exported file, and what computes it.

    Raises:
        InputError: The file is missing, damaged, not one of ours, or was exported with thresholds under which what the
            config wants was dropped; or the device or the backend cannot run it.
    """
    path = Path(config.weights)
    _, thresholds = read_description(path)
    _check_thresholds(path, thresholds, config)
    if device.type != "cpu":
        raise InputError(f"{path} runs on the CPU, not on {device}: give --device cpu")
    if path.suffix == ".pt":
        if config.backend not in ("auto", "torch"):
            raise InputError(f"{config.backend} cannot run {path}, which is TorchScript: leave --backend out")
        if config.precision == "half":
            raise InputError(f"{path} is TorchScript, which computes in full precision: leave --precision out")
        return ExportedNetwork(_load_script(path, {}), config), "torch"
    backend = _backend_for(path, config, device)
    run = load_graph(path, backend, config.precision == "half", config.threads)

    def compute(picture: Tensor) -> Iterable[Tensor]:
        return map(torch.from_numpy, run([picture.contiguous().numpy()]))

    return ExportedNetwork(compute, config), backend


def _backend_for(path: Path, config: DetectorConfig, device: torch.device) -> str:
    able = ("openvino",) if path.suffix == ".xml" else ("openvino", "onnxruntime")
    wanted = config.backend
    if wanted == "auto" and path.suffix == ".xml":
        wanted = "openvino"
    backend = choose_backend(wanted, device, config.precision)
    if backend not in able:
        raise InputError(f"{path} is run by {' or '.join(able)}, not by {backend}: pip install 'tracker[openvino]'")
    return backend


def _check_thresholds(path: Path, found: Thresholds, config: DetectorConfig) -> None:
    """Makes sure that nothing which is wanted was dropped: boxes of less score can still be left out, no more come."""
    wanted = Thresholds.of(config)
    if wanted.nms_iou != found.nms_iou:
        _refuse(path, "nms_iou", found.nms_iou, wanted.nms_iou)
    if wanted.score < found.score:
        _refuse(path, "score", found.score, wanted.score)
    if wanted.max_detections > found.max_detections:
        _refuse(path, "max_detections", found.max_detections, wanted.max_detections)


def _refuse(path: Path, name: str, found: float, wanted: float) -> None:
    flag = f"--{name.replace('_', '-')}"
    raise InputError(
        f"{path} was exported with {flag} {found}, so it cannot give {wanted}: give {found}, or export again"
    )


def read_description(path: Path) -> tuple[ModelInfo, Thresholds]:
    """What an exported file says of itself.

    Raises:
        InputError: It is missing, damaged, or was not written by `track export`; or what reads it is not installed.
    """
    if not path.is_file():
        raise InputError(f"there is no model file {path}")
    try:
        texts = _READERS[path.suffix](path)
    except ModuleNotFoundError as error:
        extra = "openvino" if path.suffix == ".xml" else "onnx"
        raise InputError(f"{path} needs the package {error.name}: pip install 'tracker[{extra}]'") from None
    except Exception:  # each library has errors of its own for damaged files
        raise InputError(f"{path} is damaged, or no {path.suffix} model") from None
    info = read_info(texts.get(HEADER, ""), path)
    try:
        return info, Thresholds.model_validate_json(texts.get(THRESHOLDS, ""))
    except ValidationError:
        raise InputError(f"{path} was not written by `track export`") from None


def _texts_in_onnx(path: Path) -> dict[str, str]:
    import onnx

    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def _texts_in_openvino(path: Path) -> dict[str, str]:
    info: Any = openvino_core().read_model(path).get_rt_info()
    return {name: info[name].astype(str) for name in (HEADER, THRESHOLDS) if name in info}


def _texts_in_torchscript(path: Path) -> dict[str, str]:
    texts = dict.fromkeys((HEADER, THRESHOLDS), "")
    _load_script(path, texts)
    return texts


def _load_script(path: Path, texts: dict[str, str]) -> Any:
    """A TorchScript network; the texts that the file holds under the names in `texts` are put there."""
    found: dict[str, Any] = dict(texts)
    with quiet_exporters():
        script = torch.jit.load(path, map_location="cpu", _extra_files=found)  # type: ignore[no-untyped-call]
    texts |= {name: text.decode() if isinstance(text, bytes) else text for name, text in found.items()}
    return script


_READERS: dict[str, Callable[[Path], dict[str, str]]] = {
    ".onnx": _texts_in_onnx,
    ".xml": _texts_in_openvino,
    ".pt": _texts_in_torchscript,
}
