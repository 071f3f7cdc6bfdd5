"""Loads detectors that `export_detector` wrote as ONNX, OpenVINO or TorchScript, which run without our code."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from tracker.config import DetectorConfig
from tracker.errors import InputError
from tracker.models.model_file import METADATA_KEY, ModelInfo, parse_info
from tracker.models.runtime import choose_backend, load_graph
from tracker.models.runtime.backends import openvino_core
from tracker.models.runtime.compile import quiet_exporters

FORMATS = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".pt"}
"""File suffixes by format; OpenVINO's weights are in a .bin beside the .xml."""

THRESHOLDS_KEY = "thresholds"  # the metadata key beside METADATA_KEY
OUTPUT_NAMES = {"boxes": "boxes", "scores": "scores", "labels": "labels", "mask_probs": "cells"}
"""Names of the outputs in exported files, by their key in a detector's output; the last one only with Mask R-CNN."""


class Thresholds(BaseModel):
    """The thresholds inside an exported network, with the meaning that they have in `DetectorConfig`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: float
    nms_iou: float
    max_detections: int

    @classmethod
    def of(cls, config: DetectorConfig) -> "Thresholds":
        """Returns the thresholds of a config."""
        return cls(score=config.score, nms_iou=config.nms_iou, max_detections=config.max_detections)


class ExportedNetwork(nn.Module):
    """An exported network in torchvision's detection form; it applies the thresholds of a config."""

    def __init__(self, run: Callable[[Tensor], Iterable[Tensor]], config: DetectorConfig) -> None:
        """Takes the function that runs the graph on one image, and the config."""
        super().__init__()
        self._run = run
        self._config = config

    def forward(self, images: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """Maps each float32 (3, H, W) to a dict of boxes, scores, labels and, with Mask R-CNN, mask_probs."""
        return [self._filter(dict(zip(OUTPUT_NAMES, self._run(image), strict=False))) for image in images]

    def _filter(self, detections: dict[str, Tensor]) -> dict[str, Tensor]:
        if not self._config.masks:
            detections.pop("mask_probs", None)
        least = min((self._config.score, *self._config.class_scores.values()))
        indices = torch.nonzero(detections["scores"] >= least)[: self._config.max_detections, 0]
        return {key: values[indices] for key, values in detections.items()}


def is_exported(config: DetectorConfig) -> bool:
    """Returns True if the weights of a config are an exported file."""
    return config.weights.endswith(tuple(FORMATS.values()))


def load_exported(config: DetectorConfig, device: torch.device) -> tuple[ExportedNetwork, str]:
    """Loads the network of an exported file, and returns it with its backend.

    Raises:
        InputError: The file is missing, damaged, not one of ours, or was exported with stricter thresholds than the
            config's; or the device or the backend cannot run it.
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
            raise InputError(f"{path} is TorchScript, which runs in full precision only: leave --precision out")
        return ExportedNetwork(_load_script(path, {}), config), "torch"
    backend = _choose_backend(path, config, device)
    run_graph = load_graph(path, backend, config.precision == "half", config.threads)

    def run(image: Tensor) -> Iterable[Tensor]:
        return map(torch.from_numpy, run_graph([image.contiguous().numpy()]))

    return ExportedNetwork(run, config), backend


def _choose_backend(path: Path, config: DetectorConfig, device: torch.device) -> str:
    supported = ("openvino",) if path.suffix == ".xml" else ("openvino", "onnxruntime")
    name = config.backend
    if name == "auto" and path.suffix == ".xml":
        name = "openvino"
    backend = choose_backend(name, device, config.precision)
    if backend not in supported:
        names = " or ".join(supported)
        raise InputError(f"{path} is run by {names}, not by {backend}: pip install 'video-tracker[openvino]'")
    return backend


def _check_thresholds(path: Path, exported: Thresholds, config: DetectorConfig) -> None:
    """Raises an error if the file drops detections that the config asks for; a stricter config is fine."""
    requested = Thresholds.of(config)
    if requested.nms_iou != exported.nms_iou:
        _raise_threshold_error(path, "nms_iou", exported.nms_iou, requested.nms_iou)
    if requested.score < exported.score:
        _raise_threshold_error(path, "score", exported.score, requested.score)
    if requested.max_detections > exported.max_detections:
        _raise_threshold_error(path, "max_detections", exported.max_detections, requested.max_detections)


def _raise_threshold_error(path: Path, name: str, exported: float, requested: float) -> None:
    flag = f"--{name.replace('_', '-')} {exported}"
    raise InputError(f"{path} was exported with {flag}, which excludes {requested}: give {exported}, or export again")


def read_description(path: Path) -> tuple[ModelInfo, Thresholds]:
    """Reads the description and the thresholds in an exported file.

    Raises:
        InputError: The file is missing, damaged, or was not written by `track export`; or the package that reads it is
            not installed.
    """
    if not path.is_file():
        raise InputError(f"there is no model file {path}")
    try:
        metadata = _READERS[path.suffix](path)
    except ModuleNotFoundError as error:
        extra = "openvino" if path.suffix == ".xml" else "onnx"
        raise InputError(f"{path} needs the package {error.name}: pip install 'video-tracker[{extra}]'") from None
    except Exception:  # each library has errors of its own for damaged files
        raise InputError(f"{path} is damaged, or not a {path.suffix} model") from None
    info = parse_info(metadata.get(METADATA_KEY, ""), path)
    try:
        return info, Thresholds.model_validate_json(metadata.get(THRESHOLDS_KEY, ""))
    except ValidationError:
        raise InputError(f"{path} was not written by `track export`") from None


def _read_onnx_metadata(path: Path) -> dict[str, str]:
    import onnx

    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def _read_openvino_metadata(path: Path) -> dict[str, str]:
    info: Any = openvino_core().read_model(path).get_rt_info()
    return {key: info[key].astype(str) for key in (METADATA_KEY, THRESHOLDS_KEY) if key in info}


def _read_torchscript_metadata(path: Path) -> dict[str, str]:
    metadata = dict.fromkeys((METADATA_KEY, THRESHOLDS_KEY), "")
    _load_script(path, metadata)
    return metadata


def _load_script(path: Path, metadata: dict[str, str]) -> Any:
    """Loads a TorchScript network; the file's texts replace the values of the keys in `metadata`."""
    extra_files: dict[str, Any] = dict(metadata)
    with quiet_exporters():
        script = torch.jit.load(path, map_location="cpu", _extra_files=extra_files)  # type: ignore[no-untyped-call]
    metadata |= {key: text.decode() if isinstance(text, bytes) else text for key, text in extra_files.items()}
    return script


_READERS: dict[str, Callable[[Path], dict[str, str]]] = {
    ".onnx": _read_onnx_metadata,
    ".xml": _read_openvino_metadata,
    ".pt": _read_torchscript_metadata,
}
