"""What commands print, and what happens when nobody can read it."""

import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from helpers.processes import ForkedProcess, run_code
from PIL import Image

import cnnzoo
from cnnzoo.cli.output import echo_next_steps
from cnnzoo.core.memory import describe_memory_error

ODD_NAMES = {
    "a\x1b[2Jb.png": r"a\x1b[2Jb.png",
    "b.png: 9 99.9 %\nc.png": r"b.png: 9 99.9 %\nc.png",
    "d\r.png": r"d\r.png",
    "e\u202egnp.bmp": r"e\u202egnp.bmp",
    "日本.png": "日本.png",
}


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ODD_NAMES:
        Image.new("L", (28, 28)).save(folder / name, "PNG")
    return folder


def test_each_answer_is_one_line_that_acts_on_nothing(cli, photos):
    answer = cli("predict", "lenet5:mnist", photos, "--runtime", "keras")
    lines = answer.out.splitlines()
    assert sorted(line.rsplit(": ", 1)[0].removeprefix(f"{photos}/") for line in lines) == sorted(ODD_NAMES.values())
    assert all(line.isprintable() for line in lines)


def test_names_of_files_that_cannot_be_read_are_one_line_too(cli, photos):
    for path in photos.iterdir():
        path.write_bytes(b"no image")
    answer = cli("predict", "lenet5:mnist", photos, "--runtime", "keras")
    assert answer.code == 2
    *errors, summary = answer.err.splitlines()
    assert len(errors) == len(ODD_NAMES)
    assert summary.startswith(f"{len(ODD_NAMES)} of {len(ODD_NAMES)} images could not")
    assert answer.err.replace("\n", "").isprintable()


def test_class_names_act_on_nothing(data_with_odd_classes):
    prediction = cnnzoo.Prediction(("a\x1b[2J", "b\nc: d 99 %"), (0.6, 0.4), source="x.png")
    assert str(prediction) == r"a\x1b[2J 60.0 %, b\nc: d 99 % 40.0 %"
    text = str(data_with_odd_classes)
    assert r"a\x1b[2J" in text
    assert r"b\nc" in text
    assert text.replace("\n", "").isprintable()


@pytest.fixture
def data_with_odd_classes():
    images, labels = np.arange(40 * 64, dtype="uint32").reshape(40, 8, 8) % 255, np.arange(40) % 2
    return cnnzoo.load_data((images.astype("uint8"), labels), classes=["a\x1b[2J", "b\nc"])


RUN = "import os, sys; from cnnzoo.cli.main import main; "


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii", "cp437"])
def test_names_that_an_encoding_lacks_are_written_out(photos, encoding):
    """latin-1 in old terminals, cp1252 in pipes of Windows, ascii in cron and containers without a locale."""
    setup = f"sys.stdout = open(1, 'w', encoding={encoding!r}, closefd=False); "
    out = run_code(f"{RUN}{setup}main(['predict', 'lenet5:mnist', {str(photos)!r}, '--runtime', 'keras'])")
    assert len(out.splitlines()) == len(ODD_NAMES)
    assert r"\u65e5\u672c.png" in out or "日本.png" in out


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_closed_streams_change_nothing_else(tmp_path, photos, closed):
    """As `2>&-` does: a file that is opened then must not receive the messages."""
    names = {0: "stdin", 1: "stdout", 2: "stderr"}
    setup = "".join(f"os.close({n}); sys.{names[n]} = sys.__{names[n]}__ = None; " for n in closed)
    out = tmp_path / "out.csv"
    words = ["predict", "lenet5:mnist", str(photos), "--runtime", "keras", "--out", str(out)]
    printed = run_code(f"{RUN}{setup}main({words!r})")
    assert printed == ("" if 1 in closed else f"5 images; written to {out}\n")
    assert len(out.read_bytes().decode().split("\r\n")) == 7


@pytest.mark.parametrize("stream", [1, 2])
def test_a_reader_that_has_ended_ends_the_command(stream):
    """As `| head -1` does."""
    setup = f"r, w = os.pipe(); os.dup2(w, {stream}); os.close(r); os.close(w); "
    setup += f"sys.{'stdout' if stream == 1 else 'stderr'} = open({stream}, 'w', closefd=False); "
    command = "['list']" if stream == 1 else "['info', 'resnet5']"
    process = ForkedProcess(_run, f"{RUN}{setup}main({command})")
    out, error = process.communicate(60)
    assert (out, error) == ("", "")
    assert process.returncode == (141 if stream == 1 else 2)


