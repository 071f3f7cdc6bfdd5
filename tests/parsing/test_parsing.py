"""Users' text files: encodings, limits, and what is wrong with them in one sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracker.errors import InputError
from tracker.parsing import read_json, read_lines, read_xml, read_yaml_file, split_numbers, to_number, to_whole_number


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_in_any_unicode(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, "größe 1\r\n猫 2\n".encode(encoding))
    assert read_lines(path) == ["größe 1", "猫 2"] or encoding in ("utf-16-le", "utf-16-be")
    path = write(tmp_path, "0 0.5 0.25\n".encode(encoding))
    assert read_lines(path) == ["0 0.5 0.25"]


def test_text_in_another_encoding_is_told_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "cat\ngröße\n".encode("cp1252"))
    with pytest.raises(InputError, match=r"file, line 2 is not text: this is not text in UTF-8 or UTF-16"):
        read_lines(path)


def test_words_of_yaml_stay_words(tmp_path: Path) -> None:
    path = write(tmp_path, "names: [no, yes, null, on, off, y, 1.0, ~, 2024-01-01, =, 012]\ntest:\n")
    words = ["no", "yes", "null", "on", "off", "y", "1.0", "~", "2024-01-01", "=", "012"]
    assert read_yaml_file(path, as_text=True) == {"names": words, "test": ""}
    path = write(tmp_path, "{no: off, 1.50: true, null: null, a: 3, b: 0.5, on: 2024-01-01}")
    expected = {"no": "off", "1.50": True, "null": None, "a": 3, "b": 0.5, "on": "2024-01-01"}
    assert read_yaml_file(path) == expected


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
ENTITIES = '<!DOCTYPE a [<!ENTITY b "c">]>\n<a>&b;</a>'


def xml(path: Path) -> Any:
    return read_xml(path, "a file of boxes")


def json_file(path: Path) -> Any:
    return read_json(path, "a file of boxes")


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_yaml_file, "a: [1\nb: 2\n", r"file, line 2 is not valid YAML"),
        (read_yaml_file, BOMB, r"file, line 6: this stands for more than 100,000 values"),
        (read_yaml_file, "a: &a [1, *a]", r"file, line 1: this stands for more than"),
        (read_yaml_file, "- " * 2000, "nested too deeply"),
        (read_yaml_file, "a: " + "1" * 5000, "not a YAML file: Exceeds the limit"),
        (read_yaml_file, "a: !!python/name:os.system x", "could not determine a constructor"),
        (read_yaml_file, "x" * 200_001, "too long for a YAML file"),
        (read_yaml_file, b"a: \x00", "special characters are not allowed"),
        (xml, ENTITIES, r"file, line 1 declares an entity: remove it"),
        (xml, "<a>\n" * 65, r"file, line 65 is nested too deeply"),
        (xml, "<a>\n</b>", r"file, line 2: this is not XML \(mismatched tag\)"),
        (xml, '<?xml version="1.0" encoding="x-unknown"?><a/>', "unknown encoding"),
        (xml, '<?xml version="1.0" encoding="shift_jis"?><a/>', "multi-byte encodings are not supported"),
        (json_file, '{"a":\n1,}', r"file, line 2: this is not valid JSON"),
        (json_file, "[" * 100_000, "nested too deeply for a file of boxes"),
        (json_file, "[1" + "0" * 5000 + "]", "Exceeds the limit"),
        (json_file, b'["\n\xe4"]', r"file, line 2 is not a file of boxes: this is not text"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_sentence(
    tmp_path: Path, read: Callable[[Path], Any], content: str | bytes, message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        read(write(tmp_path, content))
    assert "\n" not in str(error.value) and str(tmp_path / "file") in str(error.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for read in (read_yaml_file, xml, json_file, read_lines):
        with pytest.raises(InputError, match=r"there is no file .*gone"):
            read(tmp_path / "gone")
        with pytest.raises(InputError, match="cannot read"):
            read(tmp_path)


@pytest.mark.parametrize(
    "row",
    [
        "0 0.5 0.25 1 0.75",
        "0,0.5,0.25,1,0.75",
        "0, 0.5, 0.25, 1, 0.75,",
        "0 0,5 0,25 1 0,75",
        "0;0,5;0,25;1;0,75",
        "0\t0.5\t0.25 1 0.75",
    ],
)
def test_numbers_as_spreadsheets_write_them(row: str) -> None:
    assert [to_number(text) for text in split_numbers(row)] == [0, 0.5, 0.25, 1, 0.75]


def test_whole_numbers() -> None:
    texts = ["7", "7.0", "7.000e+00", " 7 ", 7, "7.5", "x", None, "inf", "1e300", [], 10**400]
    assert [to_whole_number(text) for text in texts] == [7, 7, 7, 7, 7, *[None] * 7]
