"""Long lines are wrapped at words on terminals, and nowhere else."""

import io

import pytest

from cnnzoo.core.text import wrap_for_terminal


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")


def test_lines_of_a_terminal_end_at_words():
    text = "Written to runs/tuned: report.html, report.json\n  indented words that are too long"
    wrapped = wrap_for_terminal(text, Terminal())
    assert wrapped.split("\n") == [
        "Written to",
        "runs/tuned:",
        "report.html,",
        "report.json",
        "  indented words",
        "  that are too long",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "model      parameters      figures",
        '{"path": "a.png", "classes": [], "error": null}',
        "a_single_word_that_is_longer_than_a_line",
        "short",
        "",
    ],
)
def test_columns_json_and_long_words_stay(text):
    assert wrap_for_terminal(text, Terminal()) == text


def test_logs_are_not_wrapped():
    line = "a line of a log that is longer than a terminal"
    assert wrap_for_terminal(line, io.StringIO()) == line
    assert wrap_for_terminal(line, None) == line