def test_a_full_disk_is_told(tmp_path):
    process = ForkedProcess(_run, f"{RUN}os.dup2(os.open('/dev/full', os.O_WRONLY), 1); main(['list'])")
    _, error = process.communicate(60)
    assert (process.returncode, error) == (1, "Error: [Errno 28] No space left on device\n")


def _run(code):
    exec(code, {})


def raise_(error):
    raise error


def numpy_error():
    np.empty((1 << 20, 1 << 20, 1 << 10), "float64")


def chained_error():
    try:
        raise MemoryError
    except MemoryError as error:
        raise ValueError("a layer failed") from error


class ResourceExhaustedError(Exception):
    """Of the name that TensorFlow's error has."""


@pytest.mark.parametrize(
    "fail, message",
    [
        (numpy_error, "Not enough memory: Unable to allocate .* for an array with shape"),
        (lambda: raise_(MemoryError()), "Not enough memory$"),
        (chained_error, "Not enough memory$"),
        (
            lambda: raise_(ResourceExhaustedError("{{function_node x}} OOM when allocating tensor with shape[9,9]")),
            r"Not enough memory: OOM when allocating tensor with shape\[9,9\]",
        ),
        (lambda: raise_(RuntimeError("RESOURCE_EXHAUSTED: Out of memory while")), "Not enough memory: RESOURCE_EXH"),
        (lambda: raise_(RuntimeError("std::bad_alloc")), "Not enough memory: bad_alloc"),
        (lambda: raise_(OSError(12, "Cannot allocate memory")), "Not enough memory: Cannot allocate memory"),
    ],
)
def test_memory_that_ran_out_is_one_line(cli, monkeypatch, fail, message):
    monkeypatch.setattr(cnnzoo, "list_models", lambda *_, **__: fail())
    answer = cli("list")
    assert answer.code == 1
    assert len(answer.err.splitlines()) == 1
    assert "Use smaller images (--image-size)" in answer.err
    with pytest.raises(Exception) as raised:
        fail()
    assert re.match(message, describe_memory_error(raised.value))


def test_other_errors_stay_errors(cli, monkeypatch):
    monkeypatch.setattr(cnnzoo, "list_models", lambda *_, **__: raise_(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        cli("list")


EMPTY = [
    ("doctor", ""),
    ("doctor", "x", "--out", ""),
    ("show", ""),
    ("show", "digits", "--out", ""),
    ("train", "lenet5", ""),
    ("train", "lenet5", "digits", "--run-dir", ""),
    ("fine-tune", "", "digits"),
    ("fine-tune", "lenet5:mnist", ""),
    ("lr-find", "lenet5", ""),
    ("lr-find", "lenet5", "digits", "--out", ""),
    ("tune", "lenet5", "digits", "--run-dir", ""),
    ("evaluate", "", "digits"),
    ("evaluate", "lenet5:mnist", ""),
    ("predict", "", "x.png"),
    ("predict", "lenet5:mnist", ""),
    ("predict", "lenet5:mnist", "x.png", "--out", ""),
    ("export", "", "out"),
    ("export", "lenet5:mnist", ""),
    ("convert", "x.pth", "lenet5", ""),
    ("demo", "--run-dir", ""),
]


@pytest.mark.parametrize("words", EMPTY, ids=" ".join)
def test_an_empty_path_is_not_the_current_folder(cli, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    answer = cli(*words)
    assert answer.code == 2
    assert "empty" in answer.err
    assert "current folder" in answer.err
    assert not os.listdir(tmp_path)  # noqa: PTH208


def test_next_steps_can_be_copied(capsys):
    echo_next_steps(Path("a search"))
    title, *commands = capsys.readouterr().out.splitlines()
    assert title == "Open a search/report.html in a browser. Try next:"
    assert [shlex.split(command)[:3] for command in commands] == [
        ["cnnzoo", "predict", "a search"],
        ["cnnzoo", "export", "a search"],
    ]
