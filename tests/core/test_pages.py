"""The skeleton of all pages: escaping, contrast of the colors, addresses of files, and nothing from elsewhere."""

import re
from pathlib import Path

import jinja2
import numpy as np
import pytest
from helpers.contrast import COLORS, CSS, contrast

from cnnzoo.core import pages
from cnnzoo.core.pages import SCRIPT, Step, file_address, open_templates, picture_uri, render_page

CORE = Path(pages.__file__).parent
HOSTILE = '</title><script>alert("x")</script>&\'"\x1b[2J\u202e\n\ud800'


@pytest.fixture
def render(monkeypatch):
    """Return a function that renders a template given as text."""

    def render(source, **values):
        open_templates.cache_clear()
        monkeypatch.setattr(jinja2, "PackageLoader", lambda package, path: loaders[package])
        loaders = {"page": jinja2.DictLoader({"t": source}), "cnnzoo.core": jinja2.FileSystemLoader(CORE)}
        return render_page("page", "t", **values)

    return render


def test_every_color_has_a_light_and_a_dark_value_and_is_stated_once():
    assert len(COLORS) == CSS.count("light-dark(")
    assert len(re.findall(r"#[0-9a-f]{3,8}\b", CSS)) == 2 * len(COLORS)
    assert set(re.findall(r"var\(--([a-z-]+)\)", CSS)) - {"columns"} <= COLORS.keys()


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["ground", "surface"])
def test_text_and_charts_have_enough_contrast(theme, ground):
    for name in ("ink", "muted", "blue", "orange"):
        assert contrast(COLORS[name][theme], COLORS[ground][theme]) >= 4.5, name
    assert contrast(COLORS["gray"][theme], COLORS[ground][theme]) >= 3
    for name in ("warning", "error"):
        assert contrast(COLORS[name][theme], COLORS[f"{name}-ground"][theme]) >= 4.5, name


def test_everything_printed_is_escaped(render):
    source = (
        '{% extends "page.html" %}{% import "parts.html" as parts %}{% block title %}{{ x }}{% endblock %}'
        "{% block main %}{{ parts.headline(x, [x]) }}{{ parts.facts([(x, x, x)]) }}{{ parts.commands([(x, x)]) }}"
        "{{ parts.contents([(x, x)]) }}{{ parts.steps([step]) }}"
        "{{ parts.figure(x, x) }}{{ parts.figure(x, x, wide=true) }}"
        '{% call parts.table(x, [x, x], [x]) %}<tr><th scope="row">{{ x }}</th></tr>{% endcall %}'
        "{% call parts.picture(x, x, x) %}{{ x }}{% endcall %}{% endblock %}"
    )
    page = render(source, x=HOSTILE, step=Step(*[HOSTILE] * 5))
    assert page.count("<script") == 1
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "\\u202e\\n\\ud800" in page
    page.encode("utf-8")
    assert page.count("&lt;script&gt;") > 15
    for attribute in re.findall(r'(?:alt|src|href|aria-label)="([^"]*)"', page):
        assert "alert(" in attribute or attribute in (
            "#main",
            "Sections of this page",
        )  # no quotation mark ended it early


def test_a_page_loads_nothing_and_runs_only_the_script_that_it_permits():
    page = render_page("cnnzoo.core", "page.html")
    assert "default-src 'none'" in page
    assert f"<script>{SCRIPT}</script>" in page
    assert not re.findall(r"javascript:|https?://|@import|url\(|\son\w+=", page)
    assert not re.findall(r"innerHTML|eval|document\.write|fetch|import", SCRIPT)
    assert '<html lang="en">' in page
    assert '<meta name="viewport"' in page


def test_a_fragment_for_notebooks_styles_only_itself(render):
    fragment = render('{% extends "fragment.html" %}{% block main %}<p>{{ x }}</p>{% endblock %}', x="<b>")
    assert fragment.startswith('<div class="cnnzoo">')
    assert "<p>&lt;b&gt;</p>" in fragment
    selectors = re.findall(r"(?:^|\n)\s*([^@{}/\n][^{}\n]*) \{", CSS)
    assert selectors
    for selector in ",".join(selectors).split(","):
        assert ".cnnzoo" in selector, selector


def test_tables_scroll_and_have_captions_and_scopes(render):
    page = render(
        '{% import "parts.html" as parts %}{% call parts.table("Classes", ["class", "why"], ["why"]) %}'
        "<tr></tr>{% endcall %}"
    )
    assert '<div class="scroll" tabindex="0" role="region" aria-label="Classes">' in page
    assert "<caption><span>Classes</span></caption>" in page
    assert '<th scope="col">class</th><th scope="col" class="words">why</th>' in page


def test_only_tables_that_ask_for_it_are_sortable(render):
    source = '{% import "parts.html" as parts %}{% call parts.table("a", ["b"], sortable=true) %}<tr></tr>{% endcall %}'
    assert '<table class="sortable">' in render(source)
    assert "sortable" not in render(source.replace(", sortable=true", ""))


def test_steps_are_numbered_by_their_order_and_have_commands_and_links(render):
    steps = [Step("Look", "3 of 9 are wrong", address="#mistakes", link="mistakes"), Step("Run", command="cnnzoo zoo")]
    page = render('{% import "parts.html" as parts %}{{ parts.steps(steps) }}', steps=steps)
    assert page.count("<li>") == 2
    assert page.index("Look") < page.index("3 of 9 are wrong") < page.index('<a href="#mistakes">mistakes</a>')
    assert page.count("<pre>") == 1


def test_file_addresses_are_relative_inside_the_folder_of_the_page(tmp_path):
    assert file_address(tmp_path / "a b" / "c#1?.png", tmp_path) == "a%20b/c%231%3F.png"
    assert file_address(tmp_path / "javascript:x", tmp_path) == "javascript%3Ax"
    assert file_address(tmp_path / "a.png", tmp_path / "other") == (tmp_path / "a.png").as_uri()
    assert file_address(b"a\xff.png".decode("utf-8", "surrogateescape"), ".") == "a%FF.png"


@pytest.mark.parametrize(("shape", "kind"), [((8, 8, 1), "png"), ((64, 20, 3), "png"), ((300, 500, 3), "jpeg")])
def test_pictures_are_small_data_uris(shape, kind):
    uri = picture_uri(np.full(shape, 300.0))
    assert uri.startswith(f"data:image/{kind};base64,")
    assert len(uri) < 5000


@pytest.mark.parametrize(("facts", "columns"), [(1, 1), (4, 4), (5, 5), (6, 3), (7, 4), (10, 5), (11, 4)])
def test_boxes_fill_their_rows_about_evenly(render, facts, columns):
    page = render('{% import "parts.html" as parts %}{{ parts.facts(rows) }}', rows=[("a", "1", "")] * facts)
    assert f'style="--columns: {columns}"' in page


def test_numbers_stay_with_their_units_and_commands_break_at_spaces(render):
    page = render(
        '{% import "parts.html" as parts %}<p>{{ text }}</p>{{ parts.commands([("Do", command)]) }}',
        text="91 % in 12 s, 5 steps",
        command="cnnzoo predict 'at 5 %' --out a.csv",
    )
    assert "<p>91\xa0% in 12\xa0s, 5 steps</p>" in page
    assert '<span class="word">5</span> <span class="word">%&#39;</span> <span class="word">--out</span>' in page
