"""The `track` command: its flags, its output, its errors, its files, and signals."""

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

import tracker.cli.options
import tracker.config
from full_disks import make_full_device
from paths import REPOSITORY, STUB
from stub_networks import moving_clip
from tracker.cli.app import main
from tracker.cli.options import load_settings
from tracker.config import (
    Config,
    DetectorTrainingConfig,
    EmbedderTrainingConfig,
    load_config,
    read_yaml,
    validate_section,
)
from tracker.output.mp4_index import boxes_of_file
from tracker.tracking import DeepSort
from tracker.tracking.offline import OfflineTracker
from video_clips import write_clip, write_tone

Result = tuple[int, str, str]

TABLES = ["tracks.csv", "tracks.parquet", "tracks_summary.parquet", "summary.csv"]
FILES = {"video.mp4", *TABLES, "run.json", "detections", "detections/part-00000000.parquet"}


@pytest.fixture
def parse_settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """Returns the config that a command line stands for."""
    configs: list[Config] = []

    def load_only(*arguments: Any) -> Config:
        configs.append(load_settings(*arguments))
        raise SystemExit(0)

    monkeypatch.setattr(tracker.cli.options, "load_settings", load_only)

    def settings(*arguments: object) -> Config:
        with pytest.raises(SystemExit) as end:
            main(["film.mp4", *map(str, arguments)])
        assert end.value.code == 0
        return configs.pop()

    return settings


