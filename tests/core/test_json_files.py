"""The reader of JSON: bounds, types of fields, checksums, one kind of error."""

import json
import os

import pytest

from cnnzoo import InputError
from cnnzoo.core import json_files
from cnnzoo.core.json_files import Finite, check_fields, parse_json, read_json, write_json


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "Expecting value"),
        (b"{", "cannot be read: Expecting"),
        (b"\xff\xfe\xff", "cannot be read: 'utf"),
        (b"[" * 100_000, "nested more than 100 levels"),
        (b"[" * 500 + b"]" * 500, "nested more than 100 levels"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "nested more than 100 levels"),
        (b"1" * 5000, "cannot be read: .*digits"),
    ],
)
def test_broken_text_is_an_input_error(text, message):
    with pytest.raises(InputError, match=f"^x.json cannot be read: .*{message}|{message}"):
        parse_json(text, "x.json")


def test_a_long_text_is_not_parsed(monkeypatch):
    monkeypatch.setattr(json_files, "MAX_JSON_BYTES", 10)
    with pytest.raises(InputError, match=r"11 bytes are too many; at most 10 are read; delete it$"):
        parse_json(b'"123456789"', "x.json", "delete it")


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "device", "long"])
def test_what_is_no_file_of_json_is_an_input_error(tmp_path, monkeypatch, kind):
    path = tmp_path / "x.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "long":
        monkeypatch.setattr(json_files, "MAX_JSON_BYTES", 10)
        path.write_text('"123456789"')
    with pytest.raises(InputError, match=r"x\.json cannot be read: .*; a remedy$"):
        read_json(path, {}, remedy="a remedy")


@pytest.mark.parametrize(
    ("expected", "good", "bad"),
    [
        (int, 3, [3.0, "3", True, None]),
        (float, 3, ["3", True, [3], 10**400]),
        (Finite, 0.5, [float("nan"), float("inf"), False, 10**400]),
        (str, "a", [1, None, ["a"]]),
        (bool, False, [0, 1, "yes"]),
        (str | None, None, [1]),
        (Finite | None, 2, ["x", float("nan")]),
        (list[str], ["a", "b"], ["ab", [1], {"a": 1}]),
        (dict[str, list[float]], {"a": [1, 2.5]}, [{"a": ["1"]}, {"a": 1}, [["a", 1]]]),
        (tuple[Finite, Finite], [1, 2], [[1], [1, 2, 3], [1, "2"]]),
        (tuple[str, ...], [], ["", {"a": 1}, [0]]),
    ],
)
def test_types_of_fields(expected, good, bad):
    checked = check_fields({"x": good, "more": 1}, "a.json", {"x": expected})
    assert checked["more"] == 1
    assert checked["x"] == (tuple(good) if expected in (tuple[Finite, Finite], tuple[str, ...]) else good)
    for value in bad:
        with pytest.raises(InputError, match=r"^a\.json cannot be read: .*'x'|too large"):
            check_fields({"x": value}, "a.json", {"x": expected})


def test_missing_and_optional_fields():
    assert check_fields({"a": 1}, "a.json", {"a": int}, {"b": str}) == {"a": 1}
    with pytest.raises(InputError, match="the field 'a' is missing"):
        check_fields({}, "a.json", {"a": int})
    with pytest.raises(InputError, match="the field 'b' must be a text. Received: 1"):
        check_fields({"a": 1, "b": 1}, "a.json", {"a": int}, {"b": str})
    with pytest.raises(InputError, match="the file must be an object"):
        check_fields([], "a.json", {})


def test_a_checksum_is_verified(tmp_path):
    path, values = tmp_path / "x.json", {"b": [1.5, "é", {"z": 1, "a": None}], "a": float("inf")}
    write_json(path, values, add_sum=True)
    assert read_json(path, {}) == values
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content, indent=3, sort_keys=True))  # the layout of the text does not matter
    assert read_json(path, {}) == values
    for changed in (content | {"a": 1}, content | {"c": 1}, content | {"sha256": 5}, content | {"b": [1.5]}):
        path.write_text(json.dumps(changed))
        with pytest.raises(InputError, match="does not match its checksum"):
            read_json(path, {})


def test_names_of_files_that_are_not_utf_8_are_kept(tmp_path):
    write_json(tmp_path / "x.json", {"last": "a\udcff.png", "é": 1})
    assert read_json(tmp_path / "x.json", {"last": str}) == {"last": "a\udcff.png", "é": 1}
