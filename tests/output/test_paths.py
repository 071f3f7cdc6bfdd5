"""Where results go, and what is refused before anything is computed."""

import os
from fractions import Fraction
from pathlib import Path

import pytest

from tracker.config import OutputConfig
from tracker.errors import InputError
from tracker.output import VideoInfo, open_writer, remove_if_empty, resolve_outputs, results_folder
from tracker.output.paths import SUFFIXES


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def named(*output: str, overwrite: bool = False) -> OutputConfig:
    return OutputConfig(output=output, overwrite=overwrite)


def test_the_default_folder_gets_a_number_where_there_is_one_already() -> None:
    folders = [results_folder(OutputConfig(), "video") for _ in range(3)]
    assert folders == [Path("tracked/video"), Path("tracked/video-2"), Path("tracked/video-3")]
    assert all(folder and folder.is_dir() for folder in folders)
    for folder in folders:
        remove_if_empty(folder)
    assert not Path("tracked").exists()


def test_the_default_folder_is_used_again_when_asked() -> None:
    for _ in range(2):
        config = OutputConfig(overwrite=True)
        places, record = resolve_outputs(config, results_folder(config, "video"), ())
        assert places == [Path("tracked/video/video.mp4"), Path("tracked/video/tracks.csv")]
        assert record == Path("tracked/video/run.json")
        places[0].touch()


def test_sources_of_one_name_never_share_a_folder() -> None:
    """Also where what is there may be overwritten: the second one's is overwritten by the second one again."""
    for _ in range(2):
        taken: list[Path] = []
        for _ in range(2):
            folder = results_folder(OutputConfig(overwrite=True), "video", taken)
            assert folder
            (folder / "tracks.csv").touch()
            taken.append(folder)
        assert taken == [Path("tracked/video"), Path("tracked/video-2")]


def test_a_file_in_the_way_of_the_folder_is_left_alone() -> None:
    Path("tracked").mkdir()
    Path("tracked/video").write_text("mine")
    for overwrite in (False, True):
        assert results_folder(OutputConfig(overwrite=overwrite), "video") == Path("tracked/video-2")
    assert Path("tracked/video").read_text() == "mine"


@pytest.mark.parametrize("what", ["file", "link to nowhere"])
def test_no_folder_can_be_made(what: str) -> None:
    if what == "file":
        Path("tracked").touch()
    else:
        Path("tracked").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"cannot make the folder tracked/video .*(File exists|Not a directory)"):
        results_folder(OutputConfig(), "video")


def test_named_outputs_have_no_record() -> None:
    folder = results_folder(named("a.csv", "b.MP4"), "video")
    assert resolve_outputs(named("a.csv", "b.MP4"), folder, ()) == ([Path("a.csv"), Path("b.MP4")], None)
    assert not Path("tracked").exists()


def test_the_source_is_never_written_to() -> None:
    source = Path("tracked/video/video.mp4")
    source.parent.mkdir(parents=True)
    source.write_text("film")
    Path("link.mp4").symlink_to(source)
    for config in (named(str(source), overwrite=True), named("link.mp4", overwrite=True), OutputConfig(overwrite=True)):
        with pytest.raises(InputError, match="is the source itself"):
            resolve_outputs(config, results_folder(config, "video"), [source])
    assert source.read_text() == "film"


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("old.csv", "exists: give --overwrite"),
        ("folder", "is a folder: name a file such as folder/tracks.csv"),
        ("missing/a.csv", "there is no folder missing"),
        ("a.avi", r"must end with .mp4, .mkv or .mov"),
        ("csv", "must end with"),
    ],
)
def test_what_is_refused(output: str, said: str) -> None:
    Path("old.csv").touch()
    Path("folder").mkdir()
    with pytest.raises(InputError, match=said):
        resolve_outputs(named("fine.csv", output), None, ())
    assert not Path("fine.csv").exists()


def test_two_outputs_of_one_name() -> None:
    with pytest.raises(InputError, match="same name"):
        resolve_outputs(named("a.csv", "./a.csv"), None, ())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_may_not_be_written_to() -> None:
    Path("locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match=r"no permission to write locked/a\.csv"):
        resolve_outputs(named("locked/a.csv"), None, ())


def test_suffixes_are_those_of_the_writers() -> None:
    info = VideoInfo("clip", 64, 48, Fraction(1, 10), Fraction(10))
    for suffix in SUFFIXES:
        open_writer(Path(f"a{suffix}"), info, ("person",), OutputConfig()).close()
    with pytest.raises(InputError, match="must end with"):
        open_writer(Path("a.avi"), info, ("person",), OutputConfig())
