"""Checkpoints of a training: written whole beside the old ones, and found again after a crash or on a full disk."""

import errno
import io
import logging
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from tracker.data.files import create_temporary, remove_file
from tracker.errors import InputError

log = logging.getLogger(__name__)

BEST_CHECKPOINT, LAST_CHECKPOINT, PREVIOUS_CHECKPOINT = "best.ckpt", "last.ckpt", "previous.ckpt"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a full disk, a used up quota, a limit to the size of files


class CheckpointFiles(TorchCheckpointIO):
    """Lightning's reading and writing of checkpoints, by which a checkpoint is whole or not there at all.

    A new one is written beside the old one and takes its name when it is on the disk. That of the last step then
    becomes `PREVIOUS_CHECKPOINT`, which is given up if the disk is full.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes a checkpoint.

        Raises:
            InputError: It cannot be written; the old one under its name is as it was.
        """
        target = Path(path)
        content = io.BytesIO()
        torch.save(checkpoint, content)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary = _write_beside(target, content.getbuffer())
            except OSError as error:
                previous = target.with_name(PREVIOUS_CHECKPOINT)
                if error.errno not in _FULL or not previous.exists():
                    raise
                previous.unlink()
                temporary = _write_beside(target, content.getbuffer())
            if target.name == LAST_CHECKPOINT and target.exists():
                os.replace(target, target.with_name(PREVIOUS_CHECKPOINT))
            os.replace(temporary, target)
        except OSError as error:
            raise InputError(_describe(target, error)) from None


def find_checkpoint(folder: Path) -> Path:
    """Returns the newest checkpoint of a training that can be read: the last one, the one before, or the best one.

    Raises:
        InputError: There is none.
    """
    files = [folder / name for name in (LAST_CHECKPOINT, PREVIOUS_CHECKPOINT, BEST_CHECKPOINT)]
    existing = [file for file in files if file.is_file()]
    if not existing:
        raise InputError(f"there is nothing to resume: no checkpoint {files[0]}")
    for file in existing:
        if _is_whole(file):
            if file != files[0]:
                state = "is broken" if files[0] in existing else "is missing"
                log.warning("%s %s: the training continues from %s", files[0], state, file.name)
            return file
    raise InputError(f"the checkpoints in {folder} are broken ({', '.join(f.name for f in existing)}): train anew")


@contextmanager
def explain_full_disk(folder: Path) -> Iterator[None]:
    """Turns the error of a disk that is full while the folder of a training is written into an InputError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise InputError(_describe(folder, error)) from None


def _write_beside(target: Path, content: memoryview) -> Path:
    """Writes a file with a random name in the folder of another one; returns its path."""
    temporary = create_temporary(target)
    try:
        with temporary.open("r+b") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        remove_file(temporary)
        raise
    return temporary


def _is_whole(file: Path) -> bool:
    """Checks the checksums of a checkpoint, which PyTorch itself does not."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError):
        return False


def _describe(path: Path, error: OSError) -> str:
    folder = path if path.is_dir() else path.parent
    has_checkpoint = any((folder / name).exists() for name in (LAST_CHECKPOINT, PREVIOUS_CHECKPOINT, BEST_CHECKPOINT))
    advice = "continue with --resume: the checkpoints are as they were" if has_checkpoint else "start again"
    return f"cannot write {path}: {error.strerror or error}; make room, and {advice}"
