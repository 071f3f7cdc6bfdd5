"""Runs that are killed, stopped or fail, and go on: the same bytes as of a run that nobody disturbs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.killed_runs import result_hashes, run_killed, run_whole
from paths import STUB
from run_monitors import CallbackMonitor
from stub_networks import moving_clip
from tracker import Config, InputError, track_to_files
from tracker.pipeline.resume import find_run
from tracker.structures.types import Frame

Result = tuple[int, str, str]

pytestmark = pytest.mark.usefixtures("working_folder", "stubbed")


def stop_after(path: str, frames: int, config: Config | None = None) -> None:
    """Tracks a file, and stops after so many frames."""
    seen: list[int] = []

    def on_frame(*_: object) -> bool:
        seen.append(1)
        return len(seen) < frames

    assert track_to_files(path, config or Config(), CallbackMonitor(on_frame)).stopped


def record(folder: str = "tracked/film") -> dict[str, object]:
    content: dict[str, object] = json.loads(Path(folder, "run.json").read_text())
    return content


@pytest.mark.parametrize("flags", [[], ["--offline"], ["--detect-every", "3"]])
def test_a_stopped_run_gives_the_bytes_of_a_whole_one(track: Callable[..., Result], flags: list[str]) -> None:
    from tracker.cli.options import DEFAULTS

    moving_clip(Path("film.mp4"), 130, audio=5)
    assert track("film.mp4", *flags)[0] == 0
    whole = result_hashes(Path())
    Path("tracked").rename("whole")
    config = DEFAULTS.model_copy(
        update={
            "tracker": DEFAULTS.tracker.model_copy(update={"offline": "--offline" in flags}),
            "detector": DEFAULTS.detector.model_copy(update={"detect_every": 3 if len(flags) == 2 else 1}),
        }
    )
    stop_after("film.mp4", 120, config)
    kept = Path("tracked/film/detections/part-00000000.parquet").stat()
    assert record()["status"] == "stopped"
    code, output, _ = track("--resume", "film.mp4")
    assert code == 0 and "were kept from before" in output and record()["status"] == "finished"
    assert result_hashes(Path()) == whole
    assert Path("tracked/film/detections/part-00000000.parquet").stat().st_ino == kept.st_ino
    code, output, _ = track("--resume", "tracked/film")
    assert (code, output) == (0, "tracked/film is finished: nothing is left to do\n")


def test_several_sources_are_resumed_by_their_folders(track: Callable[..., Result]) -> None:
    for name in ("film", "other"):
        moving_clip(Path(f"{name}.mp4"), 40)
    assert track("film.mp4", "other.mp4")[0] == 0
    whole = result_hashes(Path())
    Path("tracked").rename("whole")
    stop_after("film.mp4", 30)
    assert track("--resume", "tracked/film", "other.mp4")[0] == 0  # the other one was never begun
    assert result_hashes(Path()) == whole


def test_what_changed_is_not_resumed(track: Callable[..., Result]) -> None:
    moving_clip(Path("film.mp4"), 30)
    stop_after("film.mp4", 20)
    code, _, errors = track("--resume", "film.mp4", "--score", 0.3)
    assert code == 2 and "goes on with the settings that it was begun with" in errors
    moving_clip(Path("film.mp4"), 31)
    before = result_hashes(Path())
    code, _, errors = track("--resume", "film.mp4")
    assert code == 2 and "film.mp4 changed since tracked/film was begun" in errors
    assert result_hashes(Path()) == before and record()["status"] == "stopped"


def test_a_run_over_part_of_a_store_that_is_broken(track: Callable[..., Result]) -> None:
    moving_clip(Path("film.mp4"), 30)
    stop_after("film.mp4", 20)
    Path("tracked/film/detections/part-00000000.parquet").write_bytes(b"broken")
    code, _, errors = track("--resume", "film.mp4")
    assert code == 2 and "part-00000000.parquet cannot be read" in errors
    Path("tracked/film/detections/part-00000000.parquet").unlink()
    assert track("--resume", "film.mp4")[0] == 0


def test_a_failed_run_says_why(stubbed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    moving_clip(Path("film.mp4"), 30)

    def fail(*_: object) -> bool:
        raise InputError("the disk is full")

    with pytest.raises(InputError, match="the disk is full"):
        track_to_files("film.mp4", Config(), CallbackMonitor(fail))
    assert (record()["status"], record()["end"], record()["reason"]) == ("failed", "failed", "the disk is full")
    run = find_run("film.mp4")
    assert run is not None and run.folder == Path("tracked/film")


def test_the_record_is_the_first_file(stubbed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracker.pipeline.networks

    moving_clip(Path("film.mp4"), 5)
    load = tracker.pipeline.networks.load_detector
    seen: list[object] = []

    def load_later(config: object) -> object:
        seen.append((record()["status"], sorted(path.name for path in Path("tracked/film").iterdir())))
        return load(config)  # type: ignore[arg-type]

    monkeypatch.setattr(tracker.pipeline.networks, "load_detector", load_later)
    track_to_files("film.mp4", Config())
    assert seen == [("running", [".lock", "run.json"])]
    assert not Path("tracked/film/.lock").exists() and record()["status"] == "finished"


def test_without_a_store_a_run_starts_over(track: Callable[..., Result]) -> None:
    moving_clip(Path("film.mp4"), 30)
    output = Config().output.model_copy(update={"store": False})
    stop_after("film.mp4", 20, Config().model_copy(update={"output": output}))
    assert not Path("tracked/film/detections").exists()
    code, text, _ = track("--resume", "film.mp4")
    assert code == 0 and "kept" not in text and record()["frames"] == 30


def test_a_truncated_file_is_no_success(track: Callable[..., Result]) -> None:
    moving_clip(Path("film.mkv"), 60)
    Path("cut.mkv").write_bytes(Path("film.mkv").read_bytes()[: Path("film.mkv").stat().st_size // 2])
    assert track("cut.mkv")[0] == 2
    content = record("tracked/cut")
    assert (content["status"], content["end"]) == ("finished", "truncated")


class PowerCut:
    """A disk that has only what it was waited for (`os.fsync`): the content of files, and the names in folders."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._content: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._held: list[int] = []  # so that no other file gets the number of one that is removed
        self.is_over = False
        monkeypatch.setattr(os, "fsync", self._sync)

    def _sync(self, descriptor: int) -> None:
        if self.is_over:
            return
        self._held.append(os.dup(descriptor))
        path, node = Path(os.readlink(f"/proc/self/fd/{descriptor}")), os.fstat(descriptor).st_ino
        if path.is_dir():
            self._names[node] = {entry.name: entry.inode() for entry in os.scandir(path)}
        else:
            self._content[node] = path.read_bytes()

    def close(self) -> None:
        for descriptor in self._held:
            os.close(descriptor)

    def restore(self, folder: Path, target: Path) -> None:
        """Makes a folder of what the disk has of another one."""
        target.mkdir()
        for name, node in self._names[folder.stat().st_ino].items():
            if node in self._content:
                (target / name).write_bytes(self._content[node])
            elif node in self._names:
                self.restore(folder / name, target / name)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the names of open files from /proc")
