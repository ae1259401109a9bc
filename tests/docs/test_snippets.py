"""The snippets of the README and of the docs run as written.

The Python snippets of a page run from top to bottom in one namespace; so do its commands, in this process. A block of
commands after the comment <!-- not run: WHY -->, or a block of another language, is only parsed.
"""

import pkgutil
import re
import shlex
import tomllib
import warnings

import click
import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.quick_trials import use_quick_trials
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from cnnzoo import registry
from cnnzoo.cli.main import cli as command_group
from cnnzoo.cli.main import main

README = ROOT / "README.md"
QUICKSTARTS = README, ROOT / "docs" / "quickstart.md"  # examples/quickstart.py runs their Python lines, see below
PAGES = [README, *(page for page in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in page.parts)]
NOT_NAMES = {
    "cnnzoo.json",  # a file
    "cnnzoo.weights",  # a package that only an installation has
    "cnnzoo.inference.beam",  # a module that needs the extra beam
}
BLOCK = re.compile(r"(<!-- not run:[^\n]*-->\n\n)?^```(\w+)\n(.*?)^```", re.M | re.S)


def page_id(page):
    return str(page.relative_to(ROOT))


def read_blocks(page):
    """The fenced blocks of a page: (language, text, whether it is to be run)."""
    text = page.read_text(encoding="utf-8")
    return [(match[2], match[3], match[1] is None) for match in BLOCK.finditer(text)]


def exists(name):
    """Return whether a dotted name is an attribute or a module."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def python_snippets(page):
    return [text for language, text, run in read_blocks(page) if language == "python" and run]


def command_lines(page, *, only_run):
    """The cnnzoo commands on a page, as lists of words, without comments."""
    commands = []
    for language, text, run in read_blocks(page):
        if language in (("sh",) if only_run else ("sh", "bash", "text")) and (run or not only_run):
            lines = [line for line in text.replace("\\\n", " ").splitlines() if line.startswith("cnnzoo ")]
            commands += [shlex.split(line, comments=True)[1:] for line in lines]
    return commands


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with the files that the pages use: photos of two classes, scans of digits, and one digit."""
    folder = tmp_path_factory.mktemp("docs")
    rng = np.random.default_rng(0)
    for name, photo in zip(("temple", "flower"), load_sample_images().images, strict=True):
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(12):
            y, x = rng.integers(0, 300), rng.integers(0, 500)
            Image.fromarray(photo[y : y + 120, x : x + 120]).save(folder / "photos" / name / f"{i}.jpg")
    (folder / "scans").mkdir()
    digits = load_digits()
    for i in range(6):
        pixels = np.pad((digits.images[i] * (255 / 16)).astype("uint8"), 2)
        Image.fromarray(pixels).resize((56, 56)).save(folder / "scans" / f"{i}.png")
    (folder / "photo.png").write_bytes((folder / "scans" / "3.png").read_bytes())
    return folder


@pytest.fixture
def inside(workplace, page, monkeypatch, request, shorten_recipes):
    """Work in that folder, with recipes that end after two epochs, few digits, and a registry of its own."""
    if page.stem != "evaluation":  # which evaluates published weights, on the images that they were not trained on
        request.getfixturevalue("few_digits")
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(registry, "_registered", {})
    shorten_recipes(2)
    return workplace


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page not in QUICKSTARTS and python_snippets(page)], ids=page_id
)
def test_python_snippets_run(page, inside):
    namespace = {"__name__": "__main__"}
    with warnings.catch_warnings(), use_quick_trials():  # examples/tune.py trains
        warnings.simplefilter("default")
        warnings.simplefilter("error", UserWarning)
        for snippet in python_snippets(page):
            exec(compile(snippet, str(page), "exec"), namespace)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if command_lines(page, only_run=True)], ids=page_id)
def test_commands_run(page, inside, capsys):
    for words in command_lines(page, only_run=True):
        try:
            main(words)
        except SystemExit as end:
            assert not end.code, (words, capsys.readouterr().err)


@pytest.mark.parametrize("page", [page for page in PAGES if command_lines(page, only_run=False)], ids=page_id)
def test_every_command_is_valid(page, inside):
    """Also those that are not run: the command, its options and the types of their values exist."""
    for words in command_lines(page, only_run=False):
        if words[0].startswith("-"):
            continue
        command = command_group.commands[words[0]]
        try:
            command.make_context(words[0], list(words[1:]))
        except click.exceptions.Exit:
            pass
        except click.UsageError as error:
            pytest.fail(f"{shlex.join(words)}: {error.format_message()}")


def test_every_extra_exists():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set()
    for page in PAGES:
        for extras in re.findall(r"pip install '[\w.]+\[([\w,]+)\]'", page.read_text(encoding="utf-8")):
            named |= set(extras.split(","))
    assert named
    assert named <= project["optional-dependencies"].keys()


def test_every_make_target_exists():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = set(re.findall(r"^make ([\w-]+)", "\n".join(page.read_text(encoding="utf-8") for page in PAGES), re.M))
    assert named
    assert named <= targets


def test_quickstart_page_and_example_show_the_lines_of_the_readme():
    """The README, the quickstart page and examples/quickstart.py show the same lines."""
    example = (ROOT / "examples" / "quickstart.py").read_text(encoding="utf-8")
    lines = example.split("# [README]\n")[1].split("# [/README]")[0]
    lines = lines.replace('folder / "run"', '"runs/first"').replace('folder / "exported"', '"exported"')
    assert lines == python_snippets(README)[0]
    assert lines == python_snippets(ROOT / "docs" / "quickstart.md")[0]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_lines_are_short(page):
    """Prose and code wrap at 100 columns; the rows of tables and the messages in text blocks need not."""
    text = re.sub(r"^```(text|none)\n.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert [line for line in text.splitlines() if len(line) > 100 and not line.startswith("|")] == []


def test_readme_is_one_screen():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 100


def test_readme_shows_two_pictures_of_a_report():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = re.findall(r'<img src="([^"]+)" width="49%" alt="([^"]+)">', text)
    assert [path for path, alt in pictures if (ROOT / path).is_file() and alt] == [
        "docs/images/report.png",
        "docs/images/mistakes.png",
    ]


def test_pictures_are_small():
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < 150_000, picture


def test_every_name_and_file_on_the_pages_exists():
    """Names in backticks such as `cnnzoo.card(model)`, and files such as `tests/test_golden.py`."""
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for code in re.findall(r"`([^`\n]+)`", prose):
            if re.fullmatch(r"[\w/]+/\w+\.(py|toml|md|png)", code):
                assert any((folder / code).exists() for folder in (ROOT, ROOT / "cnnzoo")), (page_id(page), code)
            elif name := re.match(r"cnnzoo((?:\.[A-Za-z]\w*)+)", code):
                assert code in NOT_NAMES or exists(name[0]), (page_id(page), code)
