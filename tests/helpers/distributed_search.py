"""A small search that processes of a test run together, as a chief or as its workers."""

import json
import os
import socket
import subprocess
import sys

import cnnzoo
from helpers.images import make_blobs
from helpers.paths import ROOT
from helpers.shared_server import start_shared_server, use_server

TRIALS = 6  # Hyperband over three epochs begins with four
SPACE = {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}, "momentum": [0.5, 0.8, 0.9], "batch_size": [6, 12]}
SCRIPT = """
import json, sys
from helpers.distributed_search import run_searches
for result in run_searches(json.loads(sys.argv[1])):
    print("worker" if result is None else len(result.trials))
"""


def role_variables(role):
    """Keras Tuner's environment variables; the port is that of each search."""
    return {"KERASTUNER_TUNER_ID": role, "KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": "0"}


def run_search(oracle, folder, port):
    """Run the search in this process, in the role that its environment names."""
    os.environ["KERASTUNER_ORACLE_PORT"] = str(port)
    data = cnnzoo.load_data(make_blobs(), splits=(0.6, 0.2, 0.2))
    recipe = cnnzoo.Recipe(epochs=3, batch_size=12, learning_rate=0.01)
    options = {"space": SPACE, "recipe": recipe, "trials": TRIALS, "oracle": oracle, "prune": False}
    return cnnzoo.tune("lenet5", data, run_dir=folder, verbose=False, **options)


def run_searches(searches):
    """Run searches one after the other, each given by the arguments of `run_search`; return their results."""
    if len(searches) == 1:
        return [run_search(**searches[0])]
    with start_shared_server() as server, use_server(server):
        return [run_search(**arguments) for arguments in searches]


def start_process(role, *searches):
    """Start a process that runs searches one after the other, each given by the arguments of `run_search`."""
    paths = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps(searches)],
        env=os.environ | role_variables(role) | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish_process(process):
    """Wait for a process to succeed; return what it printed for each of its searches."""
    out, error = process.communicate(timeout=600)
    assert process.returncode == 0, (out, error)
    return out.split()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
