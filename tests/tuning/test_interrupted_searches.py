"""Searches in processes of their own: killed, interrupted, spread over workers, and back at the same trials."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time

import pytest

from cnnzoo.tuning import oracles

pytestmark = pytest.mark.slow

COMMAND = [
    sys.executable,
    "-m",
    "cnnzoo",
    "tune",
    "lenet5",
    "digits",
    "--trials",
    "4",
    "--set",
    "epochs=3",
    "--no-prune",
]


def outcomes(folder):
    found = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("trials/*/outcome.json")}
    return {name: {**kept, "seconds": 0, "training": 0} for name, kept in found.items()}


def test_kill_9_at_three_random_moments(tmp_path):
    """The same trials with the same figures as undisturbed, and no epoch of them trained twice but the last one."""
    subprocess.run([*COMMAND, "--run-dir", tmp_path / "whole"], check=True, capture_output=True)
    draw, torn = random.Random(), tmp_path / "torn"
    kills = 0
    for _ in range(3):
        process = subprocess.Popen([*COMMAND, "--run-dir", torn], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        before = set(torn.glob("trials/*/run/state/step-*"))
        while process.poll() is None and set(torn.glob("trials/*/run/state/step-*")) <= before:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 4))
        epochs = {path.parents[2].name: int(path.name[5:]) for path in torn.glob("trials/*/run/state/step-*")}
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, err
        kills += 1
        time.sleep(2)  # its children end by themselves
        kept = {path.parents[2].name: int(path.name[5:]) for path in torn.glob("trials/*/run/state/step-*")}
        assert all(kept[name] >= steps for name, steps in epochs.items()), "no step that was kept is lost"
    assert kills, "it was killed once at least before it was done"
    subprocess.run([*COMMAND, "--run-dir", torn, "--resume"], check=True, capture_output=True)
    assert outcomes(torn) == outcomes(tmp_path / "whole")
    assert len(outcomes(torn)) == 4


def test_a_search_killed_in_its_final_trainings_goes_on_with_them(tmp_path):
    command = [*COMMAND, "--trials", "2"]
    subprocess.run([*command, "--run-dir", tmp_path / "whole"], check=True, capture_output=True)
    torn = tmp_path / "torn"
    process = subprocess.Popen([*command, "--run-dir", torn], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not list(torn.glob("final/*/1/run/state/step-*")):
        time.sleep(0.01)
        assert process.poll() is None, process.communicate()
    process.kill()
    process.communicate()
    began = {path.parent: path.stat().st_mtime for path in torn.glob("trials/*/outcome.json")}
    subprocess.run([*command, "--run-dir", torn], check=True, capture_output=True)
    assert {path.parent: path.stat().st_mtime for path in torn.glob("trials/*/outcome.json")} == began
    finals = sorted(path.relative_to(torn) for path in torn.glob("final/*/1/run/predictions.csv"))
    assert finals
    for path in finals:
        assert (torn / path).read_bytes() == (tmp_path / "whole" / path).read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_stops_at_once_and_the_same_command_goes_on(tmp_path, workers):
    command = [*COMMAND, "--workers", str(workers), "--run-dir", str(tmp_path / "a")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "a").glob("trials/*/run/state/step-*")):
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "trials have ended" in err
    assert "the same call or command resumes the run" in err
    assert "Traceback" not in err
    subprocess.run(command, check=True, capture_output=True)
    assert len(outcomes(tmp_path / "a")) == 4


SCRIPT = """
import sys
import cnnzoo
from helpers.images import make_blobs
recipe = cnnzoo.Recipe(epochs=3, batch_size=12, learning_rate=0.01)
space = {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}, "momentum": [0.5, 0.8, 0.9], "batch_size": [6, 12]}
found = cnnzoo.tune("lenet5", cnnzoo.load_data(make_blobs(), splits=(0.6, 0.2, 0.2)), space=space, recipe=recipe,
                    trials=int(sys.argv[3]), oracle=sys.argv[1], run_dir=sys.argv[2], prune=False)
print("worker" if found is None else len(found.trials))
"""


def spread(role, port, kind, folder, trials):
    env = os.environ | {
        "KERASTUNER_TUNER_ID": role,
        "KERASTUNER_ORACLE_IP": "127.0.0.1",
        "KERASTUNER_ORACLE_PORT": str(port),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path.endswith("tests")),
    }
    command = [sys.executable, "-c", SCRIPT, kind, str(folder), str(trials)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("kind", oracles.ORACLES)
def test_a_chief_and_two_workers_finish_every_trial(kind, tmp_path):
    port = free_port()
    processes = [spread(role, port, kind, tmp_path / "a", 20) for role in ("chief", "worker-0", "worker-1")]
    answers = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], answers
    assert [out.split()[-1] for out, _ in answers] == ["20", "worker", "worker"]
    kept = outcomes(tmp_path / "a")
    assert len(kept) == 20
    assert all("score" in each for each in kept.values())


def test_a_worker_that_is_killed_loses_no_trial(tmp_path):
    port = free_port()
    chief, lost, other = (spread(role, port, "random", tmp_path / "a", 6) for role in ("chief", "worker-0", "worker-1"))
    while not list((tmp_path / "a").glob("trials/*/run/state/step-*")):
        time.sleep(0.05)
        assert lost.poll() is None, lost.communicate()
    lost.kill()
    for process in (chief, other):
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, (out, err)
    lost.communicate()
    assert len(outcomes(tmp_path / "a")) == 6


def test_a_chief_that_is_killed_comes_back_to_its_workers(tmp_path):
    """While they train; the trials that they end meanwhile count."""
    port = free_port()
    roles = ("chief", "worker-0", "worker-1")
    chief, *workers = (spread(role, port, "random", tmp_path / "a", 8) for role in roles)
    while len(list((tmp_path / "a").glob("trials/*/run/state/step-*"))) < 2:
        time.sleep(0.05)
        assert chief.poll() is None, chief.communicate()
    chief.kill()
    chief.communicate()
    again = spread("chief", port, "random", tmp_path / "a", 8)
    for process in (again, *workers):
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, (out, err)
    assert len(outcomes(tmp_path / "a")) == 8


def test_a_search_runs_on_jax(tmp_path):
    """Whose threads no fork survives: trials are started anew."""
    command = [*COMMAND, "--trials", "2", "--set", "epochs=1", "--run-dir", tmp_path / "a"]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"KERAS_BACKEND": "jax"})
    assert all("score" in each for each in outcomes(tmp_path / "a").values())
    assert len(outcomes(tmp_path / "a")) == 2
