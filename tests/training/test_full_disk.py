"""A training on a disk that becomes full ends with one sentence, keeps its checkpoint, and resumes to equal weights."""

import errno
import logging
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import torch
import yaml

from small_trainings import SMALL_TRAINING, small_training
from tracker.config import DetectorTrainingConfig
from tracker.errors import InputError
from tracker.training.checkpoint_files import CheckpointFiles, explain_full_disk, find_checkpoint
from tracker.training.detector import train
from tracker.training.trainer import open_run_folder

CONTENT = {"global_step": 3, "state_dict": {"a": torch.arange(1000.0)}}


def save(path: Path, step: int) -> None:
    CheckpointFiles().save_checkpoint({**CONTENT, "global_step": step}, path)


def step_of(path: Path) -> int:
    return int(torch.load(path, weights_only=True)["global_step"])


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes each write of a checkpoint fail whose end is written while the list says so."""
    states: list[str] = []
    sync = os.fsync

    def fail(descriptor: int) -> None:
        if states and states.pop(0) == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    return states


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(tmp_path: Path, full: list[str]) -> None:
    last = tmp_path / "last.ckpt"
    save(last, 1)
    full[:] = ["full"]
    with pytest.raises(InputError, match=r"cannot write .*last\.ckpt: No space left on device; .* --resume: the"):
        save(last, 2)
    assert step_of(last) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_the_checkpoint_before_the_last_one_is_kept_and_given_up_for_a_new_one(tmp_path: Path, full: list[str]) -> None:
    last, previous = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    for step in (1, 2):
        save(last, step)
    assert (step_of(last), step_of(previous)) == (2, 1)
    full[:] = ["full", "empty"]
    save(last, 3)
    assert (step_of(last), step_of(previous)) == (3, 2)


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "missing"])
def test_a_training_resumes_from_the_checkpoint_before_a_broken_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    last = tmp_path / "last.ckpt"
    for step in (1, 2):
        save(last, step)
    content = bytearray(last.read_bytes())
    middle = len(content) // 2
    content[middle] ^= 1  # of an array, which PyTorch would load
    if damage == "missing":
        last.unlink()
    else:
        last.write_bytes({"cut": content[:middle], "changed": content, "empty": b""}[damage])
    with caplog.at_level(logging.WARNING):
        assert open_run_folder(tmp_path, resume=True) == tmp_path / "previous.ckpt"
    assert "the training continues from previous.ckpt" in caplog.text


def test_broken_checkpoints_alone_are_no_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to resume"):
        find_checkpoint(tmp_path)
    (tmp_path / "last.ckpt").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"the checkpoints in .* are broken \(last\.ckpt\)"):
        find_checkpoint(tmp_path)


def test_other_errors_of_a_disk_are_not_told_as_a_full_one(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), explain_full_disk(tmp_path):
        raise PermissionError(errno.EACCES, "denied")


# --- a whole training ---


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory, which holds one checkpoint of a small training and a half."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounted = shutil.which("mount") and not subprocess.run(command, capture_output=True, check=False).returncode
    if not mounted:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def resize(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def run_training(config: DetectorTrainingConfig, file: Path, *arguments: str, **options: object) -> tuple[int, str]:
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    command = [sys.executable, "-W", "ignore", "-m", "tracker", "train", "detector", str(file), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    return ended.returncode, ended.stderr


def assert_same_weights(a: Path, b: Path) -> None:
    expected, resumed = (torch.load(path / "last.ckpt", weights_only=True) for path in (a, b))
    assert resumed["global_step"] == expected["global_step"]
    for name, value in expected["state_dict"].items():
        assert torch.equal(resumed["state_dict"][name], value), name


@pytest.fixture(scope="module", autouse=True)
def no_artifacts() -> Iterator[None]:
    """Skips the evaluation and the model card at the end of a training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "write_artifacts", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def uninterrupted(no_artifacts: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that has all the room it needs."""
    root = tmp_path_factory.mktemp("uninterrupted")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as those that it is compared with: two threads may add numbers in another order
    train.train_detector(training(root))
    torch.set_num_threads(threads)
    return root / "run"


def training(root: Path) -> DetectorTrainingConfig:
    return small_training(root, steps=4, checkpoint_every=2, validate_every=4, ema_decay=0.9)


class TestWholeTraining:
    pytestmark: ClassVar = [*SMALL_TRAINING, pytest.mark.slow]

    def test_on_a_full_disk(self, tmp_path: Path, small_disk: Path, uninterrupted: Path) -> None:
        checkpoint = (uninterrupted / "last.ckpt").stat().st_size
        resize(small_disk, int(1.6 * checkpoint))
        config = training(tmp_path).model_copy(update={"folder": str(small_disk / "run")})
        code, error = run_training(config, tmp_path / "config.yaml")
        assert code == 2 and "Traceback" not in error, error
        told = [line for line in error.splitlines() if line.startswith("track: ")]
        assert len(told) == 1 and "No space left on device" in told[0] and "--resume" in told[0]
        assert step_of(small_disk / "run" / "last.ckpt") == 2
        assert not list((small_disk / "run").glob(".*"))
        resize(small_disk, 20 * checkpoint)
        train.train_detector(config, resume=True)
        assert_same_weights(uninterrupted, small_disk / "run")

    @pytest.mark.long
    def test_with_a_limit_to_the_size_of_files(self, tmp_path: Path, uninterrupted: Path) -> None:
        checkpoint = (uninterrupted / "last.ckpt").stat().st_size

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (checkpoint // 2, checkpoint // 2))

        config = training(tmp_path)
        code, error = run_training(config, tmp_path / "config.yaml", preexec_fn=limit)
        assert code == 2 and "Traceback" not in error, error
        assert "File too large; make room, and start again" in error
        assert not list((tmp_path / "run").glob("*.ckpt"))
        train.train_detector(config)
        assert_same_weights(uninterrupted, tmp_path / "run")
