"""tune as a whole: with real trainings in real processes, and what it does around them."""

import csv
import functools
import json
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
from helpers.notebooks import check_summary
from helpers.pages import Page
from helpers.quick_trials import use_quick_finals, use_quick_trials

import cnnzoo
from cnnzoo.training.recipes import resolve_recipe
from cnnzoo.tuning.result import compare_with_default

RECIPE = cnnzoo.Recipe(epochs=2, batch_size=12, learning_rate=0.001)
RANGES = {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}, "augment": ["none", "shift"]}
SEARCH = {"space": RANGES, "recipe": RECIPE, "trials": 4, "verbose": False}
slow = pytest.mark.slow


def tune(data, folder, **options):
    return cnnzoo.tune("lenet5", data, run_dir=folder, **(SEARCH | options))


@pytest.fixture
def quick_trials():
    """Trials of the test are over at once."""
    with use_quick_trials():
        yield


# Real trainings


@pytest.fixture(scope="module")
def search_result(data, tmp_path_factory):
    return tune(data, tmp_path_factory.mktemp("search") / "a")


@slow
def test_a_search_ends_in_a_better_recipe_that_is_proven_on_the_test_split(search_result, data):
    trials = search_result.trials
    assert [trial.number for trial in trials] == list(range(4))
    assert trials[0].chosen == {"learning_rate": 0.001, "augment": "none"}
    assert search_result.best.score == max(trial.score for trial in trials) > trials[0].score
    assert search_result.recipe == replace(RECIPE, **search_result.best.chosen)
    assert search_result.report.split == search_result.default.split == "test"
    assert search_result.report.labels.tolist() == data.test.labels.tolist()
    assert cnnzoo.load(search_result.run).predict([data.test.images[0]])


@slow
def test_the_same_seed_gives_the_same_search(search_result, data, tmp_path):
    with use_quick_finals():
        again = tune(data, tmp_path / "a", trials=2, workers=2)
    for first, second in zip(search_result.trials, again.trials, strict=False):
        assert (first.chosen, first.score, first.history) == (second.chosen, second.score, second.history)


@slow
def test_fine_tuning_can_be_searched(data, tmp_path):
    recipe = replace(resolve_recipe("finetune"), epochs=1, batch_size=12, precision="float32")
    ranges = {"learning_rate": [1e-3, 1e-2]}
    result = tune(data, tmp_path / "a", weights="mnist", recipe=recipe, space=ranges, trials=2)
    assert result.report.probe
    assert all(trial.status == "completed" for trial in result.trials)


def remove_oracle(folder):
    (folder / "oracle.json").unlink()


def tear_oracle(folder):
    (folder / "oracle.json").write_bytes((folder / "oracle.json").read_bytes()[:-40])


def change_oracle(folder):
    content = json.loads((folder / "oracle.json").read_text())
    content["oracle"]["start_order"] = "x"
    del content["sha256"]
    (folder / "oracle.json").write_text(json.dumps(content))


def end_times(folder):
    return {path.parent.name: path.stat().st_mtime for path in folder.glob("trials/*/outcome.json")}


@slow
def test_a_broken_record_of_a_trial_is_written_again(search_result, data, tmp_path):
    """Its training has ended, so it is only evaluated."""
    folder = shutil.copytree(search_result.run_dir, tmp_path / "search")
    tear_oracle(folder)
    (folder / "trials" / "1" / "outcome.json").write_text('{"chosen": 5}')
    before = end_times(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        again = tune(data, folder, resume=True)
    messages = [str(warning.message) for warning in caught]
    assert any("Trial 1 is evaluated again; the others are kept" in message for message in messages)
    assert any("rebuilt from the trials that have ended" in message for message in messages)
    for first, second in zip(search_result.trials, again.trials, strict=True):
        assert (first.chosen, first.score, first.history) == (second.chosen, second.score, second.history)
    assert {name for name, time in end_times(folder).items() if time != before[name]} == {"1"}


# Quick trials


@slow
@pytest.mark.usefixtures("quick_trials")
@pytest.mark.parametrize(
    ("oracle", "damage"), [("random", remove_oracle), ("bayesian", tear_oracle), ("grid", change_oracle)]
)
def test_a_broken_state_of_a_search_is_rebuilt(data, tmp_path, oracle, damage):
    result = tune(data, tmp_path / "a", trials=3, oracle=oracle)
    before = end_times(result.run_dir)
    damage(result.run_dir)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        more = tune(data, result.run_dir, trials=4, oracle=oracle, resume=True)
    assert "It is rebuilt from the trials that have ended, which are kept" in " ".join(str(w.message) for w in caught)
    assert [trial.chosen for trial in more.trials[:3]] == [trial.chosen for trial in result.trials]
    assert end_times(result.run_dir).items() >= before.items()
    assert len(more.trials) == 4


@slow
@pytest.mark.usefixtures("quick_trials")
def test_the_files_of_a_search_can_be_used(data, tmp_path):
    result = tune(data, tmp_path / "a", trials=9, seeds=2)
    compared = result.comparison
    differences = np.subtract(compared["best"], compared["default"])
    assert len(differences) == 2
    assert compared["difference"] == pytest.approx(differences.mean())
    assert compared["low"] <= differences.mean() <= compared["high"]
    assert "points (95 % interval" in str(result)
    assert "The best trials" in check_summary(result._repr_html_()).text
    assert repr(result).startswith("<TuneResult of lenet5: 9 trials, the best is trial ")
    folder = result.run_dir
    rows = list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))
    assert len(rows) == 9
    assert rows[0]["trial"] == str(result.best.number)
    best = resolve_recipe(str(folder / "best.toml"))
    assert best == replace(result.recipe, source="", cost="", result="")
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    page.check()
    assert len(page.all("svg")) == 3, "history, parallel coordinates, importance"
    files = [link["href"] for link in page.all("a") if not link["href"].startswith("#")]
    assert files
    assert all((folder / file).is_file() for file in files)
    assert json.loads((folder / "run.json").read_text())["status"] == "done"


