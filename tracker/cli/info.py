"""`track models` and `track info`: what there is to choose from, and what this machine has."""

import os
from importlib.util import find_spec

from tracker.cli.console import say
from tracker.cli.options import CommandApp
from tracker.models.model_file import load_model
from tracker.pipeline.run_record import versions

models_app = CommandApp(name="models")
info_app = CommandApp(name="info")


@models_app.default
def models() -> int:
    """Prints the values of `--model`, `--embedder`, and `network.architecture` and `network.backbone` in training."""
    from tracker.models.detection import BUILTIN as BUILTIN_DETECTOR
    from tracker.models.reid import BUILTIN as BUILTIN_EMBEDDER

    for flag, path in (("--model", BUILTIN_DETECTOR), ("--embedder", BUILTIN_EMBEDDER)):
        _, info = load_model(path)
        say(f"{flag} builtin ({path.stat().st_size / 1e6:.1f} MB): {', '.join(info.categories)}")
        say(f"    license: {info.license}")
        say(f"    trained on: {info.provenance}")
    say("--embedder none: motion alone")
    if find_spec("torch") is None:
        say("all other networks need PyTorch: pip install torch torchvision")
        return 0
    from tracker.models.detection import backbone_names, detector_names, torchvision_names

    for name in torchvision_names():
        say(f"--model {name} --weights coco: COCO's 80 classes, downloaded once by torchvision, BSD-3-Clause")
    say("--weights and --embedder also take the files of `track train`: model.safetensors, or a detector's best.ckpt.")
    say(f"network.architecture in `track train detector`: {', '.join(detector_names())}")
    say(f"network.backbone of fasterrcnn_fpn and maskrcnn_fpn: {', '.join(backbone_names())}")
    return 0


@info_app.default
def info() -> int:
    """Prints versions, devices and codecs."""
    import av

    for name, version in versions().items():
        say(f"{name}: {version}")
    say(f"devices: {', '.join(['cpu', *_gpus()])}; {os.cpu_count()} CPU cores")
    libraries = [f"{name} {'.'.join(map(str, number))}" for name, number in sorted(av.library_versions.items())]
    say(f"FFmpeg libraries: {', '.join(libraries)}")
    wanted = ("h264", "hevc", "av1", "vp9", "mpeg4", "mjpeg", "gif", "prores")
    say(f"decoders: {', '.join(name for name in wanted if name in av.codecs_available)}")
    say(f"encoder libx264: {'yes' if 'libx264' in av.codecs_available else 'no'}")
    return 0


def _gpus() -> list[str]:
    """Returns the devices that PyTorch sees beside the CPU; none without PyTorch."""
    if find_spec("torch") is None:
        return []
    import torch

    devices = [f"cuda:{n} {torch.cuda.get_device_name(n)}" for n in range(torch.cuda.device_count())]
    return devices + (["mps"] if torch.backends.mps.is_available() else [])
