"""tune as a whole: with real trainings in real processes, killed, spread over workers, and shown."""

import csv
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

import cnnzoo
from cnnzoo.training import recipes
from cnnzoo.tuning import oracles, result

RECIPE = cnnzoo.Recipe(epochs=2, batch_size=12, learning_rate=0.001)
RANGES = {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}, "augment": ["none", "shift"]}
pytestmark = pytest.mark.slow


def tune(data, folder, **options):
    return cnnzoo.tune(
        "lenet5",
        data,
        **{"space": RANGES, "recipe": RECIPE, "trials": 4, "verbose": False, "run_dir": folder, **options},
    )


@pytest.fixture(scope="module")
def found(data, tmp_path_factory):
    return tune(data, tmp_path_factory.mktemp("search") / "a", trials=9, seeds=2)


def test_a_search_ends_in_a_better_recipe_that_is_proven_on_the_test_split(found, data):
    assert len(found.trials) == 9
    assert [t.number for t in found.trials] == list(range(9))
    assert found.trials[0].chosen == {"learning_rate": 0.001, "augment": "none"}
    assert found.best.score == max(t.score for t in found.trials) > found.trials[0].score
    assert found.recipe == replace(RECIPE, **found.best.chosen)
    assert found.report.split == found.default.split == "test"
    assert found.report.labels.tolist() == data.test.labels.tolist()
    pairs = np.subtract(found.comparison["best"], found.comparison["default"])
    assert found.comparison["difference"] == pytest.approx(pairs.mean())
    assert found.comparison["low"] <= pairs.mean() <= found.comparison["high"]
    assert "points (95 % interval" in str(found)
    assert cnnzoo.load(found.run).predict([data.test.images[0]])


def test_what_is_written_can_be_used(found, cli):
    rows = list(csv.DictReader((found.run_dir / "trials.csv").read_text().splitlines()))
    assert len(rows) == 9
    assert rows[0]["trial"] == str(found.best.number)
    assert recipes.find(str(found.run_dir / "best.toml")) == replace(found.recipe, source="", cost="", result="")
    page = (found.run_dir / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3, "history, parallel coordinates, importance"
    assert json.loads((found.run_dir / "run.json").read_text())["status"] == "done"


def test_the_same_seed_gives_the_same_search(found, data, tmp_path):
    again = tune(data, tmp_path / "a", trials=3, workers=2)
    for a, b in zip(found.trials, again.trials, strict=False):
        assert (a.chosen, a.score, a.history) == (b.chosen, b.score, b.history)


def test_another_search_is_refused_and_an_ended_one_can_get_more_trials(data, tmp_path):
    tune(data, tmp_path / "a", trials=1)
    with pytest.raises(cnnzoo.InputError, match="holds a run already"):
        tune(data, tmp_path / "a", trials=2)
    with pytest.raises(
        cnnzoo.InputError, match="different run, so it cannot go on: .*oracle: 'random' then, 'grid' now"
    ):
        tune(data, tmp_path / "a", trials=2, oracle="grid", resume=True)
    more = tune(data, tmp_path / "a", trials=6, resume=True)
    assert len(more.trials) == 6
    assert more.best.number > 0, "another best than the first time, trained anew beside it"
    assert len(tune(data, tmp_path / "a", trials=1, overwrite=True).trials) == 1


def test_failed_trials_are_recorded_and_the_search_goes_on(data, tmp_path):
    ranges = {"learning_rate": [0.001, 1e38], "warmup_epochs": [0.0, 1.5], "epochs": [2, 1]}
    got = tune(data, tmp_path / "a", oracle="grid", trials=8, space=ranges)
    failures = [t for t in got.trials if t.status == "failed"]
    assert {("became" in t.reason, "warmup_epochs is out of range" in t.reason) for t in failures} == {
        (True, False),
        (False, True),
    }
    assert len(failures) < 8
    assert "failed" in str(got)
    page = (tmp_path / "a" / "report.html").read_text()
    assert "Failures" in page


def test_a_search_without_any_success_lists_the_reasons(data, tmp_path):
    with pytest.raises(cnnzoo.InputError, match="None of the 2 trials succeeded: The loss became .*trial 0"):
        tune(
            data,
            tmp_path / "a",
            recipe=replace(RECIPE, learning_rate=1e38),
            space={"augment": ["none", "shift"]},
            trials=2,
        )


def test_a_default_that_fails_can_be_improved(data, tmp_path):
    ranges = {"learning_rate": [0.01, 0.05]}
    got = tune(data, tmp_path / "a", recipe=replace(RECIPE, learning_rate=1e38), space=ranges, oracle="grid", trials=3)
    assert got.trials[0].status == "failed"
    assert got.default is None
    assert "the default fails" in str(got)
    assert cnnzoo.load(got.run)


def test_fine_tuning_can_be_searched(data, tmp_path):
    recipe = replace(recipes.find("finetune"), epochs=2, batch_size=12, precision="float32")
    got = tune(data, tmp_path / "a", weights="mnist", recipe=recipe, space={"learning_rate": [1e-3, 1e-2]}, trials=2)
    assert got.report.probe
    assert all(t.status == "completed" for t in got.trials)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 0}, "trials is a whole number from 1"),
        ({"oracle": "baysian"}, "Unknown oracle. Did you mean bayesian"),
        ({"objective": "acuracy"}, "Unknown metric. Did you mean accuracy"),
        ({"recipe": "sdg"}, "Unknown recipe. Did you mean sgd"),
        ({"workers": 0}, "workers is a whole number from 1"),
        ({"seeds": 0}, "seeds is a whole number from 1"),
    ],
)
def test_bad_input_is_refused_at_once(data, tmp_path, options, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        tune(data, tmp_path / "a", **options)
    assert not (tmp_path / "a").exists()


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
    assert "the same call or command goes on" in err
    assert "Traceback" not in err
    subprocess.run(command, check=True, capture_output=True)
    assert len(outcomes(tmp_path / "a")) == 4


SCRIPT = """
import sys
import cnnzoo
from conftest import blobs
recipe = cnnzoo.Recipe(epochs=3, batch_size=12, learning_rate=0.01)
space = {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}, "momentum": [0.5, 0.8, 0.9], "batch_size": [6, 12]}
found = cnnzoo.tune("lenet5", cnnzoo.load_data(blobs(), split=(0.6, 0.2, 0.2)), space=space, recipe=recipe,
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


@pytest.mark.parametrize("kind", oracles.KINDS)
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


def test_the_interval_of_one_training_is_over_images_and_of_several_over_seeds(trained):
    report = trained.report
    wrong = replace(report, probabilities=np.roll(report.probabilities, 1, axis=1))
    one = result.compared([wrong], [report])
    assert one["difference"] == pytest.approx(report.accuracy - wrong.accuracy)
    assert one["low"] < one["difference"] < one["high"] or one["low"] == one["high"]
    two = result.compared([wrong, report], [report, report])
    assert two["difference"] == pytest.approx((report.accuracy - wrong.accuracy) / 2)
    assert two["low"] < 0 < two["high"]
