"""One `cnnzoo launch` for each process, as on two hosts: each ends with one line and its exit code.

The processes only connect, with shorter limits of time.
"""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from helpers.jax_processes import free_port, jax_variables

pytest.importorskip("jax")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals")]

LIMITS = """
from cnnzoo.core import connection
connection.BEAT_SECONDS, connection.SILENT_SECONDS, connection.STOPPED_SECONDS = 0.5, 6.0, 14.0
"""
LAUNCH = LIMITS + "import sys; from cnnzoo.cli.main import main; main(sys.argv[1:])"
PROGRAM = f"""
import os, time
import cnnzoo
{LIMITS}
try:
    cnnzoo.connect_processes()
except cnnzoo.InputError as error:
    raise SystemExit(f"Error: {{error}}") from None
with open(os.environ[connection.RANK], "w") as file:
    file.write(f"{{os.getpid()}}\\n")
time.sleep(600)
"""


@pytest.fixture
def run(tmp_path):
    """A function that launches processes 0 and 1 for numbers of hosts, each with a signal or none, until all end."""
    variables = {**os.environ, **jax_variables(tmp_path)}

    def run_until_end(counts=(2, 2), stopped=None, number=None):
        address, launchers = f"127.0.0.1:{free_port()}", []
        for rank, count in enumerate(counts):
            options = ["--hosts", str(count), "--rank", str(rank), "--address", address]
            words = [sys.executable, "-c", LAUNCH, "launch", *options, "--", sys.executable, "-c", PROGRAM]
            launchers.append(subprocess.Popen(words, cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True))
        if number:
            for rank in range(len(counts)):
                wait_for_line(tmp_path / str(rank), launchers)
            os.kill(int((tmp_path / str(stopped)).read_text()), number)
        texts = [launcher.communicate(timeout=300)[1] for launcher in launchers]
        return [SimpleNamespace(code=p.returncode, err=text) for p, text in zip(launchers, texts, strict=True)]

    return run_until_end


def wait_for_line(path, launchers):
    """Wait until a file has a line."""
    while not (path.exists() and path.read_text().endswith("\n")):
        assert all(launcher.poll() is None for launcher in launchers), [p.communicate()[1] for p in launchers]
        time.sleep(0.1)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_other_host(run, rank):
    ends = run(stopped=rank, number=signal.SIGKILL)
    assert [end.code for end in ends] == [1, 1]
    assert ends[rank].err.startswith(f"Error: Process {rank} of 2 was ended by SIGKILL, so all have ended")
    other = ends[1 - rank].err
    assert other.startswith("Error: Process 1 of 2 (" if rank else "Error: Process 1 ")
    assert all(end.err.count("\n") == 1 for end in ends), ends


def test_a_stopped_process_ends_with_the_other_host(run):
    ends = run(stopped=1, number=signal.SIGSTOP)
    assert [end.code for end in ends] == [1, 1]
    assert "does not answer for 6 seconds" in ends[0].err
    assert ends[1].err.startswith("Error: Process 1 of 2 showed no sign of life for 14 seconds and was ended, so all")
    assert all(end.err.count("\n") == 1 for end in ends), ends


def test_different_numbers_of_hosts_are_refused_on_both(run):
    ends = run(counts=(2, 3))
    assert [end.code for end in ends] == [1, 1]
    for end in ends:
        assert "differ in number of processes (hosts times -n): 2 and 3" in end.err
        assert end.err.count("\n") == 1
