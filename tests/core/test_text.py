"""Names that a terminal or a spreadsheet would act on."""

import pytest

from cnnzoo.core.text import escape_cell, escape_controls, printable_name, unescape_cell


@pytest.mark.parametrize(
    "text, escaped",
    [
        ("photo.png", "photo.png"),
        ("日本 übung 👩‍🔬.png", "日本 übung 👩‍🔬.png"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a.png: cat 99 %\nb.png", r"a.png: cat 99 %\nb.png"),
        ("a\rb\tc", r"a\rb\tc"),
        ("a\x9b31mb", r"a\x9b31mb"),  # the same escape in one character
        ("a\u202egnp.exe", r"a\u202egnp.exe"),  # shown as a exe.png
        ("a\u2028b\x85c", r"a\u2028b\x85c"),
        ("a\udcffb\ud800", r"a\udcffb\ud800"),
        ("a\0\x7f", r"a\x00\x7f"),
    ],
)
def test_what_acts_on_a_terminal_is_written_out(text, escaped):
    assert escape_controls(text) == escaped


def test_lines_of_a_text_stay_lines():
    assert escape_controls("a\nb\x1bc", keep="\n") == "a\nb\\x1bc"


@pytest.mark.parametrize("name, text", [("a", "a"), ("a\udcff", r"a\xff"), ("a\ud800", r"a\ud800"), ("ü\n", "ü\n")])
def test_every_name_can_be_written_as_utf8(name, text):
    assert printable_name(name) == text
    assert printable_name(name).encode("utf-8")


@pytest.mark.parametrize(
    "text, cell",
    [
        ("cat", "cat"),
        ("", ""),
        ("=1+1.png", "'=1+1.png"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-x.png", "'-x.png"),
        ("\t=1", "'\t=1"),
        ("\n=1", "'\n=1"),
        ("\uff1d1", "'\uff1d1"),
        ("'=1", "''=1"),
        ("'quoted'", "'quoted'"),
        ("-1", "-1"),
        ("+1.5e3", "+1.5e3"),
        ("-1+2", "'-1+2"),
        ("-", "'-"),
    ],
)
def test_formulas_become_text_and_come_back(text, cell):
    assert escape_cell(text) == cell
    assert unescape_cell(cell) == text