def list_paths(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# Settings


@pytest.mark.smoke
def test_an_empty_command_line_is_the_default(parse_settings: Callable[..., Config]) -> None:
    assert parse_settings() == Config()


ZONES = '{"ignore": {"a": [[0, 0], [1, 0], [1, 1]]}}'
"""Regions of interest as a record keeps them; a file would be read at once."""
SPECIAL = {"roi": ZONES, "max_objects": "dog=1", "exactly": "person=2,cat=3"}
"""Values of settings whose texts have a form of their own."""


def another_value(field: Any) -> Any:
    """Returns a valid value of a field other than its default."""
    default = field.default
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default + 1
    if default is None:
        return True if "bool" in str(field.annotation) else 7  # an optional number
    if isinstance(default, float | Fraction):
        return 7.5 if default > 2 else 0.75 if default != 0.75 else 0.5
    # Texts that are valid for fields of all kinds but durations, and for those.
    text = "2h" if "_check_duration" in str(field.metadata) else "2026-05-24T08:00:10"
    text = "3d" if "_check_limit" in str(field.metadata) else text
    choices = re.findall(r"'(\w+)'", str(field.annotation)) if "Literal" in str(field.annotation) else [text]
    if isinstance(default, dict):
        return default  # of a YAML file only
    choice = next((choice for choice in choices if choice != default), 7)  # auto, or a number
    return (choice,) if isinstance(default, tuple) else choice


@pytest.mark.smoke
def test_every_setting_has_a_flag(parse_settings: Callable[..., Config]) -> None:
    flags: list[str] = []
    expected: dict[str, dict[str, Any]] = {}
    for section, field in Config.model_fields.items():
        for key, setting in field.annotation.model_fields.items():  # type: ignore[union-attr]
            value = SPECIAL.get(key) or another_value(setting)
            expected.setdefault(section, {})[key] = value
            flag = ("--no-" if value is False else "--") + key.replace("_", "-")
            if not isinstance(value, dict):
                flags += [flag] if isinstance(value, bool) else [flag, value[0] if isinstance(value, tuple) else value]
    assert parse_settings(*flags) == Config.model_validate(expected)


@pytest.mark.smoke
def test_flags_take_precedence_over_the_file(parse_settings: Callable[..., Config], tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("detector: {score: 0.3, batch_size: 2, classes: [cat]}\noutput: {show: true}\n")
    config = parse_settings("--config", path, "--score", 0.7, "--no-show", "--max-age", 3)
    assert config == Config.model_validate(
        {"detector": {"score": 0.7, "batch_size": 2, "classes": ["cat"]}, "tracker": {"max_age": 3}}
    )
    assert parse_settings("--config", path).output.show
    assert parse_settings("--config", path, "--score", 0.5).detector.score == 0.5  # also with the default


@pytest.mark.parametrize(
    "flags", [["--classes", "person,car"], ["--classes", "person", "--classes", "car"], ["--classes", " person, car,"]]
)
def test_two_ways_to_name_classes(parse_settings: Callable[..., Config], flags: list[str]) -> None:
    assert parse_settings(*flags).detector.classes == ("person", "car")


def test_the_config_of_a_record_is_a_config(tmp_path: Path) -> None:
    from tracker.pipeline.run_record import config_to_json

    config = Config.model_validate({"detector": {"classes": ["car"]}, "source": {"start": 1}})
    text = json.dumps(config_to_json(config), allow_nan=False)
    (tmp_path / "config.yaml").write_text(text)
    assert load_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.yaml")), ids=lambda path: path.name)
@pytest.mark.smoke
def test_every_shipped_config_loads(path: Path) -> None:
    kinds = {"detector": DetectorTrainingConfig, "embedder": EmbedderTrainingConfig}
    kind = kinds.get(path.name.split("_")[0], Config)
    assert validate_section(kind, read_yaml(path), str(path)) != kind()
    assert path.read_text().startswith("#"), "it begins with a comment on its purpose"


def test_training_settings_are_those_of_the_file_and_the_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    # Not by setattr, which would import the original and so need lightning.
    monkeypatch.setitem(vars(tracker), "train_embedder", lambda *arguments: calls.append(arguments) or "model")
    path = REPOSITORY / "configs" / "embedder_builtin.yaml"
    with pytest.raises(SystemExit) as end:
        main(["train", "embedder", str(path), "--steps", "7", "--size", "64", "32", "--resume"])
    assert end.value.code == 0
    expected = validate_section(EmbedderTrainingConfig, {**read_yaml(path), "steps": 7, "size": (64, 32)}, "")
    assert calls == [(expected, True)]


# Bad input: exit code 2, one sentence, no files


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "SOURCES requires an argument"),
        ("gone.mp4", "there is no file or folder gone.mp4"),
        ("text.mp4", "text.mp4 is not a video"),
        ("empty.mp4", "empty.mp4 is empty"),
        ("sound.mp4", "no video in it"),
        ("no_frames.mp4", "no_frames.mp4"),
        ("folder", "has no images"),
        ("97", "camera 97"),
        ("/dev/video97", "camera /dev/video97"),
        ("http://127.0.0.1:9/film.mp4", "cannot open http://127.0.0.1:9/film.mp4"),
        ("ftp://host/film.mp4", "URLs that begin with ftp://"),
        ("retrack detections.csv other.csv", "unexpected 'other.csv'"),
        ("film.mp4 --scor 0.3", "Unknown option: --scor. Did you mean --score"),
        ("film.mp4 --score high", "--score high: Input should be a valid number"),
        ("film.mp4 --score 2", "--score 2: Input should be less than or equal to 1"),
        ("film.mp4 --fps 1/0", "--fps 1/0: give frames per second, such as 25, 29.97 or 30000/1001"),
        ("film.mp4 --stream 1", "film.mp4 has no video stream 1"),
        ("film.mp4 --start -1", "--start -1: Input should be greater than or equal to 0"),
        ("film.mp4 --threads -1", "--threads -1"),
        ("film.mp4 --precision double", "--precision double"),
        ("film.mp4 --score", "--score requires an argument"),
        ("film.mp4 --start 2 --end 1", "the end, 1 s, is not after the start, 2 s"),
        ("film.mp4 --start 99", "beyond the end of film.mp4"),
        ("film.mp4 --config gone.yaml", "there is no file gone.yaml: check the name"),
        ("film.mp4 --config typo.yaml", "unknown key 'detector.scor' (did you mean 'score'?)"),
        ("film.mp4 --config type.yaml", "detector.score = 'high'"),
        ("film.mp4 --config text.mp4", "must hold sections"),
        ("film.mp4 --model fasterrcnn_resnet50_fp", "did you mean 'fasterrcnn_resnet50_fpn'?"),
        ("film.mp4 --classes person,catt", "unknown class 'catt' (did you mean 'cat'?)"),
        ("film.mp4 film.mp4 --classes person,catt", "unknown class 'catt' (did you mean 'cat'?)"),
        ("film.mp4 --weights coco", "builtin has no weights 'coco'"),
        ("film.mp4 --weights gone.safetensors", "gone.safetensors"),
        ("film.mp4 --weights text.safetensors", "text.safetensors is not a readable"),
        ("film.mp4 --weights cut.safetensors", "cut.safetensors is not a readable"),
        ("film.mp4 --embedder cut.safetensors", "cut.safetensors is not a readable"),
        ("film.mp4 --embedder bultin", "did you mean 'builtin'?"),
        ("film.mp4 --device gpu", "unknown device 'gpu'"),
        ("film.mp4 --device cuda:99", "no device 'cuda:99'"),
        ("film.mp4 --output film.avi", "must end with .mp4"),
        ("film.mp4 --output gone/tracks.csv", "there is no folder gone"),
        ("film.mp4 --output folder", "is a folder"),
        ("film.mp4 --output old.csv", "old.csv exists: give --overwrite"),
        ("film.mp4 --output film.mp4 --overwrite", "film.mp4 is the source itself"),
        ("film.mp4 --output a.csv,a.csv", "same name"),
        ("train detektor", 'Did you mean "detector"?'),
        ("train detector", "training needs images"),
        ("train detector gone.yaml", "gone.yaml"),
        ("train embedder --steps 0", "--steps 0"),
        ("train embedder --step 3", "see track train embedder --help"),
        ("live", "track: SOURCES requires an argument; see track live --help"),
    ],
)
@pytest.mark.smoke
def test_bad_input_gets_one_sentence(track: Callable[..., Result], bad: Path, arguments: str, message: str) -> None:
    before = list_paths(bad)
    code, output, errors = track(*arguments.split())
    assert (code, output) == (2, "")
    assert errors.startswith("track: ") and errors.count("\n") == 1 and len(errors) < 500
    assert message in errors
    assert list_paths(bad) == before
    assert (bad / "old.csv").read_text() == "mine"


