"""The list of sources: folders and patterns of videos, and names that differ."""

from pathlib import Path

import pytest

from tracker.config import SourceConfig
from tracker.errors import InputError
from tracker.pipeline.source_list import expand_sources, plan_sources
from tracker.video import open_source


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make_files(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def test_a_folder_of_videos_stands_for_its_videos() -> None:
    make_files("day/b.MP4", "day/a10.mkv", "day/a9.mov", "day/notes.txt", "day/.hidden.mp4", "day/night/c.mp4")
    assert [str(source) for source in expand_sources(["day", "other.mp4"])] == [
        "day/a9.mov",
        "day/a10.mkv",
        "day/b.MP4",
        "other.mp4",
    ]
    assert [str(source) for source in expand_sources(["day/*.m*"])] == ["day/a9.mov", "day/a10.mkv"]


def test_images_stay_one_source() -> None:
    make_files("images/1.png", "images/2.png")
    for source in ("images", "images/*.png", "images/%d.png", "rtsp://host/live", 0, "gone", "gone/*.mp4"):
        assert expand_sources([source]) == [source]


def test_a_folder_of_both_is_one_sentence() -> None:
    make_files("mixed/1.jpg", "mixed/a.mp4")
    assert expand_sources(["mixed"]) == ["mixed"]
    with pytest.raises(InputError, match=r"holds both images and videos: name the videos, or give .* 'mixed/\*.jpg'"):
        open_source("mixed", SourceConfig())


def test_a_folder_of_videos_is_no_single_source() -> None:
    make_files("day/a.mp4", "day/b.mp4")
    with pytest.raises(InputError, match="holds 2 videos"):
        open_source("day", SourceConfig())


def test_names_differ_on_every_file_system() -> None:
    sources = ["a/cam.mp4", "b/cam.mp4", "c/Cam.mkv", "cam-2.mp4", "d/cam 2.mp4", "rtsp://cam/live", "e/cam_2.mp4"]
    names = [planned.name for planned in plan_sources(sources)]
    assert names == ["cam", "cam-2", "Cam-3", "cam-2-2", "cam_2", "cam-4", "cam_2-2"]
    assert len({name.casefold() for name in names}) == len(names)


def test_a_source_that_cannot_even_be_named_is_its_own_error() -> None:
    bad, good = plan_sources(["http://[::1/x?token=secret", "a.mp4"])
    assert bad.error is not None and "is not a URL" in str(bad.error) and "secret" not in str(bad.error) + bad.uri
    assert good.error is None and good.name == "a"
