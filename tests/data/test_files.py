"""Whole files: a target is complete or as it was before, and temporary files never stay."""

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from tracker.data.files import create_temporary, replace_file, write_bytes, write_json, write_text
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


def test_a_link_stays_a_link_and_a_device_a_device(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real.txt").read_text() == "new"
    write_text(Path(os.devnull), "nothing")
    assert Path(os.devnull).is_char_device()


def test_temporary_files_have_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = iter(["same", "same", "other"])
    monkeypatch.setattr("secrets.token_hex", lambda size: next(tokens))
    names = [create_temporary(tmp_path / "a.json").name for _ in range(2)]
    assert names == [".a.json.same.part", ".a.json.other.part"]
