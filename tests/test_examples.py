"""What the README and the examples say works, run as written."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.paths import ROOT

import cnnzoo

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README + GUIDE, re.M | re.S)


def run(code_or_path, folder):
    command = [sys.executable, code_or_path] if isinstance(code_or_path, Path) else [sys.executable, "-c", code_or_path]
    answer = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "default"}
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs(path, tmp_path):
    assert run(path, tmp_path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_is_short(path):
    assert len(path.read_text().splitlines()) < 60


@pytest.mark.slow
@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_the_readme_and_the_guide_run(snippet, tmp_path):
    run(snippet, tmp_path)


def test_the_quickstart_is_the_readmes_ten_lines():
    quickstart = (ROOT / "examples" / "quickstart.py").read_text()
    lines = quickstart.split("# [README]\n")[1].split("# [/README]")[0]
    lines = lines.replace('folder / "run"', '"runs/first"').replace('folder / "exported"', '"exported"')
    assert lines == SNIPPETS[0]


@pytest.mark.parametrize("page", ["README.md", "docs/models.md"])
def test_the_tables_are_the_registrys(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    made = runpy.run_path(str(ROOT / "docs" / "make_models.py"))["made"]
    assert "<!-- /" in text
    assert made(text) == text, "make docs brings them up to date"


def test_the_tables_name_every_model_once():
    overview = re.search(r"<!-- overview -->(.*)<!-- /overview -->", README, re.S)[1]
    assert sorted(re.findall(r"`(\w+)`", overview)) == sorted(cnnzoo.list_models())
    models = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \| [\d,]+ \|", models, re.M) == cnnzoo.list_models()


def test_the_readmes_commands_exist():
    from cnnzoo.cli.main import cli

    commands = set(re.findall(r"^cnnzoo ([\w-]+)", README, re.M))
    assert commands
    assert commands <= cli.commands.keys()
