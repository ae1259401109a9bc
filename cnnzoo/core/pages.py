"""HTML pages: one skeleton and one stylesheet for the report, the doctor, searches and notebooks.

A page is a Jinja template in the package that fills it; it extends the skeleton of this folder:

    {% extends "page.html" %}
    {% import "parts.html" as parts %}
    {% block title %}{{ name }}{% endblock %}
    {% block header %}<h1>{{ name }}</h1>{% endblock %}
    {% block main %}
    {{ parts.headline("97.1 %", ["5 of 172 test images are wrong"]) }}
    <h2>Classes</h2>
    {% call parts.table("Images of each class", ["class", "images"]) %}
    {% for name, count in counts.items() %}
    <tr><th scope="row">{{ name }}</th><td>{{ count | thousands }}</td></tr>
    {% endfor %}
    {% endcall %}
    {% endblock %}

`parts.html` also has `steps` (what to do next, each a `Step`), `contents` (links to the sections of a long page),
`facts`, `commands`, `figure` (for the charts of `cnnzoo.core.charts`, `small_charts` and `matrix_chart`) and `picture`
(inside `<div class="gallery">`). A page starts with one headline, which has the interval of its figure below it, and
then says what to do next; its sections are `<section aria-labelledby="id"><h2 id="id">`. A template that extends
"fragment.html" instead, with the block `main` only, is shown in notebooks. Colors come from the variables of
`page.css`, which have a light and a dark value, so a template needs no style of its own; folded parts are `<details>`.

`parts.table(..., sortable=true)` lets readers sort a table. The only script of a page is `page.js`, which does that:
the page's Content-Security-Policy permits it by its hash, and nothing else. There are no addresses of other hosts.

Everything a template prints is escaped: for HTML, and line ends and what acts on a terminal or turns the direction of
writing as `escape_controls` does; texts that may have several lines, such as messages, keep them by `| lines`.
Addresses of files are made by `file_address`, pictures by `picture_uri`.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import os
import re
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from markupsafe import Markup

from cnnzoo.core.text import escape_controls

if TYPE_CHECKING:
    from jinja2 import Environment

SCRIPT = Path(__file__).with_name("page.js").read_text(encoding="utf-8")
SCRIPT_HASH = f"sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}"
COPIED = re.compile(r"(<style>.*?</style>|<script>.*?</script>|<pre.*?</pre>|<[^>]*>)", re.DOTALL)
UNIT = re.compile(r"(?<=\d) (?=(?:%|ms|s|kB|MB|GB|GiB)(?!\w))")  # the space between a number and its unit


class Step(NamedTuple):
    """What a reader of a page can do next, for `parts.steps`.

    Attributes:
        title: what to do, as a short sentence without a period.
        evidence: why: the figures of the page that suggest it.
        command: a ready command, if there is one.
        address: where to look, such as "#mistakes".
        link: the text of the link to it.
    """

    title: str
    evidence: str = ""
    command: str = ""
    address: str = ""
    link: str = ""


def render_page(package: str, template: str, **values: Any) -> str:
    """Render a template of a package, which extends "page.html" or "fragment.html", to HTML.

    Args:
        package: dotted name of the package that holds the template, such as "cnnzoo.data".
        template: name of the file.
        values: what the template prints. Strings are escaped, so they may come from anywhere.

    Example:
        >>> from cnnzoo.core.pages import render_page
        >>> page = render_page("cnnzoo.core", "page.html")
        >>> page.startswith("<!doctype html>")
        True
    """
    import cnnzoo

    shared = {"version": cnnzoo.__version__, "script": Markup(SCRIPT), "script_hash": SCRIPT_HASH}
    return join_units(open_templates(package).get_template(template).render(shared | values))


@functools.cache  # which keeps the templates compiled
def open_templates(package: str) -> Environment:
    """Return the templates of a package, beside those of this one."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loader = ChoiceLoader([PackageLoader(package, "."), PackageLoader("cnnzoo.core", ".")])
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, finalize=_escape_names)
    environment.filters |= {"thousands": "{:,}".format, "lines": _keep_lines}
    return environment


def _escape_names(value: Any) -> Any:
    """Escape what acts on terminals in names and paths, and line ends; HTML that is already escaped stays as it is."""
    return value if hasattr(value, "__html__") or value is None else escape_controls(str(value))


def _keep_lines(value: Any) -> Markup:
    """Escape a text that may have several lines, such as a message or a command."""
    return Markup.escape(escape_controls(str(value), keep="\n"))


def join_units(page: str) -> str:
    """Return a page whose numbers and units stay on one line, by no-break spaces, but in what readers may copy.

    Example:
        >>> from cnnzoo.core.pages import join_units
        >>> join_units("<p>91 %</p><pre>cd '91 %'</pre>")
        "<p>91\xa0%</p><pre>cd '91 %'</pre>"
    """
    parts = COPIED.split(page)
    parts[::2] = [UNIT.sub("\xa0", part) for part in parts[::2]]
    return "".join(parts)


def file_address(path: str | os.PathLike[str], start: str | os.PathLike[str] | None = None) -> str:
    """Return the address of a file for a link: relative to the folder `start` of the page if it is inside, else file:.

    Example:
        >>> from cnnzoo.core.pages import file_address
        >>> file_address("runs/a b/report.html", "runs")
        'a%20b/report.html'
    """
    target = Path(path).absolute()
    if start is not None and target.is_relative_to(folder := Path(start).absolute()):
        return urllib.parse.quote(os.fsencode(target.relative_to(folder).as_posix()))
    return target.as_uri()


def picture_uri(image: np.ndarray, max_side: int = 240) -> str:
    """Return an image (H, W, 1 or 3) with values from 0 to 255 as a data URI, no larger than `max_side` pixels.

    Small images stay as they are, as PNG; photos are shrunk to JPEG.
    """
    from PIL import Image

    pixels = np.clip(image, 0, 255).astype("uint8")
    picture = Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0])
    small = max(picture.size) <= 64
    picture.thumbnail((max_side, max_side))
    out = io.BytesIO()
    picture.save(out, "PNG" if small else "JPEG", quality=85)
    return to_data_uri(out.getvalue(), "image/png" if small else "image/jpeg")


def to_data_uri(content: bytes, media_type: str = "image/png") -> str:
    """Return the content of a file as a URI that holds it."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
