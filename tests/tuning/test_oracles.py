"""The oracles start from the defaults, lose nothing when they are killed, and miss a worker that dies."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import keras_tuner
import pytest

import cnnzoo
from cnnzoo.training import recipes
from cnnzoo.tuning import oracles
from cnnzoo.tuning import space as spaces

RANGES = {"learning_rate": {"low": 0.001, "high": 1, "log": True}, "batch_size": [16, 32], "augment": ["none", "shift"]}
SPACE = spaces.make_space("lenet5", recipes.resolve_recipe("sgd"), RANGES)


def made(kind, folder, trials=12, reload=False):
    space = replace(SPACE, recipe=replace(SPACE.recipe, epochs=4)) if kind == "hyperband" else SPACE
    oracle = oracles.make_oracle(kind, space, keras_tuner.Objective("accuracy", "max"), trials, 0)
    oracle._set_project_dir(str(folder), "search")
    if reload:
        oracle.reload()
    return oracle


def score(trial):
    values = SPACE.decode(trial.hyperparameters.values)
    return 1 - abs(values["learning_rate"] - 0.3) - (values["augment"] == "none") / 10


def end(oracle, trial, status="COMPLETED"):
    if status == "COMPLETED":
        oracle.update_trial(trial.trial_id, {"accuracy": score(trial)})
    trial.status = status
    oracle.end_trial(trial)


def seen(oracle):
    return [
        (name, oracle.trials[name].hyperparameters.values, oracle.trials[name].score) for name in oracle.start_order
    ]


@pytest.mark.parametrize("kind", oracles.ORACLES)
def test_the_default_comes_first(kind, tmp_path):
    trial = made(kind, tmp_path).create_trial("a")
    assert SPACE.apply(SPACE.decode(trial.hyperparameters.values)) == ("lenet5", recipes.resolve_recipe("sgd"))


@pytest.mark.parametrize("kind", oracles.ORACLES)
def test_a_killed_oracle_goes_on_with_the_same_trials(kind, tmp_path):
    """At every moment: after a trial was made, and after it has ended."""
    whole = made(kind, tmp_path / "whole")
    while (trial := whole.create_trial("a")).status == "RUNNING":
        end(whole, trial)
    assert len(whole.trials) == 12
    torn = made(kind, tmp_path / "torn")
    torn.save()
    while (trial := torn.create_trial("a")).status == "RUNNING":
        torn = made(kind, tmp_path / "torn", reload=True)
        again = torn.create_trial("a")
        assert (again.trial_id, again.hyperparameters.values) == (trial.trial_id, trial.hyperparameters.values)
        end(torn, again)
        torn = made(kind, tmp_path / "torn", reload=True)
    assert seen(torn) == seen(whole)


@pytest.mark.parametrize("kind", oracles.ORACLES)
def test_failures_do_not_end_a_search(kind, tmp_path):
    oracle, count = made(kind, tmp_path), 0
    while (trial := oracle.create_trial("a")).status == "RUNNING":
        end(oracle, trial, "FAILED" if 1 <= count <= 6 else "COMPLETED")
        count += 1
    assert count == 12


def test_a_default_outside_its_range_is_no_trouble(tmp_path):
    """A weight decay of 0 has no logarithm, and is the first trial all the same."""
    space = spaces.make_space(
        "lenet5", recipes.resolve_recipe("digits"), {"weight_decay": {"low": 1e-5, "high": 0.1, "log": True}}
    )
    oracle = oracles.make_oracle("bayesian", space, keras_tuner.Objective("accuracy", "max"), 6, 0)
    oracle._set_project_dir(str(tmp_path), "search")
    for i in range(6):
        trial = oracle.create_trial("a")
        oracle.update_trial(trial.trial_id, {"accuracy": i / 10})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert space.defaults() == {"weight_decay": 0.0}


def test_an_error_leaves_no_lock_behind(tmp_path, monkeypatch):
    oracle = made("random", tmp_path)
    monkeypatch.setattr(oracle, "save", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        oracle.create_trial("a")
    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        pool.submit(oracle.create_trial, "b").result(timeout=5)


def test_hyperband_says_how_many_trials_it_needs():
    with pytest.raises(cnnzoo.InputError, match="Hyperband over 30 epochs begins with 5. trials"):
        oracles.make_oracle("hyperband", SPACE, keras_tuner.Objective("accuracy", "max"), 20, 0)


def test_more_trials_can_be_asked_for(tmp_path):
    few, many = made("random", tmp_path / "a", trials=4), made("random", tmp_path / "b")
    for oracle in (few, many):
        while (trial := oracle.create_trial("a")).status == "RUNNING":
            end(oracle, trial)
    few = made("random", tmp_path / "a", reload=True)
    while (trial := few.create_trial("a")).status == "RUNNING":
        end(few, trial)
    assert [values for _, values, _ in seen(few)] == [values for _, values, _ in seen(many)]


@pytest.mark.parametrize("kind", oracles.ORACLES)
def test_another_worker_takes_up_what_one_leaves_behind(kind, tmp_path):
    oracle = made(kind, tmp_path, trials=12)
    lost = oracle.create_trial("a")
    while (trial := oracle.create_trial("b")).status == "RUNNING":
        end(oracle, trial)
    assert trial.status == "IDLE", "it waits, for `a` may be gone"
    oracle.release("a")
    found = oracle.create_trial("b")
    assert found.trial_id == lost.trial_id
    end(oracle, found)
    while (trial := oracle.create_trial("b")).status == "RUNNING":
        end(oracle, trial)
    assert trial.status == "STOPPED"
    assert not oracle.tuner_ids
    assert len(oracle.end_order) == 12


def test_an_unknown_oracle_is_refused():
    with pytest.raises(cnnzoo.InputError, match="Unknown oracle. Did you mean bayesian"):
        oracles.make_oracle("baysian", SPACE, None, 1, 0)
