"""Whole files: a target is complete or as it was before, and temporary files never stay."""

import errno
import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from full_disks import small_disk
from tracker.data.files import (
    create_temporary,
    open_new_file,
    remove_file,
    replace_file,
    write_bytes,
    write_json,
    write_text,
)
from tracker.errors import InputError
from video_results import limit_file_size


def test_what_is_written(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a.bin", b"\0\xff")
    write_text(tmp_path / "a.txt", "größe\n")
    write_json(tmp_path / "a.json", {"é": [1, 2.5, None, True]})
    write_json(tmp_path / "b.json", {"é": (1,)}, indent=None, ascii_only=False)
    assert (tmp_path / "a.bin").read_bytes() == b"\0\xff"
    assert (tmp_path / "a.txt").read_bytes() == "größe\n".encode()
    assert (tmp_path / "a.json").read_text() == json.dumps({"é": [1, 2.5, None, True]}, indent=2) + "\n"
    assert (tmp_path / "b.json").read_bytes() == '{"é": [1]}\n'.encode()
    assert len(list(tmp_path.iterdir())) == 4


def test_numbers_that_json_lacks_are_null(tmp_path: Path) -> None:
    values = {"a": float("nan"), "b": [float("inf"), {"c": (-float("inf"), np.float64("nan"), np.float64(0.5))}]}
    write_json(tmp_path / "a.json", values)
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": None, "b": [None, {"c": [None, None, 0.5]}]}


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replace_file(path, ".txt") as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path and temporary.name.startswith(".") and temporary.suffix == ".txt"
    assert path.read_text() == "new"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    assert list(tmp_path.iterdir()) == [path]


def test_after_an_error_the_file_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replace_file(path) as temporary:
        temporary.write_text("half")
        _ = 1 / 0
    with limit_file_size(1000), pytest.raises(InputError, match=r"cannot write .*a\.txt: File too large; so what"):
        write_text(path, "x" * 2000, "; so what")
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing_or_a_target_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*: No such file"):
        write_text(tmp_path / "gone" / "a.txt", "")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*: Is a directory"):
        write_text(tmp_path / "folder", "")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def write_whole(path: Path, data: bytes) -> None:
    write_bytes(path, data)


def write_as_rows_come(path: Path, data: bytes) -> None:
    with open_new_file(path) as file:
        file.write(data)


@pytest.mark.parametrize("write", [write_whole, write_as_rows_come])
def test_links_are_replaced_and_not_followed(tmp_path: Path, write: Callable[[Path, bytes], None]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "soft.txt").symlink_to("mine.txt")
    os.link(tmp_path / "mine.txt", tmp_path / "hard.txt")
    (tmp_path / "dangling.txt").symlink_to("nothing.txt")
    for name in ("soft.txt", "hard.txt", "dangling.txt"):
        write(tmp_path / name, b"new")
        assert not (tmp_path / name).is_symlink() and (tmp_path / name).read_bytes() == b"new"
    assert (tmp_path / "mine.txt").read_text() == "mine" and not (tmp_path / "nothing.txt").exists()
    assert len(list(tmp_path.iterdir())) == 4


def test_devices_and_pipes_are_written_to(tmp_path: Path) -> None:
    write_text(Path(os.devnull), "nothing")
    assert Path(os.devnull).is_char_device()
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as pool:
        read = pool.submit((tmp_path / "pipe").read_bytes)
        write_as_rows_come(tmp_path / "pipe", b"rows")
        assert read.result(10) == b"rows"
    remove_file(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_of_two_that_claim_a_name_only_one_gets_it(tmp_path: Path) -> None:
    for name in ("a.txt", "link.txt"):
        if name == "link.txt":
            (tmp_path / name).symlink_to("nothing.txt")
        else:
            open_new_file(tmp_path / name, overwrite=False).close()
        with pytest.raises(FileExistsError):
            open_new_file(tmp_path / name, overwrite=False)
        with pytest.raises(FileExistsError), replace_file(tmp_path / name, overwrite=False) as temporary:
            temporary.write_text("late")
    with replace_file(tmp_path / "b.txt", overwrite=False) as temporary:
        temporary.write_text("new")
    assert (tmp_path / "b.txt").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt", "link.txt"]


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with replace_file(tmp_path / "a.txt", overwrite=False) as temporary:
        temporary.write_text("new")
    with pytest.raises(FileExistsError), replace_file(tmp_path / "a.txt", overwrite=False) as temporary:
        temporary.write_text("late")
    assert (tmp_path / "a.txt").read_text() == "new" and len(list(tmp_path.iterdir())) == 1


def test_clean_up_does_not_hide_the_first_error(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(ZeroDivisionError), replace_file(folder / "a.txt") as temporary:
        temporary.unlink()
        folder.rmdir()
        _ = 1 / 0


def test_temporary_files_are_opened_exclusively(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that somebody else has put there is not followed."""
    tokens = iter(["guessed", "other"])
    monkeypatch.setattr("secrets.token_hex", lambda size: next(tokens))
    (tmp_path / ".a.txt.guessed.part").symlink_to(tmp_path / "mine.txt")
    write_text(tmp_path / "a.txt", "new")
    assert not (tmp_path / "mine.txt").exists() and (tmp_path / "a.txt").read_text() == "new"


def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16) as disk:
        with pytest.raises(InputError, match=r"cannot write .*b\.json: No space left on device"):
            write_json(disk / "b.json", ["x" * 50_000])
        assert list(disk.iterdir()) == []


def test_names_that_are_no_text(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"file": os.fsdecode(b"\xff.mp4")}, ascii_only=False)
    assert json.loads((tmp_path / "a.json").read_text()) == {"file": "\udcff.mp4"}


def test_temporary_files_have_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = iter(["same", "same", "other"])
    monkeypatch.setattr("secrets.token_hex", lambda size: next(tokens))
    names = [create_temporary(tmp_path / "a.json").name for _ in range(2)]
    assert names == [".a.json.same.part", ".a.json.other.part"]
