"""The short help, flags as people know them from other programs, and what a log holds of several sources."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paths import STUB
from stub_networks import moving_clip
from tracker.cli.app import COMMANDS, app, main
from tracker.cli.usage import FAMILIAR, HELP, normalize_tokens
from tracker.config import DetectorConfig
from tracker.errors import InputError
from tracker.models.detection.factory import detector_class_ids, detector_info


def known_flags() -> set[str]:
    return {flag for argument in app.assemble_argument_collection() for flag in argument.names}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return int(end.value.code or 0), *capsys.readouterr()


@pytest.mark.parametrize("arguments", [("--help",), ("-h",)])
def test_the_help_is_short_and_its_flags_exist(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    assert run(capsys, *arguments) == (0, HELP, "")
    assert HELP.count("\n") < 40 and max(map(len, HELP.splitlines())) <= 120
    assert set(re.findall(r"--[a-z-]+", HELP)) <= known_flags() | {"--help", "--help-all"}


def test_the_help_names_all_commands() -> None:
    commands = HELP.partition("Commands: ")[2].partition(";")[0].split()
    assert sorted(commands) == sorted({name.partition(" ")[0] for name in COMMANDS})


def test_all_flags_are_in_the_long_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, output, _ = run(capsys, "--help-all")
    assert code == 0 and {"--rescore", "--link-gap", "--crf"} <= set(re.findall(r"--[a-z-]+", output))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a.mp4 -o t.csv", "a.mp4 --output t.csv"),
        ("a.mp4 --classes person car", "a.mp4 --classes person,car"),
        ("--classes person car a.mp4", "--classes person,car a.mp4"),
        ("a.mp4 --classes 0 2 --quiet", "a.mp4 --classes 0,2 --quiet"),
        ("--classes person 0", "--classes person 0"),  # a camera
        ("--classes person rtsp://host/a", "--classes person rtsp://host/a"),
        ("- --start 1:30 --end=1:02:03.5", "pipe:0 --start 90.0 --end 3723.5"),
        ("a.mp4 --start 90 --end soon", "a.mp4 --start 90 --end soon"),
    ],
)
def test_tokens_take_the_forms_of_the_parser(given: str, expected: str) -> None:
    assert normalize_tokens(given.split()) == expected.split()


def test_a_file_is_no_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("frames").mkdir()
    assert normalize_tokens(["--classes", "person", "frames"]) == ["--classes", "person", "frames"]


@pytest.mark.parametrize("flag", FAMILIAR)
def test_a_flag_of_another_program_is_answered(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    code, _, errors = run(capsys, "a.mp4", flag, "1")
    assert code == 2 and errors == f"track: {flag} is here {FAMILIAR[flag]}; see track --help\n"
    assert set(re.findall(r"--[a-z-]+", FAMILIAR[flag])) <= known_flags()


def test_classes_have_numbers() -> None:
    info = detector_info(DetectorConfig())
    assert detector_class_ids(("2", "person"), info) == (0, 2)
    with pytest.raises(InputError, match="unknown class '99'"):
        detector_class_ids(("99",), info)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="another kind of end")
def test_a_log_holds_the_results_of_what_ended_before_a_kill(tmp_path: Path) -> None:
    for name, frames in (("a", 8), ("b", 8), ("c", 3000)):
        moving_clip(tmp_path / f"{name}.mp4", frames)
    arguments = ("0", "0.02", "a.mp4", "b.mp4", "c.mp4", "--max-parallel", "1")
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, STUB, *arguments], cwd=tmp_path, stdout=file, stderr=file)
        try:
            deadline = time.monotonic() + 60
            while log.read_text().count("frames in") < 2 and time.monotonic() < deadline:
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
    lines = [line for line in log.read_text().splitlines() if "frames in" in line]
    assert all(f"{name}.mp4: 8 frames in" in line for name, line in zip("ab", lines, strict=True))
    assert all("tracks: " in line and f"tracked/{name}/" in line for name, line in zip("ab", lines, strict=True))


def test_the_short_help_waits_for_no_package() -> None:
    code = "import sys; sys.argv[1:] = ['--help']; from tracker.__main__ import main; main()"
    code = f"{code}; print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == HELP and not {"cyclopts", "pydantic", "rich", "numpy"} & set(done.stderr.split())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_the_short_help_that_cannot_be_written() -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run([sys.executable, "-m", "tracker", "-h"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "No space left" in result.stderr
