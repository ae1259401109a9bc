"""A small search that processes of a test run together, as a chief or as its workers."""

import contextlib
import os
import socket

import cnnzoo
from helpers.images import make_blobs
from helpers.processes import ForkedProcess, fork_trial_servers
from helpers.quick_trials import use_quick_trials

TRIALS = 4  # with which Hyperband over three epochs begins
SPACE = {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}, "momentum": [0.5, 0.8, 0.9], "batch_size": [6, 12]}


def role_variables(role):
    """Keras Tuner's environment variables; the port is that of each search."""
    return {"KERASTUNER_TUNER_ID": role, "KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": "0"}


def run_search(oracle, folder, port, *, quick=False):
    """Run the search in this process, in the role that its environment names; return its result, None in a worker."""
    os.environ["KERASTUNER_ORACLE_PORT"] = str(port)
    data = cnnzoo.load_data(make_blobs(), splits=(0.6, 0.2, 0.2))
    recipe = cnnzoo.Recipe(epochs=3, batch_size=12, learning_rate=0.01)
    options = {"space": SPACE, "recipe": recipe, "trials": TRIALS, "oracle": oracle, "prune": False}
    with use_quick_trials() if quick else contextlib.nullcontext():
        return cnnzoo.tune("lenet5", data, run_dir=folder, verbose=False, **options)


def start_process(role, *searches):
    """Start a process that runs searches one after the other, each given by the arguments of `run_search`."""
    return ForkedProcess(_run_searches, role, searches)


def _run_searches(role, searches):
    os.environ.update(role_variables(role))
    with fork_trial_servers():
        for arguments in searches:
            print("worker" if run_search(**arguments) is None else "chief")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
