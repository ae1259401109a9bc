"""What tests look for in the HTML that an object shows in a notebook."""

import re

from helpers.pages import Page

HOSTILE = "</div><script>alert('x')</script>\x1b[2J\u202e"
MAX_BYTES = 100_000


def check_summary(html):
    """Check what every summary promises: it is small, escaped and styled by itself alone; return its parsed page."""
    assert html.startswith('<div class="cnnzoo">')
    assert html.rstrip().endswith("</div>")
    assert len(html.encode("utf-8")) < MAX_BYTES
    assert not re.search(r"[\x1b\u202e]", html)
    page = Page(html)
    names = {name for name, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "html", "body", "h1", "h2"}
    assert not any("id" in attributes for _, attributes in page.tags), "another summary may have the same"
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    for image in page.all("img"):
        assert image["alt"]
        assert image["src"].startswith("data:image/")
    for chart in page.all("svg"):
        assert chart["aria-label"]
    assert len(page.all("caption")) == len(page.all("table"))
    for selector in re.findall(r"(?:^|\})([^{}@]+)\{", re.sub(r"/\*.*?\*/", "", style_of(html), flags=re.S)):
        for part in selector.split(","):
            assert re.search(r"(^|\s|body)\.cnnzoo\b", part.strip()), f"{part} applies to the notebook too"
    return page


def style_of(html):
    """Return the style of a summary, without the braces of media queries."""
    style = html.split("<style>")[1].split("</style>")[0]
    return re.sub(r"@media[^{]*\{((?:[^{}]*\{[^{}]*\})*)\s*\}", r"\1", style)
