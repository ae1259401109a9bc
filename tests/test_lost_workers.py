"""The options of `make test`: a run that loses a worker ends, and fails."""

import os
import re
import shlex
import signal
import subprocess
import sys

import pytest
from helpers.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals")]

# Groups of two tests each: a worker has finished some when another one is lost
CONFTEST = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.xdist_group(item.path.name))
"""
HARMLESS = "import time\ndef test_first(): time.sleep(0.1)\ndef test_second(): pass\n"
LOSSES = {
    "killed": f"import os\ndef test_lost(): os.kill(os.getpid(), {signal.SIGKILL:d})\ndef test_after(): pass\n",
    "hanging": "import time\ndef test_lost(): time.sleep(1000)\ndef test_after(): pass\n",
}


def makefile_options():
    """Return the words after `python` that run the tests."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    return shlex.split(re.search(r"^PYTEST := (.*)$", text, re.M)[1])


@pytest.mark.parametrize("loss", LOSSES)
def test_a_run_that_loses_a_worker_ends_with_a_failure(loss, tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for i in range(6):
        (tmp_path / f"test_{i}.py").write_text(HARMLESS)
    (tmp_path / "test_3_lost.py").write_text(LOSSES[loss])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, *makefile_options(), "-p", "no:cacheprovider", "-o", "faulthandler_timeout=5", "."]
    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert process.returncode == 1, process.stdout + process.stderr
    assert re.search(r"worker 'gw\d' crashed while running 'test_3_lost.py::test_lost", process.stdout)
    assert "1 failed" in process.stdout
    if loss == "hanging":
        assert re.search(r'test_3_lost.py", line 2 in test_lost', process.stderr), "where it waits"
