"""One trial in this process: its data, early ends, and its files."""

import csv
import json
import re
from dataclasses import replace

import pytest

import cnnzoo
from cnnzoo.tuning import trial as trial_module
from cnnzoo.tuning.pruning import PRUNING_STEPS
from cnnzoo.tuning.space import make_space
from cnnzoo.tuning.trial import SearchConfig, TrialJob, run_job

RECIPE = cnnzoo.Recipe(epochs=4, batch_size=12, learning_rate=0.05)
RANGES = {"learning_rate": {"low": 0.001, "high": 1e38, "log": True}, "warmup_epochs": [0.0, 3.0], "epochs": [2, 4]}


@pytest.fixture(scope="module")
def config(data):
    """The settings that the trials share; they print here as usual, not into their logs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial_module.os, "dup2", lambda *_: None)
        yield SearchConfig(make_space("lenet5", RECIPE, RANGES), data, None, "accuracy")


def run_trial(config, folder, **options):
    return run_job(config, TrialJob(folder, **{"chosen": {}, "seed": 0, **options}))


@pytest.fixture(scope="module")
def whole_trial(config, tmp_path_factory):
    """The folder and the outcome of a trial that has run all its epochs."""
    folder = tmp_path_factory.mktemp("trials") / "0"
    status, outcome = run_trial(config, folder)
    assert status == "done"
    return folder, outcome


@pytest.mark.slow
def test_a_trial_is_scored_on_validation_and_never_sees_the_test_split(config, whole_trial, data):
    folder, outcome = whole_trial
    plan = json.loads((folder / "run" / "run.json").read_text())["plan"]
    assert plan["data"]["fingerprints"]["test"] == plan["data"]["fingerprints"]["validation"]
    rows = csv.DictReader((folder / "run" / "predictions.csv").read_text().splitlines())
    assert [row["image"] for row in rows] == data.validation.names.tolist()
    assert outcome["score"] == max(outcome["history"]["val_accuracy"])
    assert outcome == json.loads((folder / "outcome.json").read_text())
    assert run_trial(config, folder) == ("done", outcome), "a trial that has ended does not run again"


@pytest.mark.slow
def test_a_trial_of_few_epochs_continues_where_it_ended(config, whole_trial, tmp_path):
    _, whole = whole_trial
    _, part = run_trial(config, tmp_path / "a", stop_after=2)
    assert part["history"] == {key: values[:2] for key, values in whole["history"].items()}
    _, rest = run_trial(config, tmp_path / "b", continue_run=tmp_path / "a" / "run", stop_after=4)
    assert rest["history"] == whole["history"]


@pytest.mark.slow
def test_a_trial_is_tracked_under_the_name_of_its_search(config, tmp_path):
    search = tmp_path / "search"
    search.mkdir()
    (search / "run.json").write_text("{}")
    folder = search / "trials" / "3"
    status, outcome = run_trial(replace(config, track="tensorboard"), folder, chosen={"epochs": 2})
    assert status == "done"
    events = b"".join(path.read_bytes() for path in (folder / "run" / "tensorboard").iterdir())
    assert b"search/trials/3" in events
    assert b"validation_accuracy" in events
    assert b"test_accuracy" not in events  # no trial sees the test split
    assert json.loads((folder / "run" / "tracking.json").read_text())["epochs"] == len(outcome["history"]["loss"])


@pytest.mark.slow
def test_a_hopeless_trial_ends_early(config, tmp_path):
    thresholds = (2.0,) * PRUNING_STEPS
    _, outcome = run_trial(config, tmp_path / "a", thresholds=thresholds)
    assert outcome["hopeless"]
    assert len(outcome["history"]["loss"]) == 1, "a quarter of its epochs"
    (tmp_path / "a" / "outcome.json").unlink()  # as if it had been killed between its end and the record of it
    _, again = run_trial(config, tmp_path / "a", thresholds=thresholds)
    assert {**again, "seconds": 0, "training": 0} == {**outcome, "seconds": 0, "training": 0}
    _, outcome = run_trial(config, tmp_path / "b", chosen={"epochs": 2}, thresholds=(0.0,) * PRUNING_STEPS)
    assert not outcome["hopeless"]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"learning_rate": 1e38}, "became (nan|inf)"),
        ({"warmup_epochs": 3.0, "epochs": 2}, r"warmup_epochs must be in \[0, epochs=2\]"),
    ],
)
def test_a_failed_trial_has_a_reason(config, tmp_path, chosen, message):
    status, reason = run_trial(config, tmp_path / "0", chosen=chosen)
    assert status == "failed"
    assert re.search(message, reason)


def test_an_objective_that_the_report_lacks_is_refused(config, tmp_path):
    status, reason = run_trial(replace(config, objective="top5_accuracy"), tmp_path / "0", chosen={"epochs": 2})
    assert status == "failed"
    assert "The metric top5_accuracy is not available for this data" in reason
