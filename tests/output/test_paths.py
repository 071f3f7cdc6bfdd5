"""Paths of the results, and errors that are raised before anything is computed."""

import os
from fractions import Fraction
from pathlib import Path

import pytest

from tracker.config import OutputConfig
from tracker.errors import InputError
from tracker.output import (
    VideoInfo,
    combined_table_path,
    make_results_folder,
    open_writer,
    remove_empty_folder,
    resolve_outputs,
)
from tracker.output.paths import SUFFIXES


@pytest.fixture(autouse=True)
def empty_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def output_config(*output: str, overwrite: bool = False) -> OutputConfig:
    return OutputConfig(output=output, overwrite=overwrite)


def test_default_folder_gets_a_number_if_it_exists() -> None:
    folders = [make_results_folder(OutputConfig(), "video") for _ in range(3)]
    assert folders == [Path("tracked/video"), Path("tracked/video-2"), Path("tracked/video-3")]
    assert all(folder and folder.is_dir() for folder in folders)
    for folder in folders:
        remove_empty_folder(folder)
    assert not Path("tracked").exists()


def test_default_folder_is_reused_with_overwrite() -> None:
    for _ in range(2):
        config = OutputConfig(overwrite=True)
        paths, record = resolve_outputs(config, make_results_folder(config, "video"), ())
        names = "video.mp4", "tracks.csv", "tracks.parquet", "tracks_summary.parquet", "summary.csv"
        assert paths == [Path("tracked/video", name) for name in names]
        assert record == Path("tracked/video/run.json")
        paths[0].touch()


def test_sources_of_the_same_name_get_different_folders() -> None:
    """The same with overwrite: each source reuses its own folder."""
    for _ in range(2):
        reserved: list[Path] = []
        for _ in range(2):
            folder = make_results_folder(OutputConfig(overwrite=True), "video", reserved)
            assert folder
            (folder / "tracks.csv").touch()
            reserved.append(folder)
        assert reserved == [Path("tracked/video"), Path("tracked/video-2")]


def test_file_with_the_name_of_the_folder_is_kept() -> None:
    Path("tracked").mkdir()
    Path("tracked/video").write_text("mine")
    for overwrite in (False, True):
        assert make_results_folder(OutputConfig(overwrite=overwrite), "video") == Path("tracked/video-2")
    assert Path("tracked/video").read_text() == "mine"


@pytest.mark.parametrize("obstacle", ["file", "broken link"])
def test_folder_that_cannot_be_created(obstacle: str) -> None:
    if obstacle == "file":
        Path("tracked").touch()
    else:
        Path("tracked").symlink_to("missing")
    with pytest.raises(InputError, match=r"cannot make the folder tracked/video .*(File exists|Not a directory)"):
        make_results_folder(OutputConfig(), "video")


def test_named_outputs_have_no_run_record() -> None:
    folder = make_results_folder(output_config("a.csv", "b.MP4"), "video")
    assert resolve_outputs(output_config("a.csv", "b.MP4"), folder, ()) == ([Path("a.csv"), Path("b.MP4")], None)
    assert not Path("tracked").exists()


def test_a_link_is_a_file_that_exists() -> None:
    Path("link.csv").symlink_to("nothing.csv")
    with pytest.raises(InputError, match=r"link.csv exists: give --overwrite"):
        resolve_outputs(output_config("link.csv"), None, ())
    assert resolve_outputs(output_config("link.csv", overwrite=True), None, ()) == ([Path("link.csv")], None)


def test_the_table_of_all_tracks() -> None:
    config = OutputConfig(all_tracks="all.csv", output=("./all.csv",))
    assert combined_table_path(config, ()) == Path("all.csv") and combined_table_path(OutputConfig(), ()) is None
    with pytest.raises(InputError, match="same name"):
        resolve_outputs(config, None, ())
    Path("all.csv").write_text("mine")
    for files, message in ((), "exists"), ([Path("all.csv")], "is the source itself"):
        with pytest.raises(InputError, match=message):
            combined_table_path(config, files)


def test_source_is_never_overwritten() -> None:
    source = Path("tracked/video/video.mp4")
    source.parent.mkdir(parents=True)
    source.write_text("film")
    Path("link.mp4").symlink_to(source)
    for config in (
        output_config(str(source), overwrite=True),
        output_config("link.mp4", overwrite=True),
        OutputConfig(overwrite=True),
    ):
        with pytest.raises(InputError, match="is the source itself"):
            resolve_outputs(config, make_results_folder(config, "video"), [source])
    assert source.read_text() == "film"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("old.csv", "exists: give --overwrite"),
        ("folder", "is a folder: name a file such as folder/tracks.csv"),
        ("missing/a.csv", "there is no folder missing"),
        ("a.avi", r"must end with .mp4, .mkv or .mov"),
        ("csv", "must end with"),
    ],
)
def test_invalid_outputs(output: str, message: str) -> None:
    Path("old.csv").touch()
    Path("folder").mkdir()
    with pytest.raises(InputError, match=message):
        resolve_outputs(output_config("fine.csv", output), None, ())
    assert not Path("fine.csv").exists()


def test_two_outputs_of_the_same_name() -> None:
    with pytest.raises(InputError, match="same name"):
        resolve_outputs(output_config("a.csv", "./a.csv"), None, ())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_folder_without_write_permission() -> None:
    Path("locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match=r"no permission to write locked/a\.csv"):
        resolve_outputs(output_config("locked/a.csv"), None, ())


def test_all_suffixes_have_a_writer() -> None:
    info = VideoInfo("clip", 64, 48, Fraction(1, 10), Fraction(10))
    for suffix in SUFFIXES:
        open_writer(Path(f"a{suffix}"), info, ("person",), OutputConfig()).close()
    with pytest.raises(InputError, match="must end with"):
        open_writer(Path("a.avi"), info, ("person",), OutputConfig())
