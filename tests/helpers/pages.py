"""What tests look for in an HTML page: its tags, its text, and whether every tag is closed."""

import base64
import hashlib
from html.parser import HTMLParser

from cnnzoo.core.pages import SCRIPT

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A parsed page.

    Attributes:
        tags: (name, attributes) of all elements, in order.
        text: the text outside of styles and scripts, with single spaces.
    """

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self.scripts, self.open = [], [], [], []
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" in self.open:
            self.scripts.append(data)
        elif "style" not in self.open:
            self.words.append(data)

    def all(self, tag):
        """Return the attributes of all elements of a name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def check(self):
        """Check what every page promises: alternative texts, captions, scopes, valid links, and only its own script."""
        ids = {attributes["id"] for _, attributes in self.tags if "id" in attributes}
        assert len(ids) == sum("id" in attributes for _, attributes in self.tags)
        for image in self.all("img"):
            assert image["alt"]
            assert image["src"].startswith("data:image/")
        for chart in self.all("svg"):
            assert chart["role"] == "img"
            assert chart["aria-label"]
        for section in self.all("section"):
            assert section["aria-labelledby"] in ids
        assert all(header["scope"] in ("col", "row") for header in self.all("th"))
        assert len(self.all("caption")) == len(self.all("table"))
        for link in self.all("a"):
            address = link["href"]
            assert address[1:] in ids if address.startswith("#") else ":" not in address or address.startswith("file:")
        assert not {"link", "iframe", "object", "base", "form"} & {name for name, _ in self.tags}
        assert not [key for _, attributes in self.tags for key in attributes if key.startswith("on")]
        assert self.scripts == [SCRIPT]
        assert self.all("script") == [{}]
        digest = base64.b64encode(hashlib.sha256(self.scripts[0].encode()).digest()).decode()
        (policy,) = [meta["content"] for meta in self.all("meta") if "http-equiv" in meta]
        assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}';" in policy
        assert len(self.all("h1")) == 1
        assert self.all("a")[0] == {"class": "skip", "href": "#main"}, "the first stop of the Tab key"
        assert "main" in ids
        for table in self.all("table"):
            assert table.get("class", "sortable") == "sortable"
