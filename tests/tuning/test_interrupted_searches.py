"""Searches that are killed or interrupted, and continue with the same trials and the same figures."""

import json
import random
import signal
import time

import numpy as np
import pytest
from helpers.commands import run_command
from helpers.images import make_blobs
from helpers.processes import finish, start_command
from helpers.quick_trials import use_quick_finals

import cnnzoo

pytestmark = pytest.mark.slow

SETTINGS = {"epochs": 6, "batch_size": 16, "learning_rate": 0.01}
TRIALS = 2


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A file of images on which an epoch takes a fraction of a second."""
    path = tmp_path_factory.mktemp("images") / "blobs.npz"
    x, y = make_blobs(600)
    np.savez(path, x=x, y=y)
    return path


@pytest.fixture(scope="module")
def command(images):
    """The arguments of the command that searches, without its run directory."""
    settings = [f"--set={name}={value}" for name, value in SETTINGS.items()]
    return ["tune", "lenet5", images, f"--trials={TRIALS}", *settings, "--no-prune"]


@pytest.fixture(scope="module")
def uninterrupted(images, tmp_path_factory):
    """The folder of the same search, run without an interruption."""
    folder = tmp_path_factory.mktemp("searches") / "uninterrupted"
    recipe = cnnzoo.recipe("sgd", **SETTINGS)
    data = cnnzoo.load_data(images)
    cnnzoo.tune("lenet5", data, recipe=recipe, trials=TRIALS, prune=False, run_dir=folder, verbose=False)
    return folder


def wait_for(condition, process):
    """Wait until a condition holds, while the process runs."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def outcomes(folder):
    """The recorded outcomes of the trials by folder name, without their durations."""
    records = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("trials/*/outcome.json")}
    return {name: {**record, "seconds": 0, "training": 0} for name, record in records.items()}


def saved_steps(folder):
    """The number of steps of each trial's saved state."""
    return {path.parents[2].name: int(path.name[5:]) for path in folder.glob("trials/*/run/state/step-*")}


def test_a_search_that_is_killed_repeatedly_ends_like_an_uninterrupted_one(command, uninterrupted, tmp_path):
    """Kill -9 at two random moments, and once in the final trainings: no finished epoch is trained twice."""
    folder, seed = tmp_path / "killed", random.randrange(2**32)
    print(f"seed of the moments: {seed}")
    draw, kills = random.Random(seed), 0

    for _ in range(2):
        before = saved_steps(folder)
        process = start_command(*command, "--run-dir", folder)
        wait_for(lambda before=before: saved_steps(folder) != before, process)
        time.sleep(draw.uniform(0, 2))
        steps = saved_steps(folder)
        process.kill()
        _, error = process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, error
        kills += 1
        time.sleep(2)  # its children end by themselves
        assert all(saved_steps(folder)[trial] >= count for trial, count in steps.items()), "no saved step is lost"
    assert kills, "the search was killed at least once before it was done"

    process = start_command(*command, "--resume", "--run-dir", folder)
    wait_for(lambda: list(folder.glob("final/*/1/run/state/step-*")), process)
    process.kill()
    process.communicate()
    ends = {path.parent: path.stat().st_mtime for path in folder.glob("trials/*/outcome.json")}
    assert len(ends) == TRIALS

    finish(start_command(*command, "--resume", "--run-dir", folder))
    assert {path.parent: path.stat().st_mtime for path in folder.glob("trials/*/outcome.json")} == ends
    assert outcomes(folder) == outcomes(uninterrupted)
    finals = sorted(path.relative_to(folder) for path in folder.glob("final/*/1/run/predictions.csv"))
    assert finals
    for path in finals:
        assert (folder / path).read_bytes() == (uninterrupted / path).read_bytes()


def test_ctrl_c_stops_a_search_and_the_same_command_continues_it(command, uninterrupted, tmp_path):
    """With one worker, then with two."""
    folder = tmp_path / "interrupted"
    for workers in (1, 2):
        before = saved_steps(folder)
        process = start_command(*command, "--workers", workers, "--run-dir", folder)
        wait_for(lambda before=before: saved_steps(folder) != before, process)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        assert process.returncode == 130, error
        assert "trials have ended" in error
        assert "the same call or command resumes the run" in error
        assert "Traceback" not in error
    with use_quick_finals():
        assert run_command(*command, "--run-dir", folder).code == 0
    assert outcomes(folder) == outcomes(uninterrupted)
