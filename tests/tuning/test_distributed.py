"""Searches by a chief and two workers: with every oracle, with a worker that is killed, with a chief that is killed.

The chief runs in this process where it is not killed. Its workers train; the comparison at its end does not.
"""

import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.distributed_search import TRIALS, free_port, role_variables, run_search, start_process
from helpers.processes import finish
from keras_tuner.src.distribute import oracle_chief

import cnnzoo
from cnnzoo.tuning import distributed
from cnnzoo.tuning.distributed import VARIABLES, Role
from cnnzoo.tuning.oracles import ORACLES


@pytest.fixture(scope="module")
def chief():
    """Make this process a chief that notices the end of a search, and lost workers, sooner than usual."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in role_variables("chief").items():
            patch.setenv(name, value)
        patch.setattr(oracle_chief, "time", SimpleNamespace(sleep=lambda seconds: time.sleep(min(seconds, 1))))
        patch.setattr(distributed, "SILENT_SECONDS", 8.0)
        yield


def outcomes(folder):
    return [json.loads(path.read_text()) for path in Path(folder).glob("trials/*/outcome.json")]


def wait_for_steps(folder, process, count=1):
    """Wait until `count` steps of the trials are saved, while the process runs."""
    while len(list(Path(folder).glob("trials/*/run/state/step-*"))) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def searches(chief, tmp_path_factory):
    """The arguments of a search by each oracle, run by the chief and the same two workers.

    Hyperband's trials continue each other's trainings, so they are real ones; other tests train with "random".
    """
    folder = tmp_path_factory.mktemp("distributed")
    searches = {
        name: {"oracle": name, "folder": str(folder / name), "port": free_port(), "quick": name != "hyperband"}
        for name in ORACLES
    }
    workers = [start_process(f"worker-{i}", *searches.values()) for i in range(2)]
    for arguments in searches.values():
        assert len(run_search(**arguments | {"quick": True}).trials) == TRIALS
    for worker in workers:
        assert finish(worker, timeout=600).split() == ["worker"] * len(searches)
    return searches


@pytest.mark.slow
@pytest.mark.parametrize("oracle", ORACLES)
def test_a_chief_and_two_workers_finish_every_trial(oracle, searches):
    ended = outcomes(searches[oracle]["folder"])
    assert len(ended) == TRIALS
    assert all("score" in outcome for outcome in ended)


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_no_trial(chief, tmp_path):
    arguments = {"oracle": "random", "folder": str(tmp_path / "a"), "port": free_port()}
    lost, other = (start_process(f"worker-{i}", arguments) for i in range(2))

    def kill_in_a_trial():
        wait_for_steps(arguments["folder"], lost)
        lost.kill()

    killer = threading.Thread(target=kill_in_a_trial)
    killer.start()
    run_search(**arguments, quick=True)
    killer.join()
    lost.communicate()
    assert lost.returncode < 0, "it was killed before the search ended"
    finish(other, timeout=600)
    assert len(outcomes(arguments["folder"])) == TRIALS


@pytest.mark.slow
def test_workers_reconnect_to_a_chief_that_is_restarted(chief, tmp_path):
    """Its workers continue to train; trials that end in the meantime count."""
    arguments = {"oracle": "random", "folder": str(tmp_path / "a"), "port": free_port()}
    first_chief, *workers = (start_process(role, arguments) for role in ("chief", "worker-0", "worker-1"))
    wait_for_steps(arguments["folder"], first_chief, 2)
    first_chief.kill()
    first_chief.communicate()
    run_search(**arguments, quick=True)
    for worker in workers:
        finish(worker, timeout=600)
    assert len(outcomes(arguments["folder"])) == TRIALS


def test_the_role_is_that_of_keras_tuners_variables(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    alone = Role.from_environment()
    assert not alone.is_chief
    assert not alone.is_worker
    for name, value in role_variables("worker-1").items():
        monkeypatch.setenv(name, value)
    worker = Role.from_environment()
    assert worker == Role("worker-1", "127.0.0.1:0")
    assert worker.is_worker
    monkeypatch.delenv("KERASTUNER_ORACLE_PORT")
    with pytest.raises(cnnzoo.InputError, match="Not set: KERASTUNER_ORACLE_PORT"):
        Role.from_environment()
