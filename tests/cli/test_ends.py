"""Terminals, disks and folders that fail, and what must never be shown."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from live_streams import serve_folder
from paths import STUB
from stub_networks import moving_clip

Result = tuple[int, str, str]

pytestmark = pytest.mark.usefixtures("working_folder", "stubbed")


def command(*arguments: object, delay: float = 0.0) -> list[str]:
    """Returns the command line of `track` with stub networks."""
    return [sys.executable, str(STUB), "0", str(delay), *map(str, arguments)]


# Secrets


def test_no_file_and_no_message_holds_a_password(track: Callable[..., Result], tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    moving_clip(shared / "film.mkv", 8, audio=0.8)
    with serve_folder(shared) as url:
        address = url.replace("//", "//me:secret/a@b:c@") + "/film.mkv?token=secret"
        wrong = address.replace("film", "gone")
        flags = "--all-tracks", "all.csv", "--detections", "{name}.csv", "--timeout", 5
        code, output, errors = track(address, wrong, *flags)
    assert code == 2 and "me:***@127.0.0.1" in output and "film.mkv?token=***" in output
    assert "track: 1 of 2 sources failed" in errors
    texts = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.name for path in texts} >= {"run.json", "tracks.csv", "video.mp4", "all.csv"}
    for text in (output.encode(), errors.encode(), *texts.values()):
        assert b"secret" not in text and b"a@b" not in text and b"a%40b" not in text


def test_names_do_not_steer_the_terminal(track: Callable[..., Result]) -> None:
    name = "film\x1b[2J\x9b31m.mp4"
    moving_clip(Path(name), 4)
    Path("text\x1b[2J.mp4").write_text("no video")
    code, output, errors = track(name, "text\x1b[2J.mp4")
    assert code == 2 and not re.search(r"[\x1b\x9b]", output + errors)
    assert r"film\x1b[2J\x9b31m.mp4" in output and r"text\x1b[2J.mp4" in errors


# Several videos


def test_crops_of_several_videos_go_on_after_an_error(track: Callable[..., Result]) -> None:
    Path("day").mkdir()
    for name in ("a.mp4", "c.mp4"):
        moving_clip(Path("day", name), 20)
    Path("day", "b.mp4").write_text("no video")
    code, output, errors = track("crops", "day", "--min-duration", 0.5)
    assert code == 2 and output.count("20 frames; tracks: ") == 2
    assert "track: day/b.mp4 is not a video" in errors and errors.endswith("track: 1 of 3 sources failed: day/b.mp4\n")
    assert {path.name for path in Path("crops").iterdir()} == {"a", "c"}
    code, _, errors = track("crops", "gone.mp4")
    assert code == 2 and errors == "track: there is no file or folder gone.mp4: check the name\n"


# Outputs


def test_links_as_outputs(track: Callable[..., Result]) -> None:
    moving_clip(Path("film.mp4"), 4)
    Path("mine.csv").write_text("mine")
    Path("soft.csv").symlink_to("mine.csv")
    Path("dangling.csv").symlink_to("nothing.csv")
    os.link("mine.csv", "hard.csv")
    for name in ("soft.csv", "dangling.csv", "hard.csv"):
        code, _, errors = track("film.mp4", "--output", name)
        assert code == 2 and f"the output {name} exists: give --overwrite or another name" in errors
        assert track("film.mp4", "--output", name, "--overwrite")[0] == 0
        assert not Path(name).is_symlink() and Path(name).read_text().startswith("frame,")
    assert Path("mine.csv").read_text() == "mine" and not Path("nothing.csv").exists()


def test_only_tables_go_into_a_pipe(track: Callable[..., Result]) -> None:
    moving_clip(Path("film.mp4"), 4)
    for name in ("pipe.mp4", "pipe.json"):
        os.mkfifo(name)
        code, _, errors = track("film.mp4", "--output", name, "--overwrite")
        assert code == 2 and "is a device or a pipe, into which only .csv and .txt can be written" in errors
        assert Path(name).is_fifo()


def test_a_file_that_comes_into_being_while_networks_are_loaded(
    track: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two runs that write to one path, only one gets it."""
    moving_clip(Path("film.mp4"), 4)
    from tracker.pipeline.file_run import FileRun

    open_writers = FileRun._open_writers

    def late(*arguments: object) -> object:
        Path("a.csv").write_text("mine")
        return open_writers(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(FileRun, "_open_writers", late)
    code, output, errors = track("film.mp4", "--output", "a.mp4,a.csv")
    assert (code, output) == (2, "") and "the output a.csv exists" in errors
    assert Path("a.csv").read_text() == "mine" and not Path("a.mp4").exists()


# Processes


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("arguments", [["film.mp4", "--output", "a.csv"], ["--help"]])
def test_standard_output_on_a_full_disk(arguments: list[str]) -> None:
    moving_clip(Path("film.mp4"), 6)
    with open("/dev/full", "w") as full:
        done = subprocess.run(command(*arguments), stdout=full, stderr=subprocess.PIPE, text=True)
    errors = done.stderr.removeprefix("loading\n")
    assert (done.returncode, errors) == (2, "track: cannot write to standard output: No space left on device\n")
    assert Path("a.csv").exists() == ("film.mp4" in arguments)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_standard_error_on_a_full_disk() -> None:
    moving_clip(Path("film.mp4"), 6)
    code = "import sys; from tracker.cli.app import main; main(sys.argv[1:])"
    with open("/dev/full", "w") as full:
        arguments = [sys.executable, "-c", code, "gone.mp4"]
        done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=full, text=True)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}],
)
def test_a_terminal_without_the_characters_of_a_name(environment: dict[str, str]) -> None:
    moving_clip(Path("größe.mp4"), 6)
    done = subprocess.run(
        command("größe.mp4", "güne.mp4", "--output", "{name}.csv"),
        capture_output=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 2 and len(list(Path().glob("gr*.csv"))) == 1
    assert b"Traceback" not in done.stderr and b"there is no file or folder g" in done.stderr
    assert b"6 frames in" in done.stdout and b"1 car; gr" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["film.mp4", "--output", "a.csv"], ["--help"]])
def test_the_reader_of_everything_is_gone(arguments: list[str]) -> None:
    """The streams of `track ... 2>&1 | true`."""
    moving_clip(Path("film.mp4"), 6)
    process = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert Path("a.csv").exists() == ("film.mp4" in arguments)


@pytest.mark.slow
def test_closed_streams() -> None:
    moving_clip(Path("film.mp4"), 6)
    line = " ".join(command("film.mp4", "--output", "a.csv", "--quiet"))
    assert subprocess.run(["bash", "-c", f"{line} >&- 2>&-"]).returncode == 0
    assert Path("a.csv").exists()


@pytest.mark.slow
@pytest.mark.parametrize("outputs", [[], ["--output", "tracked/a.mp4", "--offline"]])
def test_the_output_folder_is_removed_during_the_run(outputs: list[str]) -> None:
    moving_clip(Path("film.mp4"), 60)
    Path("tracked").mkdir()
    process = subprocess.Popen(command("film.mp4", *outputs, delay=0.05), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    latest = "*.mp4" if outputs else "summary.csv"  # the file that is opened after all others
    while not any(path.stat().st_size for path in Path("tracked").rglob(latest)) and time.monotonic() < deadline:
        time.sleep(0.05)
    shutil.rmtree("tracked")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.splitlines()[-1].endswith("it or its folder was removed, renamed or replaced")
    assert "Traceback" not in errors and [path.name for path in Path().iterdir()] == ["film.mp4"]
