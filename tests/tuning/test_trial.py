"""One trial in this process: what it sees, when it ends early, and what it leaves."""

import csv
import json
import re

import pytest

import cnnzoo
from cnnzoo.tuning import space as spaces
from cnnzoo.tuning import trial as trials
from cnnzoo.tuning.trial import SearchConfig, TrialJob

RECIPE = cnnzoo.Recipe(epochs=4, batch_size=12, learning_rate=0.05)
RANGES = {"learning_rate": {"low": 0.001, "high": 1e38, "log": True}, "warmup_epochs": [0.0, 3.0], "epochs": [2, 4]}


@pytest.fixture
def setting(data, monkeypatch):
    monkeypatch.setattr(trials.os, "dup2", lambda *_: None)  # this process prints for others too
    return SearchConfig(spaces.make_space("lenet5", RECIPE, RANGES), data, None, "accuracy")


def run(setting, folder, **options):
    return trials.run_job(setting, TrialJob(folder, **{"chosen": {}, "seed": 0, **options}))


def test_a_trial_is_scored_on_validation_and_never_sees_the_test_split(setting, data, tmp_path):
    status, outcome = run(setting, tmp_path / "0")
    assert status == "done"
    plan = json.loads((tmp_path / "0" / "run" / "run.json").read_text())["plan"]
    prints = plan["data"]["fingerprints"]
    assert prints["test"] == prints["validation"]
    rows = csv.DictReader((tmp_path / "0" / "run" / "predictions.csv").read_text().splitlines())
    assert [row["image"] for row in rows] == data.validation.names.tolist()
    assert outcome["score"] == max(outcome["history"]["val_accuracy"])
    assert outcome == json.loads((tmp_path / "0" / "outcome.json").read_text())
    assert run(setting, tmp_path / "0") == ("done", outcome), "what has ended is not done again"


def test_a_trial_of_few_epochs_goes_on_where_it_ended(setting, tmp_path):
    _, whole = run(setting, tmp_path / "whole")
    _, part = run(setting, tmp_path / "a", epochs=2)
    assert part["history"] == {key: values[:2] for key, values in whole["history"].items()}
    _, rest = run(setting, tmp_path / "b", run=tmp_path / "a" / "run", epochs=4)
    assert rest["history"] == whole["history"]


def test_what_is_hopeless_ends_early(setting, tmp_path):
    _, outcome = run(setting, tmp_path / "a", bar=(2.0,) * trials.PRUNING_STEPS)
    assert outcome["hopeless"]
    assert len(outcome["history"]["loss"]) == 1, "a quarter of its epochs"
    (tmp_path / "a" / "outcome.json").unlink()  # killed between its end and the record of it
    _, again = run(setting, tmp_path / "a", bar=(2.0,) * trials.PRUNING_STEPS)
    assert {**again, "seconds": 0, "training": 0} == {**outcome, "seconds": 0, "training": 0}
    _, outcome = run(setting, tmp_path / "b", bar=(0.0,) * trials.PRUNING_STEPS)
    assert not outcome["hopeless"]


def test_the_bar_is_the_lower_quartile_of_what_others_had_reached():
    histories = [
        {"val_accuracy": [share * level for share in (0.5, 1.0, 0.9, 0.2)]} for level in (0.2, 0.4, 0.6, 0.8, 1)
    ]
    bar = trials.pruning_thresholds(histories, [4] * 5)
    assert bar[4] == pytest.approx(0.2)
    assert bar[9] == bar[19] == pytest.approx(0.4)
    assert trials.pruning_thresholds(histories[:3], [4] * 3) == (0.0,) * trials.PRUNING_STEPS, "too few to tell"
    assert trials.pruning_thresholds(histories, [8] * 5)[15] == 0, "none of them got there"


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        ({"learning_rate": 1e38}, "became (nan|inf)"),
        ({"warmup_epochs": 3.0, "epochs": 2}, r"warmup_epochs must be in \[0, epochs=2\]"),
    ],
)
def test_failures_are_told_with_their_reason(setting, tmp_path, chosen, why):
    status, reason = run(setting, tmp_path / "0", chosen=chosen)
    assert status == "failed"
    assert re.search(why, reason)


def test_a_metric_that_is_not_there(setting, tmp_path):
    other = SearchConfig(setting.space, setting.data, None, "top5_accuracy")
    status, reason = run(other, tmp_path / "0")
    assert status == "failed"
    assert "The metric top5_accuracy is not found" in reason