@slow
@pytest.mark.usefixtures("quick_trials")
def test_another_search_is_refused_and_an_ended_one_can_get_more_trials(data, tmp_path):
    search = functools.partial(tune, data, tmp_path / "a")
    search(trials=1)
    with pytest.raises(cnnzoo.InputError, match="already holds a run"):
        search(trials=2)
    different = "different run, so it cannot be resumed: .*oracle: 'random' before, 'grid' now"
    with pytest.raises(cnnzoo.InputError, match=different):
        search(trials=2, oracle="grid", resume=True)
    more = search(trials=4, resume=True)
    assert len(more.trials) == 4
    assert more.best.number > 0, "the best trial differs from that of the first search"
    assert len(search(trials=1, overwrite=True).trials) == 1


@slow
@pytest.mark.usefixtures("quick_trials")
def test_failed_trials_are_recorded_and_the_search_goes_on(data, tmp_path):
    ranges = {"learning_rate": [0.001, 1e38], "warmup_epochs": [0.0, 1.5], "epochs": [2, 1]}
    result = tune(data, tmp_path / "a", oracle="grid", trials=8, space=ranges)
    reasons = [trial.reason for trial in result.trials if trial.status == "failed"]
    assert {("became" in reason, "warmup_epochs must be in" in reason) for reason in reasons} == {
        (True, False),
        (False, True),
    }
    assert len(reasons) < 8
    assert "failed" in str(result)
    assert "Failures" in (tmp_path / "a" / "report.html").read_text()


@slow
@pytest.mark.usefixtures("quick_trials")
def test_a_search_without_any_success_lists_the_reasons(data, tmp_path):
    recipe = replace(RECIPE, learning_rate=1e38)
    with pytest.raises(cnnzoo.InputError, match="None of the 2 trials succeeded: The loss became .*trial 0"):
        tune(data, tmp_path / "a", recipe=recipe, space={"augment": ["none", "shift"]}, trials=2)


@slow
@pytest.mark.usefixtures("quick_trials")
def test_a_default_that_fails_can_be_improved(data, tmp_path):
    recipe, ranges = replace(RECIPE, learning_rate=1e38), {"learning_rate": [0.01, 0.05]}
    result = tune(data, tmp_path / "a", recipe=recipe, space=ranges, oracle="grid", trials=2)
    assert result.trials[0].status == "failed"
    assert result.default is None
    assert "the default failed" in str(result)


# Arguments and figures


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 0}, "trials must be a whole number from 1"),
        ({"oracle": "baysian"}, "Unknown oracle. Did you mean bayesian"),
        ({"objective": "acuracy"}, "Unknown metric. Did you mean accuracy"),
        ({"recipe": "sdg"}, "Unknown recipe. Did you mean sgd"),
        ({"workers": 0}, "workers must be a whole number from 1"),
        ({"seeds": 0}, "seeds must be a whole number from 1"),
        ({"memory_gb": 0}, "memory_gb must be a number above 0"),
        ({"timeout": "long"}, "timeout must be a number above 0"),
        ({"image_size": (28,)}, "image_size must be one number or"),
    ],
)
def test_bad_input_is_refused_at_once(data, tmp_path, options, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        tune(data, tmp_path / "a", **options)
    assert not (tmp_path / "a").exists()


def test_the_interval_of_one_training_is_over_images_and_of_several_over_seeds(trained):
    report = trained.report
    wrong = replace(report, probabilities=np.roll(report.probabilities, 1, axis=1))
    one = compare_with_default([wrong], [report])
    assert one["difference"] == pytest.approx(report.accuracy - wrong.accuracy)
    assert one["low"] < one["difference"] < one["high"] or one["low"] == one["high"]
    two = compare_with_default([wrong, report], [report, report])
    assert two["difference"] == pytest.approx((report.accuracy - wrong.accuracy) / 2)
    assert two["low"] < 0 < two["high"]
