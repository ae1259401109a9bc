"""What `cnnzoo serve` says of wrong input: one line and exit code 2, before a model is loaded."""

import socket
import sys

import pytest
from helpers.commands import run_command

from cnnzoo.cli.serve import describe_address

pytest.importorskip("fastapi")

WRONG_OPTIONS = [
    (("--host", "203.0.113.7"), "203.0.113.7 is not an address of this machine"),
    (("--host", ""), "There is no host ''"),
    (("--host", "a" * 300), "There is no host 'aaa"),
    (("--host", "a\0b"), "There is no host"),
    (("--port", "70000"), "--port must be a whole number from 0 to 65535"),
    (("--limit", "imges=3"), "Did you mean images"),
    (("--limit", "images"), "--limit images takes a number, as in images=100"),
    (("--limit", "images=1.5"), "images must be a whole number"),
    (("--limit", "images=True"), "images must be a whole number"),
    (("--limit", f"images={'(' * 500}"), "--limit images takes a number"),
    (("--limit", f"images={'9' * 5000}"), "--limit images takes a number"),
    (("--limit", "body_seconds=-1"), "body_seconds must be a number of seconds above 0"),
    (("--limit", "body_seconds=1e9"), "below 1,000,000"),
    (("--limit", "image_bytes=999999999"), "image_bytes must be at most request_bytes"),
    (("--limit", "total_bytes=5"), "request_bytes must be at most total_bytes"),
    (("--queue", "0"), "--queue must be a whole number"),
    (("--deadline", "0"), "--deadline must be a number above 0"),
    (("--deadline", "nan"), "deadline must be a number of seconds"),
    (("--batch-size", "0"), "--batch-size must be a whole number"),
    (("--runtime", "tflite"), "Did you mean litert"),
    (("--allow-origin", "example.com"), "An origin is written as https://example.com"),
    (("--allow-origin", "http://["), "An origin is written as https://example.com"),
    (("--allow-origin", "*"), "An origin is written as https://example.com"),
    (("--allow-host", "http://example.com"), "A host is written as example.com"),
    (("--allow-host", ""), "A host is written as example.com"),
]
WRONG_KEYS = [
    (b"", "it is empty"),
    (b" \n", "it is empty"),
    (b"short", "at least 16 characters"),
    (b"first of two lines\nsecond of two lines", "without line ends"),
    (b"\xef\xbb\xbfkey of an editor that marks files", "not ASCII"),
    (bytes(range(128, 200)), "not ASCII"),
    (b"a" * 20_000, "too many"),
]


@pytest.fixture
def model(tmp_path):
    """The folder of an export, of which no file is read before all else is right."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "cnnzoo.json").write_text("{}")
    return folder


def check_refused(words, *arguments):
    """Check that a command ends with exit code 2 and one line on stderr."""
    result = run_command("serve", *arguments)
    assert result.code == 2, result.err
    assert result.err.count("\n") == 1
    assert words in result.err
    assert not result.out
    return result.err


@pytest.mark.parametrize(("options", "words"), WRONG_OPTIONS, ids=[" ".join(row[0])[:40] for row in WRONG_OPTIONS])
def test_wrong_options_are_refused_before_a_model_is_loaded(model, options, words, monkeypatch):
    monkeypatch.setattr("cnnzoo.cli.serve.open_classifier", lambda *_: pytest.fail("a model was loaded"))
    port = () if "--port" in options else ("--port", 0)
    check_refused(words, f"digits={model}", *port, *options)


@pytest.mark.parametrize(("content", "words"), WRONG_KEYS, ids=[row[1] for row in WRONG_KEYS])
def test_wrong_keys_are_refused_without_showing_them(model, tmp_path, content, words):
    file = tmp_path / "key"
    file.write_bytes(content)
    error = check_refused(words, f"digits={model}", "--port", 0, "--api-key-file", file)
    assert "first of two" not in error
    assert "short" not in error


def test_a_key_file_that_cannot_be_read_is_refused(model, tmp_path):
    for file, words in ((tmp_path / "none", "No such file"), (tmp_path, "directory"), ("/dev/null", "not a regular")):
        check_refused(words, f"digits={model}", "--port", 0, "--api-key-file", file)


def test_a_port_that_is_taken_is_refused(model):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        check_refused(f"Port {port} of 127.0.0.1 is taken", f"digits={model}", "--port", port)


def test_wrong_names_and_folders_are_refused(model, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    check_refused("MODEL must be a run directory", tmp_path / "photos", "--port", 0)
    check_refused("Missing argument")
    check_refused("is empty", "")
    check_refused("is empty", "digits=")
    for name in ("", "a/b", ".a", "a b", "a" * 65):
        check_refused("The name of a model is part of addresses", f"{name}={model}", "--port", 0)
    check_refused("Two models have the name 'a'", f"a={model}", f"a={model}", "--port", 0)


def test_a_mistyped_path_is_answered_with_the_nearest_one(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("modle", "./modle", str(tmp_path / "modle"), "a=modle"):
        check_refused("there is none at", path, "--port", 0)
        check_refused("Did you mean", path, "--port", 0)
    check_refused("Unknown weights of lenet5. Did you mean digits?", "lenet5:digts", "--port", 0)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:80/"),
        ("::1", "http://[::1]:80/"),
        ("0.0.0.0", "http://127.0.0.1:80/ and on every other address of this machine"),
        ("::", "http://[::1]:80/ and on every other address of this machine"),
    ],
)
def test_the_printed_address_can_be_opened(host, address):
    assert describe_address(host, 80) == address


def test_a_damaged_export_is_refused(model):
    check_refused("cnnzoo.json", f"digits={model}", "--port", 0)


def test_a_missing_extra_is_named(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.delitem(sys.modules, "cnnzoo.serve.app", raising=False)
    check_refused("[serve]", f"digits={model}", "--port", 0)