def test_file_name_that_begins_with_a_dash(track: Callable[..., Result], bad: Path) -> None:
    (bad / "film.mp4").rename(bad / "-film.mp4")
    code, _, errors = track("-film.mp4")
    assert code == 2 and "give the file as ./-film.mp4" in errors


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Returns the contents of files that are given by mistake, by name."""
    folder = tmp_path_factory.mktemp("bad")
    film = write_clip(folder / "film.mp4", 12).read_bytes()
    with av.open(str(folder / "sound.mp4"), "w") as container:
        write_tone(container, container.add_stream("aac", rate=44100), 0.5)
    with av.open(str(folder / "no_frames.mp4"), "w", options={"movflags": "empty_moov"}) as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    weights = (Path(tracker.__file__).parent / "models" / "reid" / "weights" / "builtin.safetensors").read_bytes()
    return {
        "film.mp4": film,
        "sound.mp4": (folder / "sound.mp4").read_bytes(),
        "no_frames.mp4": (folder / "no_frames.mp4").read_bytes(),
        "text.mp4": b"This is no video.\n" * 100,
        "text.safetensors": b"This is no model.\n" * 100,
        "cut.safetensors": weights[: len(weights) // 2],
        "empty.mp4": b"",
        "old.csv": b"mine",
        "typo.yaml": b"detector:\n  scor: 0.3\n",
        "type.yaml": b"detector:\n  score: high\n",
    }


@pytest.fixture
def bad(working_folder: Path, bad_files: dict[str, bytes]) -> Path:
    for name, data in bad_files.items():
        (working_folder / name).write_bytes(data)
    (working_folder / "folder").mkdir()
    return working_folder


def test_a_download_that_fails(track: Callable[..., Result], bad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def refuse(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    code, _, errors = track("film.mp4", "--model", "fasterrcnn_resnet50_fpn_v2", "--weights", "coco")
    assert code == 2 and errors.count("\n") == 1
    assert "cannot download https://" in errors and "put the file at" in errors
    assert not Path("tracked").exists()


def test_a_server_that_does_not_answer(track: Callable[..., Result]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"rtsp://127.0.0.1:{server.getsockname()[1]}/film"
        start_time = time.monotonic()
        code, _, errors = track(address, "--timeout", 0.5)
    assert code == 2 and errors.count("\n") == 1 and "did not answer within 0.5 s" in errors
    assert time.monotonic() - start_time < 5


@pytest.mark.parametrize("first", ["first.mp4", "first.csv", None])
def test_a_full_disk(track: Callable[..., Result], bad: Path, stubbed: None, first: str | None) -> None:
    make_full_device(Path("full.csv"))
    before = list_paths(bad)
    outputs = f"{first},full.csv" if first else "full.csv"
    code, output, errors = track("film.mp4", "--output", outputs, "--overwrite")
    assert (code, output) == (2, "") and "full.csv: No space left on device" in errors
    assert list_paths(bad) == before


def test_a_window_without_a_screen(track: Callable[..., Result], bad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if sys.platform != "linux":
        pytest.skip("other systems always have a screen")
    code, _, errors = track("film.mp4", "--show")
    assert (code, errors) == (2, "track: --show needs a screen, and there is none here: leave it out\n")


def test_a_bug_keeps_its_traceback(bad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracker.pipeline.networks

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(tracker.pipeline.networks, "load_detector", broken)
    with pytest.raises(ZeroDivisionError):
        main(["film.mp4"])
    assert not Path("tracked").exists()


# A run


@pytest.mark.smoke
def test_files_and_output_of_a_run(track: Callable[..., Result], stubbed: None) -> None:
    moving_clip(Path("film.mp4"))
    code, output, errors = track("film.mp4")
    assert (code, errors) == (0, "loading\n")  # printed by the stub
    lines = output.splitlines()
    assert re.fullmatch(r"30 frames in \d+\.\d s \(\d+\.\d frames/s\)", lines[0])
    assert lines[1] in ("tracks: 1 person, 1 car", "tracks: 1 car, 1 person")
    assert lines[2].split() == ["id", "class", "from", "s", "to", "s", "seconds", "frames"]
    ids, classes, *times = zip(*(line.split() for line in lines[3:5]), strict=True)
    assert ids == ("1", "2") and set(classes) == {"person", "car"}
    assert times == [("0.10",) * 2, ("2.90",) * 2, ("2.80",) * 2, ("29",) * 2]
    assert lines[5:] == [f"wrote tracked/film/{name}" for name in ("video.mp4", *TABLES, "run.json")]
    assert list_paths(Path("tracked/film")) == FILES


@pytest.mark.smoke
def test_the_record_of_a_run(track: Callable[..., Result], stubbed: None) -> None:
    moving_clip(Path("film.mp4"))
    assert track("film.mp4", "--max-age", 3)[0] == 0
    record = json.loads(Path("tracked/film/run.json").read_text())
    assert record["source"]["name"] == "film.mp4" and record["source"]["frame_rate"] == "10"
    assert (record["source"]["width"], record["source"]["height"]) == (160, 120)
    assert record["frames"] == 30 and record["tracks"] == {"person": 1, "car": 1}
    assert (record["status"], record["end"]) == ("finished", "complete")
    assert Config.model_validate(record["config"]) == Config.model_validate({"tracker": {"max_age": 3}})
    assert record["versions"]["tracker"] == tracker.__version__ and record["versions"]["av"] == av.__version__
    assert all(len(weights["sha256"]) == 64 for weights in record["weights"].values())
    assert set(record["stage_s"]) == {"decode", "detect", "embed", "associate", "write"}
    assert {name: queue["size"] for name, queue in record["queues"].items()} == {"read": 4, "analyze": 1, "write": 4}
    assert all(0 <= queue["mean"] <= queue["highest"] <= queue["size"] for queue in record["queues"].values())


def test_quiet_prints_nothing(track: Callable[..., Result], stubbed: None) -> None:
    moving_clip(Path("film.mp4"), 6)
    assert track("film.mp4", "--quiet") == (0, "", "loading\n")
    assert track("gone.mp4", "--quiet")[2].startswith("track: there is no file")


@pytest.mark.smoke
def test_unusual_file_names(track: Callable[..., Result], stubbed: None, tmp_path: Path) -> None:
    folder = tmp_path / "a b" / "größe"
    folder.mkdir(parents=True)
    clip = moving_clip(folder / "my film ü.mp4", 6).rename(folder / "my film: 100% ü.mp4")
    assert track(clip)[0] == 0  # absolute, from another folder
    folders = [path.name for path in Path("tracked").iterdir()]
    assert folders == ["my_film_100_ü"]
    result = folder / "result of [it].csv"
    assert track(os.path.relpath(clip), "--output", result)[1].endswith(f"wrote {result}\n")
    Path("demo").write_bytes(clip.read_bytes())
    assert track("./demo", "--output", "demo.csv")[0] == 0
    assert Path("demo.csv").read_bytes() == result.read_bytes()


def test_a_second_run_takes_another_folder(track: Callable[..., Result], stubbed: None) -> None:
    moving_clip(Path("film.mp4"), 6)
    for _ in range(2):
        assert track("film.mp4")[0] == 0
    assert list_paths(Path("tracked")) >= {"film/tracks.csv", "film-2/tracks.csv"}
    assert track("film.mp4", "--overwrite")[0] == 0
    assert {path.name for path in Path("tracked").iterdir()} == {"film", "film-2"}


def test_a_failed_run_does_not_change_old_results(track: Callable[..., Result], stubbed: None) -> None:
    moving_clip(Path("film.mp4"), 6)
    Path("old.csv").write_text("mine")
    code, _, _ = track("film.mp4", "--output", "old.csv", "--overwrite", "--start", 5)
    assert code == 2 and Path("old.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("command", "kind"),
    [("film.mp4", DeepSort), ("retrack detections.csv", DeepSort), ("film.mp4 --offline", OfflineTracker)],
)
def test_at_most_seven_calls_from_main_to_the_tracker(
    track: Callable[..., Result], stubbed: None, monkeypatch: pytest.MonkeyPatch, command: str, kind: type[Any]
) -> None:
    package = Path(tracker.__file__).parent
    update = kind.update
    stacks: list[list[str]] = []

    def record_stack(*arguments: Any) -> Any:
        calls = [call for call in traceback.extract_stack() if Path(call.filename).is_relative_to(package)]
        stacks.append([f"{Path(call.filename).name}: {call.name}" for call in calls] + [f"{kind.__name__}: update"])
        return update(*arguments)

    moving_clip(Path("film.mp4"), 6)
    assert track("film.mp4", "--detections", "detections.csv", "--output", "tracks.csv")[0] == 0
    monkeypatch.setattr(kind, "update", record_stack)
    assert track(*command.split())[0] == 0
    assert len(stacks) == 6
    for calls in stacks:
        assert calls[0] == "app.py: main" and len(calls) <= 7, calls


# Separate processes


def start(*arguments: object, load_time: float = 0.0, delay: float = 0.02) -> subprocess.Popen[str]:
    """Starts `track` with the stub networks, as a process of its own."""
    command = [sys.executable, str(STUB), str(load_time), str(delay), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_a_dash_is_standard_input(working_folder: Path, kind: str) -> None:
    film = write_clip(working_folder / "film.mp4", 12, audio=1.2)
    command = [sys.executable, str(STUB), "0", "0", "-"]
    with film.open("rb") as file:
        stdin = {"stdin": file} if kind == "file" else {"input": film.read_bytes()}
        done = subprocess.run(command, capture_output=True, check=False, **stdin)
    assert done.returncode == 0, done.stderr
    record = json.loads(Path("tracked/stdin/run.json").read_text())
    assert record["frames"] == 12 and record["source"]["name"] == "standard input"
    with av.open("tracked/stdin/video.mp4") as container:
        assert len(container.streams.audio) == 1


def has_rows(path: Path, number: int) -> Callable[[], bool]:
    return lambda: path.exists() and path.read_bytes().count(b"\n") > number


@pytest.fixture
def running(working_folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Yields a run of 60 s of video after 60 rows."""
    moving_clip(Path("film.mp4"), 600, audio=60.0)
    process = start("film.mp4")
    try:
        wait_for(has_rows(Path("tracked/film/tracks.csv"), 60), process)
        yield process
    finally:
        process.kill()
        process.communicate()


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert path.read_bytes().endswith(b"\n") and all(None not in row and None not in row.values() for row in rows)
    return rows


