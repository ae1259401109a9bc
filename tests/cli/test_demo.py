"""The demo, as a new user runs it, but for a shorter training."""

import re
import shutil
import subprocess
import sys

import pytest

SHORT_DEMO = """
from dataclasses import replace
from cnnzoo.cli.main import main
from cnnzoo.training.recipes import RECIPES
RECIPES["digits"] = replace(RECIPES["digits"], epochs=5)
main(["demo"])
"""


@pytest.mark.slow
def test_the_demo_replaces_an_earlier_one(cli, run, tmp_path):
    folder = tmp_path / "runs" / "demo"
    shutil.copytree(run.folder, folder)
    export = folder / "saved_model"
    assert cli("export", run.folder, export, "--format", "litert").code == 0
    process = subprocess.run([sys.executable, "-c", SHORT_DEMO], cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    errors = [line for line in process.stderr.splitlines() if not re.search(r"( so far| left|in \d+ s)$", line)]
    assert len(lines) + len(errors) < 80, "under two screens, besides the progress of a slow machine"
    assert not [line for line in errors if "tensorflow" in line.lower() or "absl" in line]
    pattern = re.compile(r"a (\d) is read as (\d), with a probability of \d+\.\d\d %")
    answers = [match.groups() for line in lines if (match := pattern.fullmatch(line))]
    assert len(answers) == 6
    assert sum(digit == answer for digit, answer in answers) >= 5
    assert "report.html" in lines[-5]
    assert all(re.match(r"  \S*cnnzoo (predict|train|info) ", line) for line in lines[-3:])
    assert "lenet5 on digits" in (folder / "report.html").read_text()
    assert (export / "saved_model.pb").exists()
    assert not list(export.glob("*.tflite"))
