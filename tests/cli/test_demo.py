"""The demo, as a stranger runs it."""

import re
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_demo(tmp_path):
    for _ in range(2):  # the second one replaces the first
        answer = subprocess.run([sys.executable, "-m", "cnnzoo", "demo"], cwd=tmp_path, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert len(lines) + len(answer.stderr.splitlines()) < 80, "under two screens"
    assert not [line for line in answer.stderr.splitlines() if "tensorflow" in line.lower() or "absl" in line]
    read = [line.split() for line in lines if " is read as " in line]
    assert len(read) == 6
    assert sum(words[1] == words[5] for words in read) >= 5
    assert "report.html" in lines[-5]
    assert all(re.match(r"  \S*cnnzoo (predict|train|info) ", line) for line in lines[-3:])
    assert (tmp_path / "runs" / "demo" / "report.html").exists()
    assert (tmp_path / "runs" / "demo" / "saved_model" / "saved_model.pb").exists()