def count_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def has_faststart(path: Path) -> bool:
    with path.open("rb") as file:
        return [box.kind for box in boxes_of_file(file)] == [b"ftyp", b"moov", b"mdat"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal_the_files_are_finished(running: subprocess.Popen[str], number: int) -> None:
    running.send_signal(number)
    output, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (128 + number, "loading\n")
    record = json.loads(Path("tracked/film/run.json").read_text())
    assert record["status"] == "stopped" and 30 <= record["frames"] < 600
    assert output.startswith(f"{record['frames']} frames in ") and ", stopped\n" in output
    assert count_frames(Path("tracked/film/video.mp4")) == record["frames"]
    assert has_faststart(Path("tracked/film/video.mp4"))
    with av.open("tracked/film/video.mp4") as container:
        assert abs(container.duration / 1e6 - record["frames"] / 10) < 0.1  # audio included
        assert len(container.streams.audio) == 1
    rows = read_rows(Path("tracked/film/tracks.csv"))
    assert int(rows[-1]["frame"]) == record["frames"] - 1
    assert list_paths(Path("tracked/film")) == FILES


@pytest.mark.slow
def test_a_killed_run_leaves_its_results_so_far(running: subprocess.Popen[str]) -> None:
    wait_for(has_rows(Path("tracked/film/tracks.csv"), 120), running)
    running.kill()
    running.communicate(timeout=60)
    rows = read_rows(Path("tracked/film/tracks.csv"))
    assert int(rows[-1]["frame"]) >= 59
    frames = count_frames(Path("tracked/film/video.mp4"))
    assert 20 <= frames <= int(rows[-1]["frame"]) + 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_loading(working_folder: Path, number: int) -> None:
    moving_clip(Path("film.mp4"), 6)
    with start("film.mp4", load_time=60) as process:
        assert process.stderr is not None and process.stderr.readline() == "loading\n"
        start_time = time.monotonic()
        process.send_signal(number)
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 128 + number
    assert time.monotonic() - start_time < 15
    assert list_paths(working_folder) == {"film.mp4"}


@pytest.mark.slow
def test_two_signals_stop_at_once(working_folder: Path) -> None:
    moving_clip(Path("film.mp4"), 30)
    with start("film.mp4", "--batch-size", 1, delay=4) as process:
        wait_for(has_rows(Path("tracked/film/tracks.csv"), 1), process)
        process.send_signal(signal.SIGINT)
        time.sleep(1)  # signals that follow each other at once count as one
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (130, "", "loading\n")
    assert read_rows(Path("tracked/film/tracks.csv")) and count_frames(Path("tracked/film/video.mp4")) >= 2
    assert list_paths(Path("tracked/film")) == FILES


@pytest.mark.slow
def test_the_reader_of_the_output_is_gone(working_folder: Path) -> None:
    moving_clip(Path("film.mp4"), 6)
    with start("film.mp4", delay=0) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
        assert (process.wait(timeout=30), errors) == (141, "loading\n")
    assert list_paths(Path("tracked/film")) == FILES


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo terminals")
def test_a_terminal_shows_a_bar(working_folder: Path) -> None:
    import pty

    moving_clip(Path("film.mp4"), 60)
    screen, line = pty.openpty()
    command = [sys.executable, str(STUB), "0", "0.01", "film.mp4", "--output", "tracks.csv"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=line, env=environment)
    os.close(line)
    output = b""
    while chunk := _read(screen):
        output += chunk
    os.close(screen)
    assert process.wait(timeout=30) == 0
    text = output.decode()
    assert re.search(r"film .*━+.* \d+/60 frames, \d+\.\d/s, 2 live", text)
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")  # the cursor is shown again


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 65536)
    except OSError:  # Linux: all writers are gone
        return b""


@pytest.mark.smoke
def test_help_imports_no_heavy_packages() -> None:
    run = "from tracker.cli.app import main\ntry: main(['--help-all'])"
    code = f"import sys\n{run}\nfinally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"torch", "numpy", "av", "cv2", "scipy", "torchvision", "lightning"} & set(done.stderr.split())
    for text in ("track SOURCE... [OPTIONS]", "demo", "train", "--score", "Detections below this score", "--no-show"):
        assert text in done.stdout
    assert "--no-quiet" not in done.stdout and "--empty-classes" not in done.stdout


def test_help_of_commands_imports_no_torch() -> None:
    """Each command's module is imported for its help; the networks' libraries, which take seconds, are not."""
    code = (
        "import sys\nfrom tracker.cli.app import main\n"
        "for command in ('retrack', 'crops', 'export', 'train detector', 'train embedder', 'train classifier'):\n"
        "    try: main([*command.split(), '--help'])\n"
        "    except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"torch", "torchvision", "lightning", "scipy"} & set(done.stderr.split())
    assert done.stdout.count("Usage: track") == 6