def test_a_power_cut_takes_no_more_than_the_last_part(
    track: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    moving_clip(Path("film.mp4"), 230)
    assert track("film.mp4")[0] == 0
    whole = result_hashes(Path())
    Path("tracked").rename("whole")
    with monkeypatch.context() as patch:
        disk = PowerCut(patch)

        def on_frame(source: object, frame: Frame, tracks: object) -> bool:
            disk.is_over |= frame.index == 220
            return frame.index < 225

        track_to_files("film.mp4", Config(), CallbackMonitor(on_frame))
    Path("tracked").rename("cut")
    disk.restore(Path("cut"), Path("tracked"))
    disk.close()
    found = sorted(str(path.relative_to("tracked/film")) for path in Path("tracked").rglob("*") if path.is_file())
    assert found == ["detections/part-00000000.parquet", "detections/part-00000010.parquet", "run.json"]
    assert record()["status"] == "running"
    code, output, errors = track("--resume", "film.mp4")
    assert code == 0 and "200 " in output, errors
    assert result_hashes(Path()) == whole


# Processes


def command(*arguments: object, delay: float = 0.0) -> list[str]:
    """Returns the command line of `track` with stub networks."""
    return [sys.executable, str(STUB), "0", str(delay), *map(str, arguments)]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("arguments", [["film.mp4"], ["film.mp4", "other.mp4", "--offline"]])
def test_killed_runs_give_the_bytes_of_a_whole_one(tmp_path: Path, arguments: list[str]) -> None:
    folders = [tmp_path / "whole", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
        moving_clip(folder / "film.mp4", 150, audio=3)
        moving_clip(folder / "other.mp4", 120)
    line = command(*arguments, delay=0.01)
    seconds = run_whole(line, folders[0])
    kills = run_killed(line, folders[1], 3, seconds, result_hashes(folders[0]))
    assert len(kills.delays) == 3 and kills.finished


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "winners"),
    [(["--overwrite"], 1), (["--output", "a.mp4,a.csv"], 1), (["--output", "a.mp4", "--overwrite"], 1)],
)
def test_four_runs_into_one_name(flags: list[str], winners: int) -> None:
    moving_clip(Path("film.mp4"), 120)
    line = command("film.mp4", *flags, delay=0.05)
    processes = [subprocess.Popen(line, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 2, 2, 2], errors
    for code, error in zip(codes, errors, strict=True):
        assert code == 0 or "is writing to" in error or "exists: give --overwrite" in error
    assert not list(Path().rglob(".*"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_a_signal_in_a_run_leaves_it_stopped() -> None:
    moving_clip(Path("film.mp4"), 600)
    process = subprocess.Popen(command("film.mp4", delay=0.02), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    table = Path("tracked/film/tracks.csv")
    while not (table.exists() and table.read_text().count("\n") > 4) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert (record()["status"], record()["end"]) == ("stopped", "stopped")
