"""Trials in processes of their own: whatever one does to its process, the others and the search go on."""

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from helpers.trial_tasks import run_task

import cnnzoo
from cnnzoo.tuning.server import Limits, TrialServer

HERE = str(Path(__file__).parents[1])
pytestmark = pytest.mark.slow  # a server imports TensorFlow


@pytest.fixture(scope="module")
def server():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", HERE)
        with TrialServer(run_task, Limits(memory=2e9, silence=3.0)) as server:
            yield server


def test_jobs_answer_from_processes_of_their_own(server):
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(server.run, [("answer", i) for i in range(8)]))
    assert [value for _, (value, _) in answers] == list(range(8))
    assert len({process for _, (_, process) in answers}) == 8


def test_a_child_starts_in_a_moment(server):
    server.run(("answer", 0))
    begun = time.perf_counter()
    for i in range(5):
        server.run(("answer", i))
    assert (time.perf_counter() - begun) / 5 < 5, "none of them imports TensorFlow again"


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (("exit", 3), "exit code 3"),
        (("kill", 0), "killed by SIGKILL, as the machine does when memory runs out"),
        (("hang", 0), "did nothing for [3-9] s"),
        (("hog", 0), r"used 2\.\d GB of memory, more than the 2\.0 GB"),
    ],
)
def test_what_ends_badly_is_told_with_its_reason(server, job, why):
    with ThreadPoolExecutor(2) as pool:
        bad, good = pool.map(server.run, [job, ("answer", 1)])
    assert bad[0] == "failed"
    assert re.search(why, bad[1]), bad
    assert good[0] == "done"


def test_long_work_is_no_hanging(server):
    assert server.run(("work", 5)) == ("done", 5)


def test_a_server_that_dies_ends_the_search():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", HERE)
        with TrialServer(run_task, Limits(2e9, 60)) as server, ThreadPoolExecutor(1) as pool:
            server.run(("answer", 0))
            waiting = pool.submit(server.run, ("hang", 0))
            time.sleep(1)
            server.process.kill()
            with pytest.raises(cnnzoo.TrainingError, match="starts the trials has ended"):
                waiting.result()


@pytest.mark.parametrize("victim", ["search", "server"])
def test_no_process_is_left_behind(victim):
    """A search that is killed takes its server and its trials along, and a server its trials."""
    code = (
        "from helpers.trial_tasks import run_task; from cnnzoo.tuning.server import Limits, TrialServer; import sys\n"
        "if __name__ == '__main__':\n"
        "    with TrialServer(run_task, Limits(2e9, 60)) as server:\n"
        "        server.run(('answer', 0)); print('ready', flush=True); server.run(('hang', 0))\n"
    )
    search = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": HERE},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert search.stdout.readline().strip() == b"ready"
    time.sleep(1)
    family = psutil.Process(search.pid).children(recursive=True)
    assert len(family) == 2
    (search if victim == "search" else family[0]).kill()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive
    search.kill()
    search.communicate()
