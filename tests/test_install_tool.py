""".ci/install.py, which says how far pip is."""

import io
import runpy
import sys

import pytest
from helpers.paths import ROOT

TOOL = runpy.run_path(str(ROOT / ".ci" / "install.py"))
PIP_OUTPUT = """Obtaining file:///home/ann/cnnzoo
Collecting tensorflow>=2.20 (from cnnzoo==0.9.0)
  Downloading tensorflow-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl (572.4 MB)
Collecting keras>=3.13 (from cnnzoo==0.9.0)
  Using cached keras-3.15.1-py3-none-any.whl (1.2 MB)
Installing collected packages: tensorflow, keras, cnnzoo
"""


@pytest.fixture
def installation(tmp_path):
    """An installation into an empty folder, 30 seconds after its begin."""
    times = iter([100.0])
    return TOOL["Installation"](tmp_path, clock=lambda: next(times, 130.0))


def test_the_status_follows_the_output_of_pip_and_the_folder(installation, tmp_path):
    lines = PIP_OUTPUT.splitlines(keepends=True)
    for line in lines[:3]:
        installation.read(line)
    assert installation.status() == "Downloading package 2, tensorflow (572.4 MB), 30 s so far"
    for line in lines[3:]:
        installation.read(line)
    (tmp_path / "keras-3.15.1.dist-info").mkdir()
    assert installation.status() == "Unpacking: 1 of 3 packages, now keras, 30 s so far"


def test_a_package_that_is_collected_twice_counts_once(installation):
    for line in ("Collecting numpy>=2\n", "Collecting NumPy (from keras)\n", "Collecting keras\n"):
        installation.read(line)
    assert installation.status() == "Downloading package 2, 30 s so far"


def test_packages_that_were_there_before_do_not_count(tmp_path):
    (tmp_path / "pip-25.0.dist-info").mkdir()
    installation = TOOL["Installation"](tmp_path)
    installation.read("Installing collected packages: keras\n")
    assert installation.status().startswith("Unpacking: 0 of 1 packages")


@pytest.mark.parametrize("code", [0, 3])
def test_a_failure_shows_what_pip_has_printed(installation, code):
    out = io.StringIO()
    command = [sys.executable, "-c", f"import sys; print({PIP_OUTPUT!r}); sys.exit({code})"]
    assert TOOL["run_pip"](command, installation, out) == code
    assert out.getvalue() == (f"{PIP_OUTPUT}\n" if code else "3 packages installed in 30 s\n")
