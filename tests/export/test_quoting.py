"""Names in the Markdown of a model card, in Python lines and in shell lines."""

import ast
import subprocess
from html.parser import HTMLParser

import pytest
from helpers.cases import Case, parametrize_cases

from cnnzoo.cards import Card
from cnnzoo.export.check import Comparison
from cnnzoo.export.model_card import render_model_card
from cnnzoo.export.quoting import markdown_text, python_text, shell_word
from cnnzoo.inference.exported import ExportInfo
from cnnzoo.runtimes.choose import FORMATS

NAMES = [
    Case("HTML", "attack 4.10", "<img src=x onerror=alert(1)>", None),
    Case("Python", "attack 4.10", 'a"); import os; os.remove("x', None),
    Case("shell", "attack 4.10", "$(touch x)", None),
    Case("backtick", "sibling", "`touch x`", None),
    Case("end of the block", "sibling", "a\n```\n# title", None),
    Case("table", "sibling", "a | b", None),
    Case("link", "sibling", "[text](javascript:x) ![](x)", None),
    Case("quotes", "sibling", 'it\'s "so" \\', None),
    Case("escape", "sibling", "a\x1b[2J\u202e", None),
    Case("option", "sibling", "--help", None),
    Case("braces", "sibling", "{name}{0}{{ card }}", None),
    Case("bytes", "sibling", "\udcff", None),
    Case("usual", "", "golden_retriever-v1.2", None),
    Case("letters", "", "größe 猫", None),
]


@parametrize_cases(NAMES)
def test_names_are_text_for_python_and_for_the_shell(case):
    name = case.make
    assert ast.literal_eval(f'"{python_text(name)}"') == name
    answer = subprocess.run(
        ["bash", "-c", f"printf '%s' {shell_word(name)}"], capture_output=True, check=True, errors="surrogateescape"
    )
    assert answer.stdout.removeprefix("./" if name.startswith("-") else "") == name
    for code in (python_text(name), shell_word(name)):
        assert code.replace("\udcff", "").isprintable()
        assert "`" not in code


@parametrize_cases(NAMES)
def test_a_model_card_shows_names_as_they_are(case):
    name = case.make
    training = {"data": {"source": name}, "recipe": {"note": name}}
    weights = {"tag": name, "source": name, "data": name, "license": name}
    card = Card(name, (name, "other"), weights=weights, training=training)
    for format in ("saved_model", "litert", "onnx", "openvino"):
        info = ExportInfo(card, format, "float32", (8, 8, 3))
        text = render_model_card(name, info, Comparison(0.0), "nowhere", FORMATS[format].usage)
        assert text.count("```") % 2 == 0
        assert "<img" not in text.split("## How to use it")[0]
        assert "\x1b" not in text
        python = text.split("```python\n")[1].split("```")[0]
        (call,) = (
            node for node in ast.walk(ast.parse(python)) if isinstance(node, ast.Constant) and node.value == name
        )
        assert call.value == name


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


@parametrize_cases(NAMES)
def test_markdown_renders_a_name_as_itself(case):
    markdown = pytest.importorskip("markdown_it")
    parser = Tags()
    parser.feed(markdown.MarkdownIt("commonmark").enable("table").render(f"Class {markdown_text(case.make)}, end"))
    assert parser.tags == ["p"]
    assert parser.text.startswith("Class ")
    if case.make.isprintable():
        assert parser.text.strip() == f"Class {case.make}, end"
