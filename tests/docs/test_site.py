"""The documentation site builds without warnings and without a network, and covers the whole API."""

import ast
import re
import sys

import pytest
from helpers.paths import ROOT
from helpers.processes import ForkedProcess

from cnnzoo.cli.main import cli as command_group

DOCS = ROOT / "docs"
SKIPPED = {"_build", "__pycache__"}
pytest.importorskip("sphinx", reason="the site is built with the extra docs")


def build_site(arguments):
    from sphinx.cmd.build import main

    sys.exit(main(arguments))


def is_current(stamp):
    """Return whether `make docs` has built the site since the package and the pages were changed."""
    sources = [*(ROOT / "cnnzoo").rglob("*"), *ROOT.glob("*.*"), *DOCS.rglob("*")]
    changed = [path.stat().st_mtime for path in sources if path.is_file() and not SKIPPED & set(path.parts)]
    return stamp.exists() and stamp.stat().st_mtime > max(changed)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages of the built site, by path."""
    folder = DOCS / "_build"
    if not is_current(folder / "complete"):
        folder = tmp_path_factory.mktemp("site")
        build_without_warnings(folder)
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in folder.rglob("*.html")}


def build_without_warnings(folder):
    """Build the site into a folder, as `make docs` does."""
    arguments = ["-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(folder)]
    process = ForkedProcess(build_site, arguments)
    _, errors = process.communicate()
    warnings = [line for line in errors.splitlines() if "WARNING:" in line or "ERROR:" in line]
    assert process.returncode == 0, "\n".join(warnings)


@pytest.mark.slow
def test_site_loads_nothing_from_other_servers(site):
    for path, page in site.items():
        loaded = re.findall(r"<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)=\"((?:https?:)?//[^\"]+)\"", page)
        assert loaded == [], path


@pytest.mark.slow
def test_site_shows_every_command_and_option(site):
    page = site["command_line.html"]
    for name, command in command_group.commands.items():
        assert f"cnnzoo-{name}" in page
        for parameter in command.params:
            for option in parameter.opts:
                assert not option.startswith("--") or option in page, (name, option)


def test_api_reference_covers_every_public_name():
    stub = ast.parse((ROOT / "cnnzoo" / "__init__.pyi").read_text(encoding="utf-8"))
    public = {alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md"))
    assert set(re.findall(r"^\.\. auto\w+:: cnnzoo\.(\w+)$", pages, re.M)) == public
    index = (DOCS / "api" / "index.md").read_text(encoding="utf-8")
    assert public <= set(re.findall(r"`(\w+)`", index))


def test_every_page_starts_with_an_example():
    """A heading, perhaps a sentence or two, then code that works."""
    skipped = {"contributing.md", "changelog.md", "decisions.md", "index.md"}
    for path in DOCS.glob("*.md"):
        if path.name not in skipped:
            start = path.read_text(encoding="utf-8")[:400]
            assert re.search(r"^```(python|sh)$", start, re.M), path
