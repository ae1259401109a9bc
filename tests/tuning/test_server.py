"""Trials in processes of their own: a failure of one affects neither the others nor the search."""

import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from types import SimpleNamespace

import psutil
import pytest
from helpers.paths import ROOT
from helpers.processes import ForkedProcess, fork_trial_servers
from helpers.trial_tasks import run_task

import cnnzoo
from cnnzoo.tuning import server as server_module
from cnnzoo.tuning.server import SERVER_CODE, Limits, TrialServer

TESTS = str(ROOT / "tests")
SHOW_AT_ONCE = "import cnnzoo.core.progress as progress; progress.DELAY = 0; "
pytestmark = pytest.mark.slow  # a server imports TensorFlow


@pytest.fixture(scope="module")
def forked_trial_servers():
    """None: the server of this module is a new Python."""


@pytest.fixture(scope="module")
def errors(tmp_path_factory):
    """The file to which the server of this module writes its stderr."""
    return tmp_path_factory.mktemp("server") / "stderr"


@pytest.fixture(scope="module")
def server(errors):
    """A server whose children find the task, and that would show the progress of its imports at once."""

    def start(command, **options):
        command = [word.replace(SERVER_CODE, SHOW_AT_ONCE + SERVER_CODE) for word in command]
        with errors.open("w") as file:
            return subprocess.Popen(command, stderr=file, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", TESTS)
        patch.setattr(server_module, "subprocess", SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL))
        server = TrialServer(run_task, Limits(memory=1e9, timeout=3.0))
    with server:
        yield server


def test_jobs_answer_from_processes_of_their_own(server):
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(server.run, [("answer", i) for i in range(8)]))
    assert [value for _, (value, _) in answers] == list(range(8))
    assert len({process for _, (_, process) in answers}) == 8


def test_a_child_starts_quickly(server):
    for _ in range(2):
        status, cpu_seconds = server.run(("cpu", 0))
        assert (status, cpu_seconds < 2) == ("done", True), "none of them imports TensorFlow again"


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (("exit", 3), "exit code 3"),
        (("kill", 0), "killed by SIGKILL; the system does this when memory runs out"),
        (("hang", 0), r"made no progress for \d+ s"),
        (("hog", 0), r"used 1\.\d GB of memory; the limit per trial is 1\.0 GB"),
    ],
)
def test_a_failed_job_has_a_reason(server, job, message):
    with ThreadPoolExecutor(2) as pool:
        failed, answered = pool.map(server.run, [job, ("answer", 1)])
    assert failed[0] == "failed"
    assert re.search(message, failed[1]), failed
    assert answered[0] == "done"


def test_long_work_does_not_count_as_hanging(server):
    assert server.run(("work", 4)) == ("done", 4)


def test_a_server_shows_no_progress_beside_that_of_the_search(server, errors):
    assert server.run(("answer", 0))[0] == "done"
    assert errors.read_text() == ""


def test_a_server_that_dies_ends_the_search():
    with fork_trial_servers(), TrialServer(run_task, Limits(2e9, 60)) as server, ThreadPoolExecutor(1) as pool:
        server.run(("answer", 0))
        waiting = pool.submit(server.run, ("hang", 0))
        time.sleep(0.2)
        server.process.kill()
        for job in (waiting.result, lambda: server.run(("answer", 0))):
            with pytest.raises(cnnzoo.TrainingError, match="starts the trials has ended"):
                job()


def hang(new_python):
    """Run a trial that hangs, on a server of this process."""
    with nullcontext() if new_python else fork_trial_servers(), TrialServer(run_task, Limits(2e9, 60)) as server:
        server.run(("answer", 0))
        print(server.process.pid, flush=True)
        server.run(("hang", 0))


@pytest.mark.parametrize(("victim", "new_python"), [("search", True), ("server", False)])
def test_no_process_is_left_behind(victim, new_python):
    """A search that is killed takes its server and its trials along, and a server its trials."""
    search = ForkedProcess(hang, new_python)
    while not search.read_output().endswith("\n"):
        assert search.poll() is None, search.communicate()
        time.sleep(0.05)
    server = psutil.Process(int(search.read_output()))
    while not (trials := server.children()):
        time.sleep(0.05)
    (search if victim == "search" else server).kill()
    _, alive = psutil.wait_procs([server, *trials], timeout=60)
    assert not alive
    search.kill()
    search.wait()
