"""The oracles start from the defaults, lose nothing when they are killed, and survive lost workers."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import keras_tuner
import pytest

import cnnzoo
from cnnzoo.training.recipes import resolve_recipe
from cnnzoo.tuning.oracles import ORACLES, make_oracle
from cnnzoo.tuning.space import make_space

RANGES = {"learning_rate": {"low": 0.001, "high": 1, "log": True}, "batch_size": [16, 32], "augment": ["none", "shift"]}
SPACE = make_space("lenet5", resolve_recipe("sgd"), RANGES)
ACCURACY = keras_tuner.Objective("accuracy", "max")
TRIALS = 10  # so that Hyperband over four epochs continues trials, and Bayesian optimization fits its model once


def start_oracle(name, folder, trials=TRIALS, reload=False):
    """Return an oracle of a search in a folder, new or reloaded from there."""
    space = replace(SPACE, recipe=replace(SPACE.recipe, epochs=4)) if name == "hyperband" else SPACE
    oracle = make_oracle(name, space, ACCURACY, trials, 0)
    oracle._set_project_dir(str(folder), "search")
    if reload:
        oracle.reload()
    return oracle


def end_trial(oracle, trial, status="COMPLETED"):
    """Report the end of a trial, with an accuracy that depends on its values."""
    if status == "COMPLETED":
        values = SPACE.decode(trial.hyperparameters.values)
        accuracy = 1 - abs(values["learning_rate"] - 0.3) - (values["augment"] == "none") / 10
        oracle.update_trial(trial.trial_id, {"accuracy": accuracy})
    trial.status = status
    oracle.end_trial(trial)


def run_all(oracle, worker="a"):
    """Run trials until the oracle gives no more; return the last answer."""
    while (trial := oracle.create_trial(worker)).status == "RUNNING":
        end_trial(oracle, trial)
    return trial


def started_trials(oracle):
    """The trials in the order of their start, as (ID, values, score)."""
    trials = [oracle.trials[trial_id] for trial_id in oracle.start_order]
    return [(trial.trial_id, trial.hyperparameters.values, trial.score) for trial in trials]


@pytest.mark.parametrize("name", ORACLES)
def test_the_default_comes_first(name, tmp_path):
    trial = start_oracle(name, tmp_path).create_trial("a")
    assert SPACE.apply(SPACE.decode(trial.hyperparameters.values)) == ("lenet5", resolve_recipe("sgd"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ORACLES)
def test_a_killed_oracle_continues_with_the_same_trials(name, tmp_path):
    """At every moment: after a trial was created, and after it has ended."""
    uninterrupted = start_oracle(name, tmp_path / "uninterrupted")
    run_all(uninterrupted)
    assert len(uninterrupted.trials) == TRIALS
    killed = start_oracle(name, tmp_path / "killed")
    killed.save()
    while (trial := killed.create_trial("a")).status == "RUNNING":
        killed = start_oracle(name, tmp_path / "killed", reload=True)
        again = killed.create_trial("a")
        assert (again.trial_id, again.hyperparameters.values) == (trial.trial_id, trial.hyperparameters.values)
        end_trial(killed, again)
        killed = start_oracle(name, tmp_path / "killed", reload=True)
    assert started_trials(killed) == started_trials(uninterrupted)


@pytest.mark.parametrize("name", ORACLES)
def test_failures_do_not_end_a_search(name, tmp_path):
    oracle, count = start_oracle(name, tmp_path), 0
    while (trial := oracle.create_trial("a")).status == "RUNNING":
        end_trial(oracle, trial, "FAILED" if 1 <= count <= 6 else "COMPLETED")
        count += 1
    assert count == TRIALS


def test_a_default_outside_its_range_is_the_first_trial_all_the_same(tmp_path):
    """A weight decay of 0 has no logarithm."""
    ranges = {"weight_decay": {"low": 1e-5, "high": 0.1, "log": True}}
    space = make_space("lenet5", resolve_recipe("digits"), ranges)
    oracle = make_oracle("bayesian", space, ACCURACY, 5, 0)
    oracle._set_project_dir(str(tmp_path), "search")
    for i in range(5):
        trial = oracle.create_trial("a")
        oracle.update_trial(trial.trial_id, {"accuracy": i / 10})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert space.defaults() == {"weight_decay": 0.0}


def test_an_error_leaves_no_lock_behind(tmp_path, monkeypatch):
    oracle = start_oracle("random", tmp_path)
    monkeypatch.setattr(oracle, "save", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        oracle.create_trial("a")
    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        pool.submit(oracle.create_trial, "b").result(timeout=60)


def test_hyperband_says_how_many_trials_it_needs():
    with pytest.raises(cnnzoo.InputError, match="Hyperband over 30 epochs begins with 5. trials"):
        make_oracle("hyperband", SPACE, ACCURACY, 20, 0)


def test_more_trials_can_be_asked_for(tmp_path):
    few, many = start_oracle("random", tmp_path / "a", trials=4), start_oracle("random", tmp_path / "b")
    for oracle in (few, many):
        run_all(oracle)
    few = start_oracle("random", tmp_path / "a", reload=True)
    run_all(few)
    assert [values for _, values, _ in started_trials(few)] == [values for _, values, _ in started_trials(many)]


@pytest.mark.parametrize("name", ORACLES)
def test_another_worker_takes_over_the_trial_of_a_lost_one(name, tmp_path):
    oracle = start_oracle(name, tmp_path)
    lost = oracle.create_trial("a")
    assert run_all(oracle, "b").status == "IDLE", "it waits, for `a` may be gone"
    oracle.release_worker("a")
    taken_over = oracle.create_trial("b")
    assert taken_over.trial_id == lost.trial_id
    end_trial(oracle, taken_over)
    assert run_all(oracle, "b").status == "STOPPED"
    assert not oracle.tuner_ids
    assert len(oracle.end_order) == TRIALS


def test_an_unknown_oracle_is_refused():
    with pytest.raises(cnnzoo.InputError, match="Unknown oracle. Did you mean bayesian"):
        make_oracle("baysian", SPACE, ACCURACY, 1, 0)
